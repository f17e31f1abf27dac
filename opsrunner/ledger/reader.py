"""The ledger's reading side: runs, outcomes, the live stream. Nothing here writes."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from redis.exceptions import NoPermissionError

from opsrunner.errors import InputError, LedgerLost, RunNotFound
from opsrunner.ledger import keys
from opsrunner.ledger.client import AWAY, Client, Refused, time_of
from opsrunner.ledger.decoding import (
    decode_events,
    decode_listed_record,
    decode_record,
    decode_text,
    entry_before,
    events_after,
)
from opsrunner.ledger.encoding import decode_result, decode_status, decode_terminal, decode_time, decoding
from opsrunner.ledger.records import (
    ENDED,
    GOOD,
    Event,
    Outcome,
    Result,
    RunRecord,
    count,
    empty_stats,
    uncounted,
)

#: Runs among which the one before is looked for.
LOOKED_BACK = 5000
#: Entries read from the stream in one round trip; each may hold many events.
ENTRIES_AT_ONCE = 500
#: Outcomes read in one round trip to complete events.
OUTCOMES_AT_ONCE = 1000
#: The part of the time that a run was followed so far for which its events are gathered between two reads, and the
#: most seconds: each read costs what a dozen events do, and nobody sees that little.
GATHER_PART, GATHER_MOST = 0.02, 0.1
#: Seconds of silence between two looks whether the run is still there and Redis still takes what it is told.
LOOK = 3.0
#: What an id of a run, or its beginning, is made of.
_RUN_ID = re.compile(r"[A-Za-z0-9_-]+")

Answer = TypeVar("Answer")


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


def _notice(text: str, level: str) -> Event:
    return Event("", time.time(), "notice", {"text": text, "level": level})


def _lost(run_id: str) -> LedgerLost:
    return LedgerLost(
        f"Redis knows nothing of run {run_id} any more",
        why="it lost its memory: it was flushed, or came back without its file",
        remedy="what the hosts did is done, and its record is gone: look at the hosts before you run it again",
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands, without its plays. ``finished`` is as Redis has it: what compares it must not round."""

    status: str
    started: float | None
    finished: str


