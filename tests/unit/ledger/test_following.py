"""How long a run's events are gathered between two reads."""

from __future__ import annotations

from opsrunner.ledger.following import GATHER_DUE, GATHER_LEAST, GATHER_MOST, GATHER_PART, Pace
from opsrunner.ledger.records import Event


def step_started(*hosts: str) -> Event:
    return Event("1-1", 0.0, "step_started", {"play": 0, "batch": 0, "step": 0, "hosts": list(hosts)})


OUTCOME = Event("1-2", 0.0, "outcome", {"step": 0, "host": "web1"})
MANY = [f"web{number}" for number in range(500)]


def test_the_longer_a_run_was_followed_the_longer_events_are_gathered() -> None:
    pace = Pace(100.0)
    pace.saw(step_started(*MANY))
    assert pace.pause(100.0) == GATHER_LEAST
    assert pace.pause(102.5) == 2.5 * GATHER_PART > GATHER_LEAST
    assert pace.pause(200.0) == GATHER_MOST


def test_the_last_outcomes_of_a_step_are_read_as_soon_as_they_come() -> None:
    pace = Pace(0.0)
    pace.saw(step_started(*MANY))
    for _ in range(len(MANY) - 4):
        pace.saw(OUTCOME)
    assert pace.pause(50.0) == 4 * GATHER_DUE
    for _ in range(4):
        pace.saw(OUTCOME)
    assert pace.pause(50.0) == 0
    pace.saw(step_started(*MANY))
    assert pace.pause(50.0) == GATHER_MOST


def test_hosts_that_go_through_many_steps_by_themselves_are_not_read_one_by_one() -> None:
    pace = Pace(0.0)
    pace.saw(step_started("web1"))
    pace.saw(OUTCOME)
    pace.saw(OUTCOME)
    assert pace.pause(50.0) == GATHER_MOST
    assert pace.pause(0.0) == 0


def test_before_the_first_step_nothing_is_gathered() -> None:
    assert Pace(0.0).pause(50.0) == 0
