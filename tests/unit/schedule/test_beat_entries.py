"""Schedules in the words of Celery beat; the clock is handed in."""

from __future__ import annotations

import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from opsrunner.schedule.beat import DueTimes
from opsrunner.schedule.load import Schedule


def entry(now: datetime.datetime, **given: object) -> DueTimes:
    due = DueTimes(Schedule("one", Path("play.yml"), **given))  # type: ignore[arg-type]
    due.nowfun = lambda: now
    return due


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def test_not_due_says_in_how_many_seconds() -> None:
    due = entry(at("2026-07-10T12:00:50Z"), every=60)
    assert tuple(due.is_due(at("2026-07-10T12:00:01Z"))) == (False, 10.0)
    assert due.remaining_estimate(at("2026-07-10T12:00:01Z")).total_seconds() == 10


def test_due_says_when_it_is_due_again() -> None:
    due = entry(at("2026-07-10T12:01:00.5Z"), every=60)
    assert tuple(due.is_due(at("2026-07-10T12:00:01Z"))) == (True, 59.5)


def test_after_a_pause_the_times_that_passed_are_one() -> None:
    due = entry(at("2026-07-10T12:30:10Z"), every=60)
    assert tuple(due.is_due(at("2026-07-10T12:00:01Z"))) == (True, 50.0)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_the_change_of_the_clock_shifts_nothing_whatever_zone_celery_is_set_to(zone: str) -> None:
    now = at("2026-10-25T00:45Z").astimezone(ZoneInfo(zone))  # 02:45 for the first time, 02:30 has passed
    due = entry(now, cron="15 3 * * *", timezone="Europe/Berlin")
    assert tuple(due.is_due(now)) == (False, 90 * 60.0)


def test_entries_are_equal_as_long_as_their_schedule_is() -> None:
    one, same, other = (DueTimes(Schedule("one", Path("p.yml"), every=every)) for every in (5, 5, 6))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
