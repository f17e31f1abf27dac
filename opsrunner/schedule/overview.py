"""What schedules, and the beat that goes by them, look like to an operator. Reads only."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, structs

from opsrunner.ledger.reader import Reader
from opsrunner.ledger.records import RunRecord
from opsrunner.ledger.store import Store
from opsrunner.schedule import states, stored
from opsrunner.schedule.decide import Entry, State, is_spent, starts_at
from opsrunner.schedule.load import Contents
from opsrunner.schedule.model import Schedule
from opsrunner.schedule.moments import parse_zone, shown_span
from opsrunner.schedule.times import clock_text, next_times
from opsrunner.schedule.windows import holding

_SPANS = ("every", "jitter", "start_deadline", "max_runtime")


#: Seconds after which a due time that nobody has decided is told as late.
LATE = 15.0


class Standing(Struct, frozen=True):
    """What is known of one schedule now."""

    schedule: Schedule
    state: State
    #: What became of its newest due times, newest first, and the runs that are still kept.
    history: Sequence[Entry]
    runs: Mapping[str, RunRecord]
    now: float
    added: bool = False

    def clock(self, seconds: float) -> str:
        return clock_text(self.schedule, seconds)

    def next(self, count: int = 3) -> list[str]:
        """Its next times; none while it is paused or has started as often as it may."""
        if self.state.paused or self.schedule.paused or is_spent(self.schedule, self.state):
            return []
        now = datetime.datetime.fromtimestamp(self.now, datetime.UTC)
        return [self.clock(due.timestamp()) for due in next_times(self.schedule, now, count)]

    def overdue(self) -> float | None:
        """For how many seconds a due time waits for a beat, None when none does."""
        if self.state.timing != self.schedule.timing or not self.next(1):
            return None
        start = starts_at(self.schedule, self.state.seen, self.now)
        return self.now - start if start is not None and self.now - start > LATE else None

    def is_over(self) -> bool:
        """Whether it has no time left, other than by a pause."""
        paused = self.state.paused or self.schedule.paused
        return not paused and not self.schedule.after and not self.next(1)

    def why_not(self) -> str:
        """Why nothing starts now, "" when nothing is in the way."""
        if self.state.paused:
            return f"paused by {self.state.paused}"
        if self.schedule.paused:
            return "paused in the file"
        if is_spent(self.schedule, self.state):
            return f"done: it has started {self.state.started} runs"
        now = datetime.datetime.fromtimestamp(self.now, datetime.UTC)
        window = holding(self.schedule.blackout, now, parse_zone(self.schedule.timezone))
        return f"blackout {window.text}" if window else ""


def standings(store: Store, contents: Contents, count: int = 1) -> tuple[dict[str, Standing], dict[str, str]]:
    """How each schedule stands, with the newest ``count`` entries of its history; and what was added and is broken."""
    added = stored.load(store, contents)
    schedules = (*contents.schedules, *added.schedules)
    found, _ = states.read_states(store.redis, [schedule.name for schedule in schedules])
    reader, now = Reader(store.redis), store.now()
    result: dict[str, Standing] = {}
    for schedule in schedules:
        entries = states.history(store.redis, schedule.name, count)
        runs = {entry.run: run for entry in entries if entry.run and (run := reader.run(entry.run))}
        is_added = schedule in added.schedules
        result[schedule.name] = Standing(schedule, found[schedule.name], entries, runs, now, is_added)
    return result, added.faults


def described(schedule: Schedule) -> Iterator[tuple[str, Any]]:
    """Each key that says something else than its default, but for its variables: names only."""
    for field in structs.fields(type(schedule)):
        value = getattr(schedule, field.name)
        default = field.default_factory() if callable(field.default_factory) else field.default
        if value == default or field.name == "name":
            continue
        if field.name in _SPANS:
            value = shown_span(value)
        elif field.name == "vars":
            value = ", ".join(value)
        elif field.name == "blackout":
            value = ", ".join(window.text for window in value)
        elif isinstance(value, tuple):
            value = ", ".join(value)
        yield field.name, value
