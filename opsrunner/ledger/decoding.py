"""From what Redis holds to records, or to LedgerDamaged: who reads needs not expect anything else."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from typing import Any, cast

from opsrunner.errors import LedgerDamaged
from opsrunner.ledger.compressing import MAGIC, opened
from opsrunner.ledger.encoding import DAMAGE, damaged, decode_time, decoding
from opsrunner.ledger.records import GOOD, Event, EventKind, PlayOutline, RunRecord, StepOutline

#: What events of a kind hold at least, as their readers need it.
_NEEDED = {
    "play_started": {"play", "name"},
    "batch_started": {"play", "batch", "batches", "hosts"},
    "step_started": {"step", "hosts"},
    "host_started": {"step", "host"},
    "output": {"step", "host", "text"},
    "outcome": {"step", "host", "status"},
    "notice": {"text"},
    "run_finished": {"status"},
}
_NOTHING: frozenset[str] = frozenset()


def decode_text(data: bytes) -> str:
    """Text of ours is UTF-8; what is not came from elsewhere and is shown as well as can be."""
    return data.decode(errors="replace")


def decode_events(entry_id: str, fields: dict[bytes, bytes]) -> list[Event]:
    """One entry of a run's stream: an event, or a list of one kind. Raises LedgerDamaged.

    The last bears the entry's id, those before it are told apart by their number: ``1700000000000-0.1`` is the first.
    """
    try:
        stored = fields[b"d"]
        data = json.loads(opened(stored) if stored[:4] == MAGIC else stored.decode("utf-8", errors="surrogatepass"))
        kind = fields[b"k"].decode()
        needed = _NEEDED.get(kind, _NOTHING)
        rows = data if isinstance(data, list) else [data]
        if not rows or not all(isinstance(row, dict) and needed <= row.keys() for row in rows):
            raise ValueError(f"{kind} holds something else")
        if "hosts" in needed and not all(isinstance(row["hosts"], list) for row in rows):
            raise ValueError(f"the hosts of {kind} are no list")
        at = int(entry_id.partition("-")[0]) / 1000
        last = len(rows)
        return [
            Event(
                entry_id if number == last else f"{entry_id}.{number}",
                at,
                cast(EventKind, kind),
                row,
                quiet=row.pop("quiet", None) is True and row.get("status") in GOOD,
            )
            for number, row in enumerate(rows, 1)
        ]
    except DAMAGE as error:
        raise damaged(f"event {entry_id}", error) from None


def events_after(place: str, entries: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> list[Event]:
    """The events of these entries behind that place, which may lie within the first of them. Raises LedgerDamaged."""
    entry, _, number = place.partition(".")
    events = []
    for raw_id, fields in entries:
        entry_id = raw_id.decode()
        some = decode_events(entry_id, fields)
        events += some[int(number) :] if number and entry_id == entry else some
    return events


def entry_before(place: str) -> str:
    """The id after which the entries begin that hold what is behind ``place``."""
    entry, _, number = place.partition(".")
    if not number:
        return place
    milliseconds, _, sequence = entry.partition("-")
    if int(sequence or 0):
        return f"{milliseconds}-{int(sequence) - 1}"
    return f"{int(milliseconds) - 1}-{2**64 - 1}"


def decode_listed_record(run_id: str, answer: Any) -> RunRecord:
    """A run among others: one that cannot be read has nothing but its id, and says so as its reason."""
    try:
        if isinstance(answer, Exception):
            raise damaged(f"run {run_id}", answer)
        return decode_record(run_id, answer)
    except LedgerDamaged as error:
        return RunRecord(
            run_id, "stopped", "(cannot be read)", "playbook", "", 0.0, None, None, None, 0, (), reason=str(error)
        )


def decode_record(run_id: str, raw: dict[bytes, bytes]) -> RunRecord:
    """A run's hash. Raises LedgerDamaged."""
    with decoding(f"run {run_id}"):
        return _decoded_record(run_id, raw)


def _decoded_record(run_id: str, raw: dict[bytes, bytes]) -> RunRecord:
    fields = {decode_text(key): value for key, value in raw.items()}

    def text(name: str, default: str = "") -> str:
        return decode_text(fields[name]) if name in fields else default

    def number(name: str) -> float | None:
        return decode_time(fields[name]) if name in fields else None

    plays = _plays(fields["outline"]) if "outline" in fields else ()
    return RunRecord(
        id=run_id,
        status=text("status", "submitted"),  # type: ignore[arg-type]
        title=text("title"),
        kind=text("kind", "playbook"),  # type: ignore[arg-type]
        user=text("user"),
        created=number("created") or 0.0,
        started=number("started"),
        finished=number("finished"),
        exit_code=int(fields["exit_code"]) if "exit_code" in fields else None,
        hosts=len({host for play in plays for host in play.hosts}),
        plays=plays,
        schedule=text("schedule") or None,
        check=text("check") == "1",
        reason=text("reason") or None,
        due=number("due"),
    )


def _plays(data: bytes) -> tuple[PlayOutline, ...]:
    return tuple(
        PlayOutline(
            play["number"],
            play["name"],
            tuple(map(_sound_text, play["hosts"])),
            tuple(map(int, play["batches"])),
            tuple(_step(step) for step in play["steps"]),
            play.get("strategy", "linear"),
            bool(play.get("undecided")),
        )
        for play in json.loads(zlib.decompress(data))
    )


def _step(fields: dict[str, Any]) -> StepOutline:
    step = StepOutline(**fields)
    if not isinstance(step.number, int):
        raise TypeError("a step's number is none")
    for text in (step.name, step.module, step.place):
        _sound_text(text)
    return step


def _sound_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
