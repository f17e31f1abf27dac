"""How results and states are written in Redis: small, and the same for every reader."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, cast, get_args

from opsrunner.errors import LedgerDamaged
from opsrunner.ledger.records import STATUSES, Mark, Outcome, PlayOutline, Result, Status

#: Bytes from which compressing pays.
COMPRESS_FROM = 512


# json.dumps makes an encoder for every call with arguments of its own.
_RESULTS = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, default=str)
_EVENTS = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_MARKS = ("", *get_args(Mark))
#: What decoding raises for bytes that are not what was encoded.
DAMAGE = (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError, zlib.error)


@contextmanager
def decoding(what: str) -> Iterator[None]:
    """Turns whatever decoding raises into LedgerDamaged; ``what`` is what cannot be read."""
    try:
        yield
    except DAMAGE as error:
        raise damaged(what, error) from None


def damaged(what: str, error: Exception) -> LedgerDamaged:
    """What to raise when ``what`` cannot be read in the ledger."""
    return LedgerDamaged(
        f"{what} cannot be read in the ledger",
        why=str(error)[:200] or type(error).__name__,
        remedy="something else writes to this Redis, or another version of opsrunner does",
    )


def decode_time(data: str | bytes) -> float:
    """Seconds since the epoch. Raises ValueError for what no clock shows."""
    seconds = float(data)
    if not math.isfinite(seconds) or not 0 <= seconds < 1e11:
        raise ValueError(f"{seconds} is no time")
    return seconds


def encode_result(result: Result) -> bytes:
    """JSON, compressed when large. Lists of lines are left out: they follow from the text."""
    text = _RESULTS.encode(_without_lines(result))
    data = text.encode("utf-8", errors="surrogatepass")
    return b"z" + zlib.compress(data, 1) if len(data) >= COMPRESS_FROM else b"j" + data


def decode_result(data: bytes) -> Result:
    """What :func:`encode_result` was given. Raises LedgerDamaged."""
    try:  # a context manager would cost as much as the rest
        text = zlib.decompress(data[1:]) if data[:1] == b"z" else data[1:]
        result = json.loads(text.decode("utf-8", errors="surrogatepass"))
        if not isinstance(result, dict):
            raise TypeError("it is no mapping")
        return _with_lines(result)
    except DAMAGE as error:
        raise damaged("a result", error) from None


def _without_lines(result: Mapping[str, Any]) -> dict[str, Any]:
    kept = {
        key: value
        for key, value in result.items()
        if not (key.endswith("_lines") and isinstance(result.get(key[:-6]), str) and key[:-6] in ("stdout", "stderr"))
    }
    items = kept.get("results")
    if isinstance(items, list):
        kept["results"] = [_without_lines(item) if isinstance(item, dict) else item for item in items]
    return kept


def _with_lines(result: Result) -> Result:
    for stream in ("stdout", "stderr"):
        if isinstance(result.get(stream), str):
            result[f"{stream}_lines"] = result[stream].splitlines()
    items = result.get("results")
    if isinstance(items, list):
        for item in items:
            if isinstance(item, dict):
                _with_lines(item)
    return result


def encode_terminal(outcome: Outcome) -> str:
    """The state of a host × step that is over."""
    return "|".join(
        ("T", outcome.status, outcome.mark or "", f"{outcome.started:.6f}", f"{outcome.ended:.6f}", outcome.worker)
    )


def decode_terminal(step: int, host: str, state: str, result: Result) -> Outcome | None:
    """The outcome that a state tells of, None while there is none. Raises LedgerDamaged."""
    came = decode_status(step, host, state)
    if came is None:
        return None
    try:
        started, ended, worker = state.split("|", 5)[3:]
        times = decode_time(started or "0"), decode_time(ended or "0")
    except ValueError as error:
        raise damaged(f"the outcome of step {step} on {host}", error) from None
    return Outcome(step, host, came[0], result, came[1], *times, worker)


def decode_status(step: int, host: str, state: str) -> tuple[Status, Mark | None] | None:
    """As :func:`decode_terminal`, of the outcome no more than what is counted."""
    if not state.startswith("T|"):
        return None
    status, _, rest = state[2:].partition("|")
    mark = rest.partition("|")[0]
    if status not in STATUSES or mark not in _MARKS:
        raise damaged(f"the outcome of step {step} on {host}", ValueError(f"{status}|{mark} is no outcome"))
    return status, cast(Mark, mark) if mark else None


def encode_event(**data: Any) -> str:
    return _EVENTS.encode(data)


def encode_outline(plays: Sequence[PlayOutline]) -> bytes:
    """What readers may know of a plan, compressed."""
    return zlib.compress(json.dumps([asdict(play) for play in plays], separators=(",", ":")).encode(), 1)
