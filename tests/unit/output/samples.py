"""Runs as data: what the ledger would hold, and the events that told of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FrameType
from typing import Any

from msgspec.structs import replace

from opsrunner.ledger.records import (
    Event,
    EventKind,
    Outcome,
    PlayOutline,
    RunRecord,
    Status,
    StepOutline,
    count,
    empty_stats,
)

WEB = ("web01", "web02", "web03")
#: 2026-01-02 03:04:05 UTC.
BEGAN = 1767323045.0


def step(number: int, name: str = "", **more: Any) -> StepOutline:
    """A step of the module ``command`` unless said otherwise."""
    return StepOutline(number, name or f"step {number}", **{"module": "command", "place": f"p.yml:{number}:5", **more})


def play(
    *steps: StepOutline, hosts: Sequence[str] = WEB, number: int = 0, name: str = "first", **more: Any
) -> PlayOutline:
    """A play with all its hosts in one batch unless said otherwise."""
    return PlayOutline(number, name, tuple(hosts), steps=steps, **{"batches": (len(hosts),), **more})


def record(*plays: PlayOutline, **more: Any) -> RunRecord:
    """A playbook's run that succeeded in two seconds unless said otherwise."""
    run = RunRecord(
        id="260102-030405-abcd",
        status="succeeded",
        title="p.yml",
        kind="playbook",
        user="ann@desk",
        created=BEGAN - 0.5,
        started=BEGAN,
        finished=BEGAN + 2,
        exit_code=0,
        hosts=len({host for play in plays for host in play.hosts}),
        plays=plays,
    )
    return replace(run, **more)


def outcome(number: int, host: str, status: Status = "ok", mark: Any = None, **result: Any) -> Outcome:
    """An outcome of a quarter of a second; ``result`` is what the module gave."""
    return Outcome(number, host, status, result, mark, BEGAN + number, BEGAN + number + 0.25, "worker1")


def stats_of(run: RunRecord, outcomes: Iterable[Outcome]) -> dict[str, dict[str, int]]:
    """The counts as the ledger gives them."""
    stats = {host: empty_stats() for play in run.plays for host in play.hosts}
    for one in outcomes:
        count(stats[one.host], one.status, one.mark)
    return stats


class Tape:
    """Numbers events as Redis would, and gives each the time it happened."""

    def __init__(self) -> None:
        self._last = 0

    def event(self, kind: EventKind, *, told: Outcome | None = None, **data: Any) -> Event:
        self._last += 1
        return Event(f"{int(BEGAN * 1000)}-{self._last}", BEGAN, kind, data, told)

    def done(self, one: Outcome) -> Event:
        """The event that tells of an outcome."""
        return self.event(
            "outcome", told=one, step=one.step, host=one.host, status=one.status, mark=one.mark, worker=one.worker
        )


def linear_events(run: RunRecord, outcomes: Sequence[Outcome]) -> Iterator[Event]:
    """A run in lockstep, one batch a play, as its stream tells it; ``outcomes`` in the order they came."""
    tape = Tape()
    yield tape.event("run_started", playbook=run.title, plays=len(run.plays))
    for one_play in run.plays:
        yield tape.event("play_started", play=one_play.number, name=one_play.name, hosts=len(one_play.hosts))
        yield tape.event("batch_started", play=one_play.number, batch=0, batches=1, hosts=list(one_play.hosts))
        for outline in one_play.steps:
            told = [one for one in outcomes if one.step == outline.number]
            if not told:
                continue
            hosts = [one.host for one in told]
            yield tape.event("step_started", play=one_play.number, batch=0, step=outline.number, hosts=hosts)
            for one in told:
                yield tape.event("host_started", step=one.step, host=one.host, worker=one.worker)
                yield tape.done(one)
    yield tape.event("run_finished", status=run.status, exit_code=run.exit_code)


def calls(work: Callable[[], object]) -> int:
    """How many functions of Python ``work`` calls: what it costs, on a machine of any speed."""
    counted = 0

    def count(_frame: FrameType, what: str, _argument: object) -> None:
        nonlocal counted
        counted += what == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return counted
