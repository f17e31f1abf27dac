"""Results as Redis holds them: what is read is what was written, and long streams are opened only when asked for."""

from __future__ import annotations

from typing import Any

import pytest

from opsrunner.errors import LedgerDamaged
from opsrunner.ledger.results import LONG, StoredResult, decode_result, encode_result, read_result

LONG_TEXT = "".join(f"line {number} ✓ \udcff\n" for number in range(LONG))


def lines_added(result: dict[str, Any]) -> dict[str, Any]:
    return {**result, **{f"{name}_lines": result[name].splitlines() for name in ("stdout", "stderr") if name in result}}


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"changed": True, "rc": 0, "stdout": "a\nb", "stderr": ""},
        {"msg": "x" * 100_000, "item": {"deep": [1, None]}},
        {"rc": 0, "stdout": LONG_TEXT, "stderr": "short\x0btwo", "cmd": "cat"},
        {"stdout": "", "stderr": LONG_TEXT},
        {"stdout": "x" * LONG, "stderr": LONG_TEXT, "stat": {"stdout": 1}},
    ],
    ids=["nothing", "small", "long message", "long stdout", "long stderr", "both long"],
)
def test_what_is_read_is_what_was_written(result: dict[str, Any]) -> None:
    data = encode_result(lines_added(result))
    read = read_result(data)
    assert read == decode_result(data) == lines_added(result)
    assert list(read)[: len(result)] == list(result)
    assert len(read) == len(lines_added(result))
    assert "rc" not in read or read["rc"] == result["rc"]
    assert read.get("stdout_lines") == lines_added(result).get("stdout_lines")


def test_streams_that_are_no_text_and_those_of_a_loop_are_kept_as_they_are() -> None:
    item = {"stdout": LONG_TEXT, "stdout_lines": LONG_TEXT.splitlines(), "changed": True}
    result = {"stdout": ["a", "b"], "stdout_lines": 5, "stderr": None, "results": [item, item]}
    assert decode_result(encode_result(result)) == result


def test_a_long_stream_takes_its_compressed_size_until_it_is_asked_for() -> None:
    data = encode_result({"rc": 0, "stdout": "x" * 1_000_000})
    assert len(data) < 1000
    read = read_result(data)
    assert isinstance(read, StoredResult)
    assert (read["rc"], len(read["stdout"])) == (0, 1_000_000)


@pytest.mark.parametrize("cut", [0, 1, 5, 12, 40, -1])
def test_a_long_result_that_is_cut_says_so(cut: int) -> None:
    with pytest.raises(LedgerDamaged, match="a result cannot be read"):
        decode_result(encode_result({"rc": 0, "stdout": LONG_TEXT})[:cut])


def test_a_stream_that_cannot_be_opened_says_so_when_it_is_asked_for() -> None:
    data = encode_result({"rc": 0, "stdout": LONG_TEXT})
    read = read_result(data[:-3] + b"\0\0\0")
    assert read["rc"] == 0
    for key in ("stdout", "stdout_lines"):
        with pytest.raises(LedgerDamaged, match="a result cannot be read"):
            read[key]
