"""Hosts × steps always add up, each with the reason that is true of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsrunner.ledger.records import STATUSES, Outcome, RunRecord
from opsrunner.output.accounting import account, sentence
from tests.unit.output.samples import WEB, outcome, play, record, step


def unreached(run: RunRecord, outcomes: Sequence[Outcome]) -> dict[str, int]:
    accounting = account(run, outcomes)
    assert accounting.complete
    return dict(accounting.unreached)


def everywhere(*numbers: int) -> list[Outcome]:
    return [outcome(number, host) for number in numbers for host in WEB]


def test_all_recorded() -> None:
    run = record(play(step(0), step(1)))
    assert sentence(account(run, everywhere(0, 1))) == "3 hosts × 2 steps = 6: 6 recorded (6 ok)"


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("failed", "after a failure"),
        ("unreachable", "after the host was unreachable"),
        ("lost", "after a command was lost"),
    ],
)
def test_what_ended_a_host_holds_for_the_plays_that_follow(status: str, reason: str) -> None:
    second = play(step(3), hosts=("web01", "web02"), number=1, name="second")
    run = record(play(step(0), step(1), step(2, handler=True)), second, status="failed")
    outcomes = [
        *everywhere(0),
        outcome(1, "web01", status),  # type: ignore[arg-type]
        outcome(1, "web02"),
        outcome(1, "web03"),
        outcome(2, "web02"),
        outcome(2, "web03"),
        outcome(3, "web02"),
    ]
    assert unreached(run, outcomes) == {reason: 2}
    assert sentence(account(run, outcomes)).startswith("3 hosts × 3 steps + 2 hosts × 1 step = 11: 9 recorded (")


def test_an_ignored_failure_ends_nothing() -> None:
    run = record(play(step(0), step(1, handler=True)))
    outcomes = [outcome(0, "web01", "failed", "ignored"), outcome(0, "web02"), outcome(0, "web03"), outcome(1, "web02")]
    assert unreached(run, outcomes) == {"handler not notified": 2}


def test_rescue() -> None:
    run = record(play(step(0, part="block"), step(1, part="block"), step(2, part="rescue"), step(3, part="always")))
    outcomes = [
        outcome(0, "web01", "failed", "rescued"),
        outcome(0, "web02"),
        outcome(0, "web03"),
        outcome(1, "web02"),
        outcome(1, "web03"),
        outcome(2, "web01"),
        *everywhere(3),
    ]
    assert unreached(run, outcomes) == {"left for a rescue": 1, "rescue not needed": 2}


def test_a_rescue_as_the_last_part_is_no_stop() -> None:
    run = record(play(step(0, part="block"), step(1, part="rescue")))
    assert unreached(run, everywhere(0)) == {"rescue not needed": 3}


def test_once_for_all() -> None:
    run = record(play(step(0, once=True), step(1)))
    assert unreached(run, [outcome(0, "web01"), *everywhere(1)]) == {"done once for all by another host": 2}
    assert unreached(record(*run.plays, status="failed"), [outcome(0, "web01", "failed")]) == {
        "after a failure": 3,
        "done once for all by another host": 2,
    }


def test_once_holds_for_its_own_batch_only() -> None:
    run = record(play(step(0, once=True), step(1), batches=(1, 2)), status="failed")
    outcomes = [outcome(0, "web01"), outcome(1, "web01"), outcome(0, "web02", "failed")]
    assert unreached(run, outcomes) == {"after a failure": 2, "done once for all by another host": 1}


def test_hosts_that_others_failures_stopped() -> None:
    run = record(play(step(0), step(1), step(2, handler=True)), status="stopped", exit_code=2)
    outcomes = [outcome(0, "web01", "failed"), outcome(0, "web02"), outcome(0, "web03")]
    assert unreached(run, outcomes) == {"after a failure": 2, "the run was stopped": 4}


def test_cancelled_and_still_going_on() -> None:
    plays = (play(step(0), step(1), step(2, handler=True)),)
    cancelled = [outcome(0, "web01", "cancelled"), outcome(0, "web02")]
    assert unreached(record(*plays, status="cancelled", exit_code=99), cancelled) == {"cancelled": 7}
    assert unreached(record(*plays, status="running", exit_code=None), everywhere(0)) == {"not yet": 6}


def test_what_does_not_add_up_is_said() -> None:
    run = record(play(step(0), hosts=("web01",)))
    assert sentence(account(run, [outcome(0, "web01"), outcome(7, "web01")])).endswith("this does not add up")


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from(["", "block", "rescue", "always"]), st.booleans()),
        min_size=1,
        max_size=6,
    ),
    st.sets(
        st.tuples(
            st.integers(0, 5),
            st.sampled_from(WEB),
            st.sampled_from(STATUSES),
            st.sampled_from([None, "ignored", "rescued"]),
        ),
        max_size=12,
    ),
    st.sampled_from(["succeeded", "failed", "stopped", "cancelled", "running"]),
    st.sampled_from([(3,), (1, 2), (1, 1, 1)]),
)
def test_it_adds_up_whatever_the_ledger_holds(
    shapes: list[tuple[bool, str, bool]],
    drawn: set[tuple[int, str, str, str | None]],
    status: str,
    batches: tuple[int, ...],
) -> None:
    steps = [step(number, handler=h, part=part, once=once) for number, (h, part, once) in enumerate(shapes)]
    recorded = {(number, host): (number, host, word, mark) for number, host, word, mark in drawn if number < len(steps)}
    outcomes = [outcome(*one) for one in recorded.values()]  # type: ignore[arg-type]
    accounting = account(record(play(*steps, batches=batches), status=status), outcomes)
    assert accounting.total == len(WEB) * len(steps)
    assert accounting.complete
