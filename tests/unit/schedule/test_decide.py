"""What is done for a schedule, step by step; state and time are handed in."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from opsrunner.schedule.decide import Due, Entry, State, Step, decide, starts_at
from opsrunner.schedule.model import Misfire, Schedule
from opsrunner.schedule.times import delay
from opsrunner.schedule.windows import parse_window

#: 2026-11-21 12:00:00 UTC, a Saturday.
NOON = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC).timestamp()


def schedule(**given: Any) -> Schedule:
    """Due every minute, where nothing else is said."""
    when = {} if {"cron", "every", "at", "after"} & given.keys() else {"every": 60}
    return Schedule("one", Path("play.yml"), **when, **given)


def seen(of: Schedule, at: float = NOON, **given: Any) -> State:
    """A state in which everything up to ``at`` is decided."""
    return State(timing=of.timing, seen=at, **given)


def steps(of: Schedule, state: State, now: float) -> list[Step]:
    """Everything that is to be done at that moment; what is started goes on as ``run``."""
    found: list[Step] = []
    while step := decide(of, state, now):
        found.append(step)
        state = step.state
        if step.start:
            state = replace(state, started=state.started + 1, going=(*state.going, f"run{len(found)}"))
        assert len(found) < 100, "it never comes to an end"
    return found


def started(found: list[Step]) -> list[float]:
    return [step.start.at - NOON for step in found if step.start]


def entries(found: list[Step]) -> list[Entry]:
    return [step.entry for step in found if step.entry]


def test_a_schedule_that_is_new_has_missed_nothing() -> None:
    one = schedule(misfire="catch_up")
    (step,) = steps(one, State(), NOON)
    assert step == Step(State(timing=one.timing, seen=NOON), said="its times count from now on")
    # Neither has one whose times were changed meanwhile.
    other = replace(one, every=30)
    assert steps(other, seen(one, NOON - 3600, waiting=(Due(NOON - 60),)), NOON) == [replace(step, state=seen(other))]


def test_nothing_is_done_before_it_is_due() -> None:
    assert steps(schedule(), seen(schedule()), NOON + 59) == []


def test_a_due_time_is_started_once() -> None:
    (step,) = steps(schedule(), seen(schedule()), NOON + 61)
    assert step.start == Due(NOON + 60)
    assert decide(schedule(), step.state, NOON + 61) is None


def test_a_due_time_that_is_late_is_started_until_its_deadline() -> None:
    one = schedule(cron="0 13 * * *", start_deadline=300)
    assert started(steps(one, seen(one), NOON + 3600 + 300)) == [3600]
    (missed,) = entries(steps(one, seen(one), NOON + 3600 + 301))
    assert (missed.what, missed.due, missed.count) == ("missed", NOON + 3600, 1)


@pytest.mark.parametrize(
    ("misfire", "wanted", "missed"),
    [("skip", [], (60, 600, 10)), ("run_once", [600], (60, 540, 9)), ("catch_up", [480, 540, 600], (60, 420, 7))],
)
def test_times_that_no_beat_started(misfire: Misfire, wanted: list[float], missed: tuple[int, int, int]) -> None:
    one = schedule(misfire=misfire, misfire_limit=3, start_deadline=30, overlap="allow")
    now = NOON + 600 + 50
    first = decide(one, seen(one), now)
    assert first
    assert first.entry
    assert (first.entry.since - NOON, first.entry.due - NOON, first.entry.count) == missed
    assert [due.at - NOON for due in first.state.waiting] == wanted
    # They come one after another: each when the one before has ended.
    state, done = first.state, []
    while step := decide(one, state, now):
        assert step.start
        done.append(step.start.at - NOON)
        assert decide(one, replace(step.state, going=("run",)), now) is None
        state = step.state
    assert done == wanted


def test_missed_times_are_made_up_once_by_one_that_is_due_now() -> None:
    one = schedule(misfire="run_once", start_deadline=30)
    assert started(steps(one, seen(one), NOON + 610)) == [600]


def test_few_missed_times_are_all_made_up_and_none_is_told_as_missed() -> None:
    one = schedule(misfire="catch_up", start_deadline=30)
    found = steps(one, seen(one), NOON + 175)
    assert entries(found) == []
    assert [due.at - NOON for due in found[0].state.waiting] == [60, 120]
    assert found[0].said == "missed times that are made up for: 2"


def test_what_was_missed_in_a_blackout_is_not_missed() -> None:
    one = schedule(start_deadline=30, blackout=(parse_window("12:00-12:05"),))
    (step,) = steps(one, seen(one), NOON + 290)
    assert step == Step(seen(one, NOON + 240), said="its missed times lay in a blackout")
    (missed,) = entries(steps(one, seen(one), NOON + 351))
    assert (missed.since - NOON, missed.count) == (300, 1)


def test_a_year_without_a_beat_is_looked_through_in_bounded_time() -> None:
    one = schedule(every=1)
    step = decide(one, seen(one, NOON - 10**9), NOON)
    assert step
    assert step.entry
    assert 9_000 < step.entry.count <= 10_000


def test_neither_the_due_time_nor_the_start_may_lie_in_a_blackout() -> None:
    one = schedule(blackout=(parse_window("12:01-12:02"),))
    for now in (NOON + 61, NOON + 125):
        first = entries(steps(one, seen(one), now))[0]
        assert (first.what, first.due, first.why) == ("skipped", NOON + 60, "blackout 12:01-12:02")
    late = schedule(cron="0 12 * * *", blackout=(parse_window("12:01-12:02"),))
    assert entries(steps(late, seen(late, NOON - 1), NOON + 61))[0].why == "blackout 12:01-12:02"


def test_while_it_is_paused_times_pass() -> None:
    for one, state, why in (
        (schedule(), {"paused": "me"}, "while it is paused"),
        (schedule(paused=True), {}, "while it is paused"),
        (schedule(count=2), {"started": 2}, "again: it has had its count of runs"),
    ):
        (step,) = steps(one, seen(one, **state), NOON + 610)
        assert step.state.seen == NOON + 610
        assert step.start is step.entry is None
        assert step.said == f"not started {why}"


def test_count_ends_it() -> None:
    one = schedule(count=2, overlap="allow")
    assert started(steps(one, seen(one), NOON + 290)) == [60, 120]


def test_until_ends_it() -> None:
    one = schedule(until=datetime.datetime.fromtimestamp(NOON + 120, datetime.UTC), overlap="allow")
    assert started(steps(one, seen(one), NOON + 290)) == [60]


def test_once_at_its_time() -> None:
    one = schedule(at=datetime.datetime.fromtimestamp(NOON + 60, datetime.UTC))
    found = steps(one, seen(one), NOON + 61)
    assert started(found) == [60]
    assert starts_at(one, found[-1].state.seen, NOON + 61) is None


def test_jitter_puts_a_start_off_and_everybody_by_the_same() -> None:
    one = schedule(every=3600, jitter=1800)
    moments = [datetime.datetime.fromtimestamp(NOON + 3600 * number, datetime.UTC) for number in range(1, 50)]
    delays = [delay(one, moment) for moment in moments]
    assert all(0 <= put_off < 1800 for put_off in delays)
    assert len(set(delays)) == len(delays)
    first = NOON + 3600 + delays[0]
    assert starts_at(one, NOON, NOON) == first
    assert steps(one, seen(one), first - 0.001) == []
    assert started(steps(one, seen(one), first)) == [3600]
    # The deadline counts from there.
    assert started(steps(one, seen(one), first + 300)) == [3600]


def test_overlap_skip_tells_the_run_that_is_in_the_way() -> None:
    one = schedule()
    (step,) = steps(one, seen(one, going=("busy",)), NOON + 61)
    assert step.tell == "busy"
    assert step.entry == Entry("skipped", NOON + 60, NOON + 61, run="busy", why="run busy goes on")


def test_overlap_queue_lets_one_wait() -> None:
    one = schedule(overlap="queue")
    first, second = steps(one, seen(one, going=("busy",)), NOON + 121)
    waits = "due 2026-11-21 12:01:00+00:00: waits for the end of run busy"
    assert first == Step(seen(one, NOON + 60, going=("busy",), waiting=(Due(NOON + 60),)), said=waits)
    assert second.entry
    assert second.entry.why == "run busy goes on, and another due time waits"
    free = replace(second.state, going=())
    # However long that takes.
    assert started(steps(one, replace(free, seen=NOON + 36000), NOON + 36010)) == [60]


def test_overlap_cancel_old_cancels_and_waits_for_that() -> None:
    one = schedule(overlap="cancel_old")
    (step,) = steps(one, seen(one, going=("busy",)), NOON + 61)
    assert step.cancel == ("busy",)
    assert step.said == "due 2026-11-21 12:01:00+00:00: cancels run busy"
    assert step.start is None
    (other,) = steps(one, step.state, NOON + 121)
    assert [due.at - NOON for due in other.state.waiting] == [120]
    assert other.entry
    assert (other.entry.due, other.entry.why) == (NOON + 60, "a newer due time came")
    assert started(steps(one, replace(other.state, going=()), NOON + 125)) == [120]


def test_overlap_cancel_old_starts_nothing_that_would_be_cancelled_at_once() -> None:
    one = schedule(overlap="cancel_old")
    found = steps(one, seen(one, waiting=(Due(NOON - 60),)), NOON + 130)
    assert started(found) == [120]
    assert [entry.due - NOON for entry in entries(found)] == [-60, 60]
    assert {entry.why for entry in entries(found)} == {"a newer due time came"}
    assert not any(step.cancel for step in found)


@pytest.mark.parametrize("more", [{"blackout": (parse_window("12:02-12:03"),)}, {"start_deadline": 5}])
def test_overlap_cancel_old_keeps_to_a_due_time_while_newer_ones_cannot_be_started(more: dict[str, Any]) -> None:
    one = schedule(every=120, overlap="cancel_old", **more)
    found = steps(one, seen(one, waiting=(Due(NOON),)), NOON + 190)
    assert started(found) == [0]


def test_it_follows_each_run_that_ended() -> None:
    one = schedule(after="other", overlap="allow")
    ended = (Due(NOON - 10, "a"), Due(NOON - 5, "b"))
    found = steps(one, seen(one, NOON - 60, ended=ended), NOON)
    assert [step.start for step in found] == list(ended)
    assert found[-1].state.ended == ()
    (late,) = steps(one, seen(one, ended=(Due(NOON - 301, "a"),)), NOON)
    assert late.entry
    assert late.entry.what == "missed"


@given(
    st.sampled_from(["skip", "queue", "allow", "cancel_old"]),
    st.sampled_from(["skip", "run_once", "catch_up"]),
    st.lists(st.integers(1, 500), min_size=1, max_size=12),
    st.booleans(),
)
def test_no_due_time_is_decided_twice_whenever_somebody_looks(
    overlap: Any, misfire: Any, waits: list[int], busy: bool
) -> None:
    one = schedule(overlap=overlap, misfire=misfire, start_deadline=90)
    state, now, begun = seen(one), NOON, []
    told = 0
    for wait in waits:
        now += wait
        for step in steps(one, replace(state, going=("busy",) if busy else ()), now):
            begun += [step.start] if step.start else []
            told += step.entry.count if step.entry else 0
            state = step.state
    assert len(begun) == len(set(begun))
    assert len(begun) + told + len(state.waiting) == int((now - NOON) // 60)
