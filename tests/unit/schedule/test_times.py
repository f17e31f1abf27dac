"""Due times: cron and every, and the two days on which the clock changes."""

from __future__ import annotations

import datetime
from itertools import islice, pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsrunner.schedule.model import Schedule
from opsrunner.schedule.times import NICKNAMES, due_after, next_times

UTC = datetime.UTC
BERLIN = ZoneInfo("Europe/Berlin")


def schedule(**given: Any) -> Schedule:
    return Schedule("one", Path("play.yml"), **given)


def berlin(cron: str) -> Schedule:
    return schedule(cron=cron, timezone="Europe/Berlin")


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def due(of: Schedule, after: str, count: int = 1) -> list[str]:
    return [one.isoformat(sep=" ", timespec="minutes") for one in next_times(of, at(after), count)]


def test_cron_in_its_own_zone() -> None:
    assert due(berlin("30 2 * * *"), "2026-01-10T00:00Z") == ["2026-01-10 02:30+01:00"]
    assert due(berlin("30 2 * * *"), "2026-07-10T00:00Z") == ["2026-07-10 02:30+02:00"]
    assert due(schedule(cron="30 2 * * *"), "2026-07-10T00:00Z") == ["2026-07-10 02:30+00:00"]


def test_a_due_time_is_later_than_the_moment_asked_for() -> None:
    assert due(berlin("30 2 * * *"), "2026-07-10T02:30+02:00") == ["2026-07-11 02:30+02:00"]
    assert due(schedule(every=60), "2026-07-10T02:30Z") == ["2026-07-10 02:31+00:00"]


def test_the_night_in_spring_a_time_that_does_not_exist_is_due_after_the_gap() -> None:
    assert due(berlin("30 2 * * *"), "2026-03-28T12:00Z", 2) == ["2026-03-29 03:00+02:00", "2026-03-30 02:30+02:00"]
    # What is due at the gap and right after it is due once.
    assert due(berlin("0 2,3 * * *"), "2026-03-28T12:00Z", 2) == ["2026-03-29 03:00+02:00", "2026-03-30 02:00+02:00"]


def test_the_night_in_autumn_a_time_that_exists_twice_is_due_once() -> None:
    assert due(berlin("30 2 * * *"), "2026-10-24T12:00Z", 2) == ["2026-10-25 02:30+02:00", "2026-10-26 02:30+01:00"]


@pytest.mark.parametrize(
    ("zone", "cron", "before", "night", "following"),
    [
        ("Europe/Berlin", "30 2 * * *", "2026-03-28T12:00Z", "2026-03-29 03:00+02:00", "2026-03-30 02:30+02:00"),
        ("Europe/Berlin", "30 2 * * *", "2026-10-24T12:00Z", "2026-10-25 02:30+02:00", "2026-10-26 02:30+01:00"),
        ("America/New_York", "30 2 * * *", "2026-03-07T12:00Z", "2026-03-08 03:00-04:00", "2026-03-09 02:30-04:00"),
        ("America/New_York", "30 1 * * *", "2026-10-31T12:00Z", "2026-11-01 01:30-04:00", "2026-11-02 01:30-05:00"),
        ("America/New_York", "30 2 * * *", "2026-10-31T12:00Z", "2026-11-01 02:30-05:00", "2026-11-02 02:30-05:00"),
        # There the clock is changed by half an hour.
        ("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T01:00Z", "2026-10-04 02:30+11:00", "2026-10-05 02:15+11:00"),
        ("Australia/Lord_Howe", "45 1 * * *", "2026-04-04T01:00Z", "2026-04-05 01:45+11:00", "2026-04-06 01:45+10:30"),
        ("Australia/Lord_Howe", "30 2 * * *", "2026-04-04T01:00Z", "2026-04-05 02:30+10:30", "2026-04-06 02:30+10:30"),
    ],
)
def test_a_nightly_job_runs_once_on_both_days(zone: str, cron: str, before: str, night: str, following: str) -> None:
    of = schedule(cron=cron, timezone=zone)
    assert due(of, before, 2) == [night, following]
    # A scheduler that is begun anew at any time of that night goes on with the same.
    first, second = (at(text).timestamp() for text in (night, following))
    for seconds in range(-4 * 3600, 4 * 3600, 300):
        moment = datetime.datetime.fromtimestamp(first + seconds, UTC)
        assert next_times(of, moment, 1)[0].timestamp() == (first if seconds < 0 else second)


@pytest.mark.parametrize("moment", ["2026-10-25T01:10Z", "2026-10-25T01:29Z", "2026-10-25T01:40Z"])
def test_a_scheduler_started_in_the_second_half_two_names_no_time_that_has_passed(moment: str) -> None:
    """01:10Z is 02:10 for the second time; the clock time 02:30 was due 40 minutes before."""
    assert due(berlin("30 2 * * *"), moment) == ["2026-10-26 02:30+01:00"]


