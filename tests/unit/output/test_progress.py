"""What a run looks like at a moment, gathered from its events."""

from __future__ import annotations

from msgspec.structs import replace

from opsrunner.output.progress import Progress
from tests.unit.output.samples import BEGAN, Tape, outcome, play, record, step


def web(*numbers: int) -> list[str]:
    return [f"web{number:02d}" for number in numbers]


class Clock:
    """Two clocks that a test moves: one that only goes forward, and the time of day."""

    def __init__(self) -> None:
        self.passed = 0.0

    def monotonic(self) -> float:
        return 100 + self.passed

    def wall(self) -> float:
        return BEGAN + self.passed


def begun(strategy: str = "linear", hosts: int = 3) -> tuple[Progress, Tape, Clock]:
    steps = [step(number, name) for number, name in enumerate("abc")]
    run = record(play(*steps, hosts=web(*range(1, hosts + 1)), strategy=strategy))
    clock, tape = Clock(), Tape()
    progress = Progress(run, clock.monotonic, clock.wall)
    progress.take(tape.event("batch_started", play=0, batch=0, batches=1, hosts=web(*range(1, hosts + 1))))
    return progress, tape, clock


def test_a_step_is_done_with_its_last_hosts_outcome() -> None:
    progress, tape, _ = begun()
    progress.take(tape.event("step_started", play=0, batch=0, step=0, hosts=web(1, 2)))
    assert progress.take(tape.done(outcome(0, "web02", "changed"))) is None
    assert progress.open[0].counts() == {"changed": 1}
    finished = progress.take(tape.done(outcome(0, "web01", "failed", mark="ignored")))
    assert finished
    assert finished.counts() == {"changed": 1, "failed (ignored)": 1}
    assert not progress.open


def test_hosts_that_are_silent_for_ten_seconds_are_named_with_the_longest_wait() -> None:
    progress, tape, clock = begun()
    progress.take(tape.event("step_started", play=0, batch=0, step=0, hosts=web(1, 2, 3)))
    for host in web(1, 2, 3):
        progress.take(tape.event("host_started", step=0, host=host, worker="w"))
    progress.take(tape.done(outcome(0, "web02")))
    clock.passed = 9.9
    assert progress.late() == []
    clock.passed = 12
    ((late, hosts, seconds),) = progress.late()
    assert (late.outline.name, hosts, seconds) == ("a", web(1, 3), 12)


def test_a_run_that_is_looked_at_late_has_been_waiting_since_it_really_began() -> None:
    progress, tape, clock = begun()
    clock.passed = 60
    progress.take(tape.event("step_started", play=0, batch=0, step=0, hosts=web(1)))
    assert [seconds for _, _, seconds in progress.late()] == [60]


def test_a_clock_behind_the_ledgers_makes_no_event_come_from_the_future() -> None:
    progress, tape, clock = begun()
    event = tape.event("step_started", play=0, batch=0, step=0, hosts=web(1))
    progress.take(replace(event, at=event.at + 30))
    clock.passed = 11
    assert [seconds for _, _, seconds in progress.late()] == [11]


def test_a_host_that_is_alone_needs_no_step_announced() -> None:
    progress, tape, _ = begun(hosts=1)
    progress.take(tape.event("step_started", play=0, batch=0, step=0, hosts=web(1)))
    for number in (0, 1, 2):
        progress.take(tape.event("host_started", step=number, host="web01", worker="w"))
        finished = progress.take(tape.done(outcome(number, "web01")))
        assert finished
        assert finished.outline.number == number


def test_under_free_a_step_is_done_when_every_host_that_is_left_has_passed_it() -> None:
    progress, tape, _ = begun("free")
    for host in web(1, 2, 3):
        progress.take(tape.event("host_started", step=0, host=host, worker="w"))
    progress.take(tape.done(outcome(0, "web01")))
    progress.take(tape.event("host_started", step=1, host="web01", worker="w"))
    progress.take(tape.done(outcome(0, "web02", "failed")))  # is out: nobody waits for it
    assert progress.passed() == []
    progress.take(tape.done(outcome(0, "web03")))
    assert progress.passed() == []  # where web03 goes next is not known yet
    progress.take(tape.event("host_started", step=1, host="web03", worker="w"))
    assert [one.outline.number for one in progress.passed()] == [0]
    assert list(progress.open) == [1]


def test_what_is_open_at_the_end_is_handed_over_in_order_unless_nothing_came_of_it() -> None:
    progress, tape, _ = begun("free")
    for number in (2, 0):
        progress.take(tape.done(outcome(number, "web01")))
    progress.take(tape.event("host_started", step=1, host="web02", worker="w"))
    assert [one.outline.number for one in progress.finish_open()] == [0, 2]
    assert not progress.open


def test_an_outcome_that_the_ledger_has_lost_counts_all_the_same() -> None:
    progress, tape, _ = begun()
    progress.take(tape.event("step_started", play=0, batch=0, step=0, hosts=web(1)))
    event = tape.event("outcome", step=0, host="web01", status="lost", mark=None, worker="w", seconds=1)
    finished = progress.take(event)
    assert finished
    assert finished.counts() == {"lost": 1}


def test_running_counts_hosts_at_work() -> None:
    progress, tape, _ = begun()
    progress.take(tape.event("step_started", play=0, batch=0, step=0, hosts=web(1, 2)))
    assert progress.running() == 0
    for host in web(1, 2):
        progress.take(tape.event("host_started", step=0, host=host, worker="w"))
    progress.take(tape.done(outcome(0, "web01")))
    assert progress.running() == 1


def test_under_free_a_host_whose_failure_is_ignored_is_still_waited_for() -> None:
    progress, tape, _ = begun("free", hosts=2)
    progress.take(tape.done(outcome(0, "web01", "failed", "ignored")))
    progress.take(tape.done(outcome(0, "web02")))
    progress.take(tape.event("host_started", step=1, host="web02", worker="w"))
    assert progress.passed() == []
    progress.take(tape.event("host_started", step=1, host="web01", worker="w"))
    assert [one.outline.number for one in progress.passed()] == [0]
