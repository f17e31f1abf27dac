"""What is to be done for a schedule now. Pure: state and time go in, one step comes out.

A schedule's ``seen`` is a cursor over its due times: what lies before it is decided, once and for all. Each step is
stored in one transaction with the cursor, so it is taken once, whoever else looks, and is looked for again by
somebody else when whoever took it dies before.
"""

from __future__ import annotations

import datetime
from collections import deque
from collections.abc import Iterator
from itertools import takewhile
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from opsrunner.schedule.model import Schedule
from opsrunner.schedule.moments import parse_zone
from opsrunner.schedule.times import clock_text, delay, due_after
from opsrunner.schedule.windows import holding

#: Seconds for which due times that were missed are looked for, and how many of those that come ``every`` so often.
LOOK_BACK = 366 * 86400
LOOK_BACK_TIMES = 10_000

#: The ``timing`` of a state that cannot be read: nothing is decided on it.
DAMAGED = "damaged"

What = Literal["started", "by hand", "refused", "skipped", "missed"]


class Due(Struct, frozen=True):
    """One due time, in seconds since the epoch; ``follows`` is the run whose end it is, if it is one."""

    at: float
    follows: str = ""


class Entry(Struct, frozen=True):
    """What became of a due time, or of several that were missed together. Times are seconds since the epoch."""

    what: What
    due: float
    at: float
    run: str = ""
    why: str = ""
    #: How many due times it tells of, the last of which is ``due``.
    count: int = 1
    since: float = 0.0


class State(Struct, frozen=True):
    """What is known of a schedule: see :mod:`opsrunner.schedule.states` for how it is kept."""

    timing: str = ""
    seen: float = 0.0
    #: Who paused it at run time, and when; "" when nobody has.
    paused: str = ""
    #: Runs it has started by itself.
    started: int = 0
    #: Due times that wait for the run that goes on.
    waiting: tuple[Due, ...] = ()
    #: Runs of it that go on.
    going: tuple[str, ...] = ()
    #: Runs that it is to follow, oldest first.
    ended: tuple[Due, ...] = ()


class Step(Struct, frozen=True):
    """One thing to do: ``state`` is what is known afterwards."""

    state: State
    start: Due | None = None
    entry: Entry | None = None
    #: Runs to cancel, and the run in whose stream the entry is told.
    cancel: tuple[str, ...] = ()
    tell: str = ""
    #: For the log, where neither a start nor an entry tells of it.
    said: str = ""


def decide(schedule: Schedule, state: State, now: float) -> Step | None:
    """The next thing to do, None when there is none."""
    if state.timing == DAMAGED:
        return None
    if state.timing != schedule.timing:
        # Due times of before it was there, or was otherwise, were nobody's.
        said = "its times count from now on"
        return Step(replace(state, timing=schedule.timing, seen=now, waiting=(), ended=()), said=said)
    if state.paused or schedule.paused or is_spent(schedule, state):
        return _pass_over(schedule, state, now)
    if state.waiting and not state.going:
        return _begin_waiting(schedule, state, now)
    if schedule.after:
        return _follow(schedule, state, now)
    return _look_at_clock(schedule, state, now)


def is_spent(schedule: Schedule, state: State) -> bool:
    """Whether it has started as many runs as it may."""
    return schedule.count is not None and state.started >= schedule.count


def starts_at(schedule: Schedule, seen: float, now: float) -> float | None:
    """When the first due time after ``seen`` is to be started, None when there is none."""
    return next((start for start, _ in _upcoming(schedule, seen, now)), None)


def _upcoming(schedule: Schedule, seen: float, now: float) -> Iterator[tuple[float, Due]]:
    """Due times after ``seen``, oldest first, each behind the time when it is to be started."""
    # Not for ever, when no beat ran for a year or for ten thousand of them.
    since = max(seen, now - min(LOOK_BACK, (schedule.every or LOOK_BACK) * LOOK_BACK_TIMES))
    for moment in due_after(schedule, datetime.datetime.fromtimestamp(since, datetime.UTC)):
        due = Due(moment.timestamp())
        yield due.at + delay(schedule, moment), due


def _come(schedule: Schedule, seen: float, now: float) -> Iterator[tuple[float, Due]]:
    """Those of :func:`_upcoming` that are to be started by now."""
    return takewhile(lambda coming: coming[0] <= now, _upcoming(schedule, seen, now))


def _pass_over(schedule: Schedule, state: State, now: float) -> Step | None:
    """While it is paused due times pass, and are not made up for."""
    if state.waiting or state.ended or any(_come(schedule, state.seen, now)):
        paused = state.paused or schedule.paused
        said = "not started while it is paused" if paused else "not started again: it has had its count of runs"
        return Step(replace(state, seen=now, waiting=(), ended=()), said=said)
    return None


