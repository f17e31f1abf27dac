"""How states and events are written in Redis: small, and the same for every reader."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from json.encoder import encode_basestring
from typing import Any, cast, get_args

from msgspec import to_builtins

from opsrunner.errors import LedgerDamaged
from opsrunner.ledger.records import GOOD, STATUSES, Mark, Outcome, PlayOutline, Status

#: Bytes from which compressing pays.
COMPRESS_FROM = 512


# json.dumps makes an encoder for every call with arguments of its own.
_EVENTS = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
#: Keys of good results that whoever follows a run is told of: warnings and differences, a loop's of its items.
_TOLD = frozenset(("warnings", "diff", "results"))
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
    if not 0 <= seconds < 1e11:  # which nothing is that is no number
        raise ValueError(f"{seconds} is no time")
    return seconds


def encode_terminal(outcome: Outcome) -> str:
    """The state of a host × step that is over."""
    return "|".join(
        ("T", outcome.status, outcome.mark or "", f"{outcome.started:.6f}", f"{outcome.ended:.6f}", outcome.worker)
    )


def decode_terminal(step: int, host: str, state: str, result: Mapping[str, Any]) -> Outcome | None:
    """The outcome that a state tells of, None while there is none. Raises LedgerDamaged."""
    came = decode_status(step, host, state)
    if came is None:
        return None
    try:
        _, _, _, started, ended, worker = state.split("|", 5)
        return Outcome(
            step, host, came[0], result, came[1], decode_time(started or "0"), decode_time(ended or "0"), worker
        )
    except ValueError as error:
        raise damaged(f"the outcome of step {step} on {host}", error) from None


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


def encode_started(step: int, host: str, worker: str) -> str:
    """The event ``host_started``; written out as every command that is sent has one, as is the next."""
    text = encode_basestring
    return f'{{"step":{step},"host":{text(host)},"worker":{text(worker)}}}'


def encode_outcome(outcome: Outcome) -> str:
    """The event ``outcome``."""
    text = encode_basestring
    mark = "null" if outcome.mark is None else text(outcome.mark)
    seconds = round(max(0.0, outcome.ended - outcome.started), 6)
    quiet = ',"quiet":true' if outcome.status in GOOD and _TOLD.isdisjoint(outcome.result) else ""
    return (
        f'{{"step":{outcome.step},"host":{text(outcome.host)},"status":{text(outcome.status)},"mark":{mark},'
        f'"worker":{text(outcome.worker)},"seconds":{seconds}{quiet}}}'
    )


def encode_outline(plays: Sequence[PlayOutline]) -> bytes:
    """What readers may know of a plan, compressed."""
    return zlib.compress(json.dumps(to_builtins(plays), separators=(",", ":")).encode(), 1)