def test_every_hour_and_every_minute_go_on_through_both_nights() -> None:
    assert due(berlin("30 * * * *"), "2026-10-24T23:45Z", 3) == [
        "2026-10-25 02:30+02:00",
        "2026-10-25 02:30+01:00",
        "2026-10-25 03:30+01:00",
    ]
    assert due(berlin("*/30 * * * *"), "2026-03-29T00:20Z", 3) == [
        "2026-03-29 01:30+01:00",
        "2026-03-29 03:00+02:00",
        "2026-03-29 03:30+02:00",
    ]


@pytest.mark.parametrize("night", ["2026-03-29", "2026-10-25"])
def test_every_is_even_through_both_nights(night: str) -> None:
    times = next_times(schedule(every=900, timezone="Europe/Berlin"), at(f"{night}T00:00Z"), 16)
    assert {int(b.timestamp() - a.timestamp()) for a, b in pairwise(times)} == {900}
    assert all(one.tzinfo is BERLIN for one in times)


def test_every_counts_from_the_epoch_whenever_it_is_asked() -> None:
    every = schedule(every=7)
    asked = [next_times(every, at("2026-07-10T00:00Z") + datetime.timedelta(seconds=s), 30) for s in (0, 1, 5)]
    assert set(asked[1]) >= set(asked[2][:-2])
    assert all(int(one.timestamp()) % 7 == 0 for one in asked[0])


@pytest.mark.parametrize(
    ("nickname", "expected"),
    [
        ("@hourly", "2026-07-10 13:00+00:00"),
        ("@daily", "2026-07-11 00:00+00:00"),
        ("@midnight", "2026-07-11 00:00+00:00"),
        ("@weekly", "2026-07-12 00:00+00:00"),  # a Sunday
        ("@monthly", "2026-08-01 00:00+00:00"),
        ("@yearly", "2027-01-01 00:00+00:00"),
        ("@annually", "2027-01-01 00:00+00:00"),
    ],
)
def test_nicknames(nickname: str, expected: str) -> None:
    assert due(schedule(cron=NICKNAMES[nickname]), "2026-07-10T12:34Z") == [expected]


FIELDS = (
    st.sampled_from(["*", "*/7", "0", "30", "59", "5,35", "10-20"]),
    st.sampled_from(["*", "*/5", "0", "1", "2", "2,3", "23", "1-3"]),
    st.sampled_from(["*", "1", "25-31", "L", "*/9"]),
    st.sampled_from(["*", "3", "10", "3,10"]),
    st.sampled_from(["*", "SUN", "0", "7", "1-5"]),
)
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Africa/Cairo", "Australia/Lord_Howe", "Asia/Kathmandu"]
)
MOMENTS = st.one_of(
    st.datetimes(datetime.datetime(2000, 1, 1), datetime.datetime(2060, 1, 1), timezones=st.just(UTC)),
    # Around the changes of the clock, to the second.
    st.integers(-7200, 7200).map(
        lambda s: datetime.datetime(2026, 3, 29, 1, tzinfo=UTC) + datetime.timedelta(seconds=s)
    ),
    st.integers(-7200, 7200).map(
        lambda s: datetime.datetime(2026, 10, 25, 1, tzinfo=UTC) + datetime.timedelta(seconds=s)
    ),
)
EXPRESSIONS = st.tuples(*FIELDS).map(" ".join)
SCHEDULES = st.one_of(
    st.builds(lambda cron, zone: schedule(cron=cron, timezone=zone), EXPRESSIONS, ZONES),
    st.builds(lambda every, zone: schedule(every=every, timezone=zone), st.integers(1, 366 * 86400), ZONES),
)


@given(SCHEDULES, MOMENTS)
def test_due_times_strictly_increase_and_are_later_than_the_moment(of: Schedule, moment: datetime.datetime) -> None:
    stamps = [moment.timestamp(), *(one.timestamp() for one in islice(due_after(of, moment), 12))]
    assert all(earlier < later for earlier, later in pairwise(stamps))


@given(SCHEDULES, MOMENTS)
def test_asking_again_from_a_due_time_goes_on_with_the_next(of: Schedule, moment: datetime.datetime) -> None:
    """What a scheduler does that was started anew: it sees the same times as one that went on."""
    times = next_times(of, moment, 6)
    assert [next(due_after(of, one)).timestamp() for one in times[:-1]] == [one.timestamp() for one in times[1:]]


@given(EXPRESSIONS, MOMENTS)
def test_a_cron_time_shows_on_the_clock_of_its_zone(cron: str, moment: datetime.datetime) -> None:
    of = schedule(cron=cron)
    minutes = {"*": range(60), "*/7": range(0, 60, 7), "5,35": (5, 35), "10-20": range(10, 21)}
    wanted = minutes.get(cron.split()[0]) or (int(cron.split()[0]),)
    assert all(one.second == 0 and one.minute in wanted for one in next_times(of, moment, 5))
