"""Following a run: its events as they come, however often Redis goes away meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from msgspec.structs import replace
from redis.exceptions import NoPermissionError

from opsrunner.ledger import keys
from opsrunner.ledger.client import AWAY, Refused
from opsrunner.ledger.decoding import entry_before, events_after
from opsrunner.ledger.encoding import decoding
from opsrunner.ledger.reader import ENTRIES_AT_ONCE, Reader
from opsrunner.ledger.records import ENDED, Event, Outcome, bare_outcome
from opsrunner.ledger.runs import run_lost

#: Outcomes read in one round trip to complete events.
OUTCOMES_AT_ONCE = 1000
#: The part of the time that a run was followed so far for which its events are gathered between two reads, and the
#: least and the most seconds: each read costs what a dozen events do, and nobody sees that little.
GATHER_PART, GATHER_LEAST, GATHER_MOST = 0.02, 0.02, 0.1
#: The most seconds that each outcome which a step still lacks is worth waiting for: the last ones are read at once.
GATHER_DUE = 0.0005
#: Seconds of silence between two looks whether the run is still there and Redis still takes what it is told.
LOOK = 3.0

Answer = TypeVar("Answer")
#: Whether the outcome that an event tells of is to be read with its result.
Wants = Callable[[Event], bool]


def everything(_event: Event) -> bool:
    """Every outcome is."""
    return True


class Outage:
    """Since when Redis is away, as told to somebody who follows a run: when it begins, and when it is over."""

    def __init__(self) -> None:
        self.since = 0.0

    def met(self, error: Exception) -> Event | None:
        """A notice for the first of the errors, None for the others."""
        if self.since:
            return None
        self.since = time.time()
        does = "stores nothing" if isinstance(error, Refused) else "does not answer"
        clock = time.strftime("%H:%M:%S", time.localtime(self.since))
        return _notice(f"Redis {does} since {clock} ({error}); the run goes on as soon as it is back", "warning")

    def over(self) -> Event:
        seconds, self.since = time.time() - self.since, 0.0
        return _notice(f"Redis is back after {seconds:.0f} s", "info")


class Pace:
    """How long the events of a run are gathered between two reads, in seconds of a clock that only goes forward."""

    def __init__(self, now: float) -> None:
        self._begun = now
        #: Outcomes that the step which was begun last still lacks; fewer than none where hosts go through many steps.
        self._due = 0

    def saw(self, event: Event) -> None:
        if event.kind == "step_started":
            self._due = len(event.data["hosts"])
        elif event.kind == "outcome":
            self._due -= 1

    def pause(self, now: float) -> float:
        part = min(GATHER_MOST, (now - self._begun) * GATHER_PART)
        return part if self._due < 0 else min(max(GATHER_LEAST, part), self._due * GATHER_DUE)


def _notice(text: str, level: str) -> Event:
    return Event("", time.time(), "notice", {"text": text, "level": level})


class Ledger(Reader):
    """What a command line holds to look at runs."""

    def follow(
        self, run_id: str, *, after: str = "0", complete: bool = True, wants: Wants = everything, idle: float = 0.5
    ) -> Iterator[Event | None]:
        """Events as they come, until the run has finished; None when nothing came for ``idle`` seconds.

        A run that was resumed has finished before: its end is the last one. With ``complete`` an outcome event
        carries its :class:`Outcome`; that of one which nobody ``wants`` has no result and no times. While Redis is away
        it goes on trying, and tells so by events of kind ``notice`` that stand in no stream (their ``id`` is "").
        Raises LedgerLost when the run is gone.
        """
        last = after
        finished = ended = False
        quiet_since = time.monotonic()
        pace = Pace(quiet_since)
        outage = Outage()
        block = max(1, int(idle * 1000))
        while True:
            events = yield from self._insist(outage, partial(self._await_events, run_id, last, block))
            if not events:
                yield None
                if ended:
                    return  # before this look already, and nothing came after it
                if finished or time.monotonic() - quiet_since > LOOK:
                    # A run that ended while its stream was trimmed or lost must not be waited for.
                    quiet_since = time.monotonic()
                    ended = yield from self._insist(outage, partial(self._has_ended, run_id))
                continue
            quiet_since = time.monotonic()
            last = events[-1].id
            for begin in range(0, len(events), OUTCOMES_AT_ONCE):
                some = events[begin : begin + OUTCOMES_AT_ONCE]
                if complete:
                    some = yield from self._insist(outage, partial(self._completed, run_id, some, wants))
                for event in some:
                    pace.saw(event)
                    yield event
                    finished = finished or event.kind == "run_finished"
            if events[-1].kind == "run_finished" and (
                yield from self._insist(outage, partial(self._is_at_end, run_id, last))
            ):
                return
            if len(events) < ENTRIES_AT_ONCE:
                time.sleep(pace.pause(time.monotonic()))

    def _is_at_end(self, run_id: str, last: str) -> bool:
        return self._has_ended(run_id) and self.newest_event(run_id) == last

    def _await_events(self, run_id: str, after: str, milliseconds: int) -> list[Event]:
        place = {keys.events(run_id): entry_before(after)}
        reply: Any = self.redis.xread(place, count=ENTRIES_AT_ONCE, block=milliseconds)
        if not reply:
            return []
        return events_after(after, reply[0][1] if isinstance(reply, list) else next(iter(reply.values()))[0])

    def insist(self, ask: Callable[[], Answer]) -> Generator[Event | None, None, Answer]:
        """Do what reads the ledger; while Redis is away try again, giving notices as :meth:`follow` does."""
        return (yield from self._insist(Outage(), ask))

    def _insist(self, outage: Outage, ask: Callable[[], Answer]) -> Generator[Event | None, None, Answer]:
        delay = 0.1
        while True:
            try:
                if outage.since:
                    self._try_to_write()
                answer = ask()
                break
            except AWAY as error:
                yield outage.met(error)
            time.sleep(delay)
            delay = min(1.0, 2 * delay)
        if outage.since:
            yield outage.over()
        return answer

    def _has_ended(self, run_id: str) -> bool:
        """Raises LedgerLost when the run is gone."""
        status, created = self.redis.hmget(keys.run(run_id), "status", "created")
        if not created:  # workers may have written to what is no run any more
            raise run_lost(run_id)
        self._try_to_write()
        return status is not None and status.decode() in ENDED

    def _try_to_write(self) -> None:
        """Write nothing at all, which a server that is full or a replica refuses: the run waits for it then."""
        with suppress(NoPermissionError):  # who may only read can see no more than that Redis answers
            self.redis.setrange(keys.PROBE, 0, b"")

    def _completed(self, run_id: str, events: list[Event], wants: Wants) -> list[Event]:
        """The events, with their outcomes. What of a host's output stands among them is only the beginning."""
        hosts: dict[int, list[str]] = {}
        bare: dict[str, Outcome] = {}
        with decoding("events of outcomes"):
            printed = {(event.data["step"], event.data["host"]) for event in events if event.kind == "output"}
            for event in events:
                if event.kind != "outcome":
                    continue
                step, host = event.data["step"], event.data["host"]
                if wants(event) or (step, host) in printed:
                    hosts.setdefault(int(step), []).append(str(host))
                else:
                    bare[event.id] = bare_outcome(event)
        outcomes = self._outcomes_on(run_id, hosts)
        return [
            replace(event, outcome=bare.get(event.id) or outcomes.get((event.data["step"], event.data["host"])))
            if event.kind == "outcome"
            else event
            for event in events
        ]
