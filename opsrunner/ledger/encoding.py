"""How results and states are written in Redis: small, and the same for every reader."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

from opsrunner.ledger.records import Mark, Outcome, Result, Status

#: Bytes from which compressing pays.
COMPRESS_FROM = 512


def encode_result(result: Result) -> bytes:
    """JSON, compressed when large. Lists of lines are left out: they follow from the text."""
    text = json.dumps(_without_lines(result), separators=(",", ":"), ensure_ascii=False, default=str)
    data = text.encode("utf-8", errors="surrogatepass")
    return b"z" + zlib.compress(data, 1) if len(data) >= COMPRESS_FROM else b"j" + data


def decode_result(data: bytes) -> Result:
    text = zlib.decompress(data[1:]) if data[:1] == b"z" else data[1:]
    result: Result = json.loads(text.decode("utf-8", errors="surrogatepass"))
    return _with_lines(result)


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
    """The outcome that a state tells of, None while there is none."""
    parts = state.split("|")
    if parts[0] != "T":
        return None
    status: Status = parts[1]  # type: ignore[assignment]
    mark: Mark | None = parts[2] or None  # type: ignore[assignment]
    return Outcome(step, host, status, result, mark, float(parts[3] or 0), float(parts[4] or 0), parts[5])


def encode_event(**data: Any) -> str:
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False)