class Reader:
    """Reads what the ledger holds. Raises redis' own errors when the server is away."""

    def __init__(self, client: Client) -> None:
        self.redis = client

    def now(self) -> float:
        """Seconds since the epoch by Redis' clock: what is stored is told by it, this node's may differ."""
        return time_of(self.redis)

    def clock(self) -> Callable[[], float]:
        """As :meth:`now`, asked once and counted on from there."""
        told, at = self.now(), time.monotonic()
        return lambda: told + time.monotonic() - at

    def runs(self, limit: int = 20) -> list[RunRecord]:
        """The newest runs, newest first; those whose records are gone are left out.

        One whose record cannot be read is there with nothing but its id, and says so as its reason.
        """
        last = min(max(0, limit - 1), 10**9)
        ids = [decode_text(run_id) for run_id in self.redis.zrevrange(keys.RUNS, 0, last)]
        pipeline = self.redis.pipeline(transaction=False)
        for run_id in ids:
            pipeline.hgetall(keys.run(run_id))
        answers = zip(ids, pipeline.execute(raise_on_error=False), strict=True)
        return [decode_listed_record(run_id, fields) for run_id, fields in answers if fields]

    def run(self, run_id: str) -> RunRecord | None:
        """One run by its whole id. Raises LedgerDamaged."""
        fields = self.redis.hgetall(keys.run(run_id))
        return decode_record(run_id, fields) if fields else None

    def look(self, run_id: str) -> RunRecord:
        """One run that was there. Raises LedgerLost when it is gone, and LedgerDamaged."""
        record = self.run(run_id)
        if record is None or not record.created:  # workers may have written to what is no run any more
            raise _lost(run_id)
        return record

    def standings(self, run_ids: Iterable[str]) -> dict[str, Standing | None]:
        """Where runs stand, for a fraction of what reading them takes; None for one that is not there, or damaged."""
        ids = list(run_ids)
        pipeline = self.redis.pipeline(transaction=False)
        for run_id in ids:
            pipeline.hmget(keys.run(run_id), "status", "started", "finished")
        answers = pipeline.execute(raise_on_error=False)
        return {run_id: _standing(answer) for run_id, answer in zip(ids, answers, strict=True)}

    def previous(self, run: RunRecord) -> RunRecord | None:
        """The run before of the same schedule (else of the same playbook or command) that ended and was not cancelled.

        None too where that is more than :data:`LOOKED_BACK` runs ago.
        """
        wanted = _same_work(run.schedule, run.title, run.kind, run.check)
        ids = self.redis.zrevrangebyscore(keys.RUNS, f"({run.created!r}", "-inf", start=0, num=LOOKED_BACK)
        for begin in range(0, len(ids), 100):
            some = [decode_text(run_id) for run_id in ids[begin : begin + 100]]
            pipeline = self.redis.pipeline(transaction=False)
            for run_id in some:
                pipeline.hmget(keys.run(run_id), "status", "schedule", "title", "kind", "check")
            for run_id, fields in zip(some, pipeline.execute(), strict=True):
                status, schedule, title, kind, check = (decode_text(field or b"") for field in fields)
                same = _same_work(schedule or None, title, kind, check == "1") == wanted
                if same and status in ENDED and status != "cancelled":
                    return self.run(run_id)
        return None

    def find(self, text: str) -> RunRecord:
        """A run by its id, a unique beginning of it, or ``last``. Raises RunNotFound and LedgerDamaged."""
        if text == "last":
            newest = self.runs(1)
            if not newest:
                raise RunNotFound("there is no run yet", remedy="opsrunner run PLAYBOOK")
            text = newest[0].id
        # Anything else would name another of the ledger's keys: no run is called 240101-120000-abcd:plan.
        exact = self.run(text) if _RUN_ID.fullmatch(text) else None
        if exact:
            return exact
        names = map(decode_text, self.redis.zrange(keys.RUNS, 0, -1))
        found = [name for name in names if text and name.startswith(text)]
        if len(found) > 1:
            raise RunNotFound(
                f"{len(found)} runs begin with {text!r}", why=", ".join(found[:5]), remedy="write more of the id"
            )
        record = self.run(found[0]) if found else None
        if record is None:
            raise RunNotFound(f"no run {text!r}", remedy="`opsrunner runs` lists them")
        return record

    def find_ended(self, text: str) -> RunRecord:
        """As :meth:`find`. Raises InputError while the run goes on."""
        record = self.find(text)
        if record.status not in ENDED:
            raise InputError(
                f"run {record.id} still goes on ({record.status})",
                remedy=f"opsrunner watch {record.id} shows it, opsrunner cancel {record.id} stops it",
            )
        return record

    def outcomes(
        self, run_id: str, *, step: int | None = None, host: str | None = None, bare: bool = False
    ) -> Iterator[Outcome]:
        """Every outcome in step order, each step's hosts in the order of the play.

        With ``bare`` the results are left where they are: enough to count, at a fraction of the bytes.
        """
        record = self.run(run_id)
        for play in record.plays if record else ():
            for outline in play.steps:
                if step is not None and outline.number != step:
                    continue
                yield from self._outcomes_of(run_id, outline.number, (host,) if host else play.hosts, bare)

    def _outcomes_of(self, run_id: str, step: int, hosts: Sequence[str], bare: bool) -> Iterator[Outcome]:
        for begin in range(0, len(hosts), 500):
            found = self._outcomes_on(run_id, {step: hosts[begin : begin + 500]}, bare=bare)
            yield from (outcome for outcome in found.values() if outcome)

    def result(self, run_id: str, step: int, host: str) -> Result:
        """What one host × step gave, {} while there is nothing."""
        stored = self.redis.hget(keys.results(run_id, step), host)
        return decode_result(stored) if stored else {}

    def states(self, run_id: str, step: int) -> dict[str, str]:
        """Host → state of that step, as scripts.lua writes them; hosts nobody claimed are absent."""
        return {
            decode_text(host): decode_text(state)
            for host, state in self.redis.hgetall(keys.steps(run_id, step)).items()
        }

    def stats(self, run: RunRecord) -> dict[str, dict[str, int]]:
        """Host → counts as in Ansible's recap. Every targeted host is there, in the plays' order."""
        stats = {host: empty_stats() for play in run.plays for host in play.hosts}
        steps = [step.number for play in run.plays for step in play.steps]
        steering = uncounted(run.plays)
        pipeline = self.redis.pipeline(transaction=False)
        for number in steps:
            pipeline.hgetall(keys.steps(run.id, number))
        for number, states in zip(steps, pipeline.execute(), strict=True):
            for raw_host, state in states.items():
                host = decode_text(raw_host)
                came = decode_status(number, host, decode_text(state))
                if came and not (number in steering and came[0] in GOOD):
                    count(stats.setdefault(host, empty_stats()), *came)
        return stats

    def ended(self, run_id: str) -> dict[str, str]:
        """Host → why it took part in nothing more (failed, unreachable, lost, cancelled, stopped)."""
        return {decode_text(host): decode_text(why) for host, why in self.redis.hgetall(keys.ended(run_id)).items()}

    def leads(self, boot: str) -> bool:
        """Whether that worker process is the one that sees to what only one may do."""
        return bool(self.redis.get(keys.LEADER) == boot.encode())

    def unlocks(self) -> list[dict[str, Any]]:
        """Who took which host from a run and why, newest first: ``host``, ``run``, ``by``, ``reason``, ``at``."""
        records: list[dict[str, Any]] = []
        for data in self.redis.lrange(keys.UNLOCKS, 0, -1):
            with decoding("the record of an unlocked host"):
                records.append(json.loads(data))
        return records

    def follow(
        self, run_id: str, *, after: str = "0", complete: bool = True, idle: float = 0.5
    ) -> Iterator[Event | None]:
        """Events as they come, until the run has finished; None when nothing came for ``idle`` seconds.

        A run that was resumed has finished before: its end is the last one. With ``complete`` an outcome event
        carries its :class:`Outcome`. While Redis is away it goes on trying, and tells so by events of kind ``notice``
        that stand in no stream (their ``id`` is ""). Raises LedgerLost when the run is gone.
        """
        last = after
        finished = ended = False
        begun = quiet_since = time.monotonic()
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
                for event in (yield from self._insist(outage, partial(self._completed, run_id, some, complete))):
                    yield event
                    finished = finished or event.kind == "run_finished"
            if events[-1].kind == "run_finished" and (
                yield from self._insist(outage, partial(self._is_at_end, run_id, last))
            ):
                return
            if len(events) < ENTRIES_AT_ONCE:
                time.sleep(min(GATHER_MOST, (time.monotonic() - begun) * GATHER_PART))

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
            raise _lost(run_id)
        self._try_to_write()
        return status is not None and status.decode() in ENDED

    def _try_to_write(self) -> None:
        """Write nothing at all, which a server that is full or a replica refuses: the run waits for it then."""
        with suppress(NoPermissionError):  # who may only read can see no more than that Redis answers
            self.redis.setrange(keys.PROBE, 0, b"")

    def events(self, run_id: str, *, after: str = "0", limit: int = 1000) -> list[Event]:
        """What the stream holds after that place, without waiting; :meth:`follow` waits."""
        entries = self.redis.xrange(keys.events(run_id), min=f"({entry_before(after)}", count=limit)
        return events_after(after, entries)[:limit]

    def is_answered(self, run_id: str, question: str) -> bool:
        """Whether the operator has answered that question of a step."""
        return bool(self.redis.hexists(keys.answers(run_id), question))

    def newest_event(self, run_id: str) -> str:
        """The place of the last event so far, "0" before the first."""
        newest = self.redis.xrevrange(keys.events(run_id), count=1)
        return newest[0][0].decode() if newest else "0"

    def _completed(self, run_id: str, events: list[Event], complete: bool) -> list[Event]:
        if not complete:
            return events
        hosts: dict[int, list[str]] = {}
        with decoding("events of outcomes"):
            for event in events:
                if event.kind == "outcome":
                    hosts.setdefault(int(event.data["step"]), []).append(str(event.data["host"]))
        outcomes = self._outcomes_on(run_id, hosts)
        return [
            Event(one.id, one.at, one.kind, one.data, outcomes.get((one.data["step"], one.data["host"])))
            if one.kind == "outcome"
            else one
            for one in events
        ]

    def _outcomes_on(
        self, run_id: str, hosts: Mapping[int, Sequence[str]], *, bare: bool = False
    ) -> dict[tuple[int, str], Outcome | None]:
        """The outcomes of these steps on their hosts; with ``bare`` without their results."""
        pipeline = self.redis.pipeline(transaction=False)
        for step, some in hosts.items():
            pipeline.hmget(keys.steps(run_id, step), some)
            if not bare:
                pipeline.hmget(keys.results(run_id, step), some)
        answers = iter(pipeline.execute() if hosts else ())
        return {
            (step, host): _outcome(step, host, state, result)
            for step, some in hosts.items()
            for host, state, result in zip(
                some, next(answers), [None] * len(some) if bare else next(answers), strict=True
            )
        }

    def live_output(self, run_id: str, step: int, host: str) -> str:
        """What a step that still runs, or was lost, has printed so far."""
        return self.live_outputs(run_id, step, (host,))[host]

    def live_outputs(self, run_id: str, step: int, hosts: Iterable[str]) -> dict[str, str]:
        """As :meth:`live_output`, for many hosts in one pass over the events."""
        parts: dict[str, list[str]] = {host: [] for host in hosts}
        after = "-"
        while parts:
            entries = self.redis.xrange(keys.events(run_id), after, "+", count=ENTRIES_AT_ONCE)
            for entry_id, fields in entries:
                after = f"({entry_id.decode()}"
                printed = decode_events(entry_id.decode(), fields) if fields.get(b"k") == b"output" else ()
                for data in (event.data for event in printed):
                    if data.get("step") == step and data.get("host") in parts:
                        parts[data["host"]].append(data.get("text", ""))
            if len(entries) < ENTRIES_AT_ONCE:
                break
        return {host: "".join(texts) for host, texts in parts.items()}


def _standing(answer: Any) -> Standing | None:
    if isinstance(answer, AWAY):
        raise answer
    if isinstance(answer, Exception) or answer[0] is None:
        return None
    status, started, finished = answer
    try:
        begun = decode_time(started) if started else None
    except ValueError:
        return None
    return Standing(decode_text(status), begun, decode_text(finished or b""))


def _same_work(schedule: str | None, title: str, kind: str, check: bool) -> tuple[object, ...]:
    """Equal for runs of which the later one tells whether what was wrong is mended."""
    return (schedule, check) if schedule else (title, kind, check)


def _outcome(step: int, host: str, state: bytes | None, result: bytes | None) -> Outcome | None:
    if not state:
        return None
    return decode_terminal(step, host, decode_text(state), decode_result(result) if result else {})


class Ledger(Reader):
    """What a command line holds to look at runs."""
