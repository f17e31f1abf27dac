"""Times as operators write them, with zones, and on the days the clock changes."""

from __future__ import annotations

import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsrunner.schedule.moments import parse_moment, shown_span

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-12-01 02:00", "2026-12-01T01:00Z"),
        ("2026-12-01T02:00:30", "2026-12-01T01:00:30Z"),
        ("2026-12-01 02:00 UTC", "2026-12-01T02:00Z"),
        ("2026-12-01 02:00 America/New_York", "2026-12-01T07:00Z"),
        ("2026-12-01 02:00+05:30", "2026-11-30T20:30Z"),
        ("2026-12-01 02:00 Z", "2026-12-01T02:00Z"),
        (datetime.datetime(2026, 12, 1, 2), "2026-12-01T01:00Z"),  # as YAML reads it without quotes
        (datetime.datetime(2026, 12, 1, 2, tzinfo=datetime.UTC), "2026-12-01T02:00Z"),
        # It exists twice: the first of the two.
        ("2026-10-25 02:30", "2026-10-25T00:30Z"),
        ("2026-10-25 02:30+01:00", "2026-10-25T01:30Z"),
    ],
)
def test_a_time_with_and_without_its_zone(text: object, utc: str) -> None:
    assert parse_moment(text, BERLIN).timestamp() == datetime.datetime.fromisoformat(utc).timestamp()


def test_a_day_alone_is_meant_to_its_end_where_that_makes_sense() -> None:
    assert parse_moment("2026-12-31", BERLIN, end_of_day=True).isoformat() == "2027-01-01T00:00:00+01:00"
    with pytest.raises(ValueError, match="write it as"):
        parse_moment("2026-12-31", BERLIN)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2026-03-29 02:30", "the clock goes forward there: 02:30 does not exist on 2026-03-29"),
        ("2026-12-01 02:00 Europe/Berln", "unknown timezone 'Europe/Berln'"),
        ("2026-12-01 25:00", "hour must be in"),
        ("2026-02-30 02:00", "day is out of range"),
        ("tomorrow", "write it as"),
        (5, "write it as"),
    ],
)
def test_what_is_no_time_is_refused(text: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_moment(text, BERLIN)


@given(st.one_of(st.text(), st.from_regex(r"20[0-9]{2}-[01][0-9]-[0-3][0-9][ T][0-2][0-9]:[0-5][0-9]( [A-Z+:0-9]*)?")))
def test_nothing_else_is_raised(text: str) -> None:
    try:
        parse_moment(text, BERLIN, end_of_day=True)
    except ValueError:
        pass


@pytest.mark.parametrize(("seconds", "shown"), [(86400, "1d"), (5400, "90m"), (3600, "1h"), (61, "61s")])
def test_spans_are_shown_as_they_are_written(seconds: int, shown: str) -> None:
    assert shown_span(seconds) == shown
