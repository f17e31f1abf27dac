"""Windows of time: weekly, dated, past midnight."""

from __future__ import annotations

import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsrunner.schedule.windows import holding, parse_window

BERLIN = ZoneInfo("Europe/Berlin")


def holds(window: str, clock: str) -> bool:
    return parse_window(window).holds(datetime.datetime.fromisoformat(clock))


# 2026-11-21 is a Saturday.
@pytest.mark.parametrize(
    ("window", "inside", "outside"),
    [
        ("Mon-Fri 08:00-18:00", ["2026-11-20 08:00", "2026-11-20 17:59"], ["2026-11-20 18:00", "2026-11-21 09:00"]),
        ("Sat,Sun", ["2026-11-21 00:00", "2026-11-22 23:59"], ["2026-11-23 00:00"]),
        ("sat-mon", ["2026-11-21", "2026-11-22", "2026-11-23"], ["2026-11-24", "2026-11-20"]),
        ("22:00-06:00", ["2026-11-21 22:00", "2026-11-21 05:59"], ["2026-11-21 06:00", "2026-11-21 21:59"]),
        ("Sun 22:00-06:00", ["2026-11-22 23:00", "2026-11-23 05:00"], ["2026-11-22 05:00", "2026-11-23 23:00"]),
        ("Sat 00:00-24:00", ["2026-11-21 23:59"], ["2026-11-22 00:00"]),
        ("2026-12-24", ["2026-12-24", "2026-12-24 23:59"], ["2026-12-25", "2026-12-23 23:59"]),
        ("2026-12-24..2027-01-02", ["2027-01-02 23:59"], ["2027-01-03"]),
        ("2026-12-24 18:00..2026-12-27 06:00", ["2026-12-24 18:00", "2026-12-27 05:59"], ["2026-12-27 06:00"]),
    ],
)
def test_what_a_window_covers(window: str, inside: list[str], outside: list[str]) -> None:
    assert [clock for clock in inside if not holds(window, clock)] == []
    assert [clock for clock in outside if holds(window, clock)] == []


def test_windows_are_meant_by_the_clock_of_the_zone() -> None:
    night = (parse_window("Sat"),)
    friday_in_utc = datetime.datetime(2026, 11, 20, 23, 30, tzinfo=datetime.UTC)
    assert holding(night, friday_in_utc, BERLIN) is night[0]
    assert holding(night, friday_in_utc, datetime.UTC) is None


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "Frei",
            "Mon-",
            "Mon 8:00-18:00",
            "24:00-25:00",
            "08:60-09:00",
            "Mon-Fri 08:00",
            "2026-13-01",
            "2026-02-30",
        ),
        *("2026-12-24 18:00", "2026-12-26..2026-12-24", "Mon;Tue", 5, None, ["Mon"], "2026-12-24..", "²²:00-06:00"),
    ],
)
def test_what_is_no_window_is_refused(text: object) -> None:
    with pytest.raises(ValueError):
        parse_window(text)


@given(st.one_of(st.text(), st.from_regex(r"(Mon|Sat|,|-| |[0-9:.])*"), st.dates(), st.none()))
def test_nothing_else_is_raised(text: object) -> None:
    try:
        parse_window(text)
    except ValueError:
        pass