def _begin_waiting(schedule: Schedule, state: State, now: float) -> Step:
    if schedule.overlap == "cancel_old" and _may_start(schedule, state.seen, now):
        return Step(replace(state, waiting=()), entry=_outdone(state.waiting, now))
    due, *rest = state.waiting
    left = replace(state, waiting=tuple(rest))
    if why := _blackout(schedule, now, now):
        return Step(left, entry=Entry("skipped", due.at, now, why=why))
    return Step(left, start=due)


def _follow(schedule: Schedule, state: State, now: float) -> Step | None:
    if not state.ended:
        return None
    due, *rest = state.ended
    left = replace(state, ended=tuple(rest))
    if now - due.at > schedule.start_deadline:
        return Step(left, entry=_missed(due, now))
    return _meet(schedule, left, due, now)


def _look_at_clock(schedule: Schedule, state: State, now: float) -> Step | None:
    missed = _Missed(schedule.misfire_limit)
    for start, due in _come(schedule, state.seen, now):
        if now - start > schedule.start_deadline:
            missed.add(due, hidden=bool(_blackout(schedule, due.at, due.at)))
        elif missed.seen:
            # One that is due right now does for those that were missed.
            return _misfire(schedule, state, missed, now, made_up=schedule.misfire == "run_once")
        elif schedule.overlap == "cancel_old" and _may_start(schedule, due.at, now):
            # It would be cancelled as soon as it began.
            return Step(replace(state, seen=due.at), entry=_outdone((due,), now))
        else:
            return _meet(schedule, replace(state, seen=due.at), due, now)
    return _misfire(schedule, state, missed, now) if missed.seen else None


class _Missed:
    """Due times that nobody started in time: how many, the first, and the newest of them."""

    def __init__(self, limit: int) -> None:
        self.seen = 0.0
        self.count = 0
        self.first = 0.0
        #: One more than can be made up for: the last of those that are not.
        self.newest: deque[Due] = deque(maxlen=limit + 1)

    def add(self, due: Due, *, hidden: bool) -> None:
        """With ``hidden`` it lay in a blackout: nobody misses it."""
        self.seen = due.at
        if not hidden:
            self.count += 1
            self.first = self.first or due.at
            self.newest.append(due)


def _misfire(schedule: Schedule, state: State, missed: _Missed, now: float, *, made_up: bool = False) -> Step:
    """Leave them out, or put them where they wait to be started one after another."""
    limit = {"skip": 0, "run_once": 0 if made_up else 1, "catch_up": schedule.misfire_limit}[schedule.misfire]
    newest = tuple(missed.newest)
    wanted = newest[-limit:] if limit else ()
    left = replace(state, seen=missed.seen, waiting=(*state.waiting, *wanted))
    count = missed.count - len(wanted)
    if not count:
        again = f"missed times that are made up for: {len(wanted)}"
        return Step(left, said=again if wanted else "its missed times lay in a blackout")
    last = newest[len(newest) - len(wanted) - 1]
    return Step(left, entry=_missed(last, now, count, missed.first))


def _missed(last: Due, now: float, count: int = 1, first: float = 0.0) -> Entry:
    return Entry("missed", last.at, now, why="nobody started it in time", count=count, since=first or last.at)


def _meet(schedule: Schedule, left: State, due: Due, now: float) -> Step:
    """A due time has come in time."""
    if why := _blackout(schedule, due.at, now):
        return Step(left, entry=Entry("skipped", due.at, now, why=why))
    if not left.going or schedule.overlap == "allow":
        return Step(left, start=due)
    busy = left.going[-1]
    if schedule.overlap == "cancel_old":
        entry = _outdone(left.waiting, now) if left.waiting else None
        said = f"due {clock_text(schedule, due.at)}: cancels run {' and '.join(left.going)}"
        return Step(replace(left, waiting=(due,)), entry=entry, cancel=left.going, said=said)
    if schedule.overlap == "queue" and not left.waiting:
        said = f"due {clock_text(schedule, due.at)}: waits for the end of run {busy}"
        return Step(replace(left, waiting=(due,)), said=said)
    why = f"run {busy} goes on" + (", and another due time waits" if left.waiting else "")
    return Step(left, entry=Entry("skipped", due.at, now, run=busy, why=why), tell=busy)


def _may_start(schedule: Schedule, seen: float, now: float) -> bool:
    """Whether a due time after ``seen`` has come, and neither passed its deadline nor met a blackout."""
    return not _blackout(schedule, now, now) and any(
        now - start <= schedule.start_deadline and not _blackout(schedule, due.at, due.at)
        for start, due in _come(schedule, seen, now)
    )


def _outdone(old: tuple[Due, ...], now: float) -> Entry:
    return Entry("skipped", old[-1].at, now, why="a newer due time came", count=len(old), since=old[0].at)


def _blackout(schedule: Schedule, due: float, now: float) -> str:
    """Why it must not start: neither the due time nor the moment of its start may lie in a blackout."""
    zone = parse_zone(schedule.timezone)
    for moment in (due, now):
        window = holding(schedule.blackout, datetime.datetime.fromtimestamp(moment, datetime.UTC), zone)
        if window:
            return f"blackout {window.text}"
    return ""
