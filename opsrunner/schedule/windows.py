"""Windows of time in which nothing starts: weekly ones, dated ones, and calendars of dates. Pure.

::

    Mon-Fri 08:00-18:00      Sat,Sun      22:00-06:00 (every day, past midnight)
    2026-12-24               2026-12-24..2027-01-02        2026-12-24 18:00..2026-12-27 06:00
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MINUTES = 24 * 60
_FORMS = "write Mon-Fri 08:00-18:00, Sat,Sun, 22:00-06:00, 2026-12-24 or 2026-12-24..2027-01-02"
_HOURS = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")
_DATED = re.compile(r"(\d{4}-\d\d-\d\d)(?: (\d\d:\d\d))?(?:\.\.(\d{4}-\d\d-\d\d)(?: (\d\d:\d\d))?)?")


class Weekly(Struct, frozen=True):
    """Minutes of the day from ``begin`` up to ``end``, on these weekdays (Monday is 0).

    One that ends past midnight has an ``end`` of more than a day.
    """

    days: frozenset[int]
    begin: int
    end: int
    text: str

    def holds(self, clock: datetime.datetime) -> bool:
        """Whether it covers what a clock in the schedule's zone shows."""
        minute = clock.hour * 60 + clock.minute
        yesterday = (clock.weekday() - 1) % 7
        today = clock.weekday() in self.days and self.begin <= minute < self.end
        return today or (yesterday in self.days and minute + _MINUTES < self.end)


class Dated(Struct, frozen=True):
    """What the clock shows from ``begin`` up to ``end``."""

    begin: datetime.datetime
    end: datetime.datetime
    text: str

    def holds(self, clock: datetime.datetime) -> bool:
        return self.begin <= clock < self.end


Window = Weekly | Dated


def holding(windows: Iterable[Window], moment: datetime.datetime, zone: datetime.tzinfo) -> Window | None:
    """The first window that covers the moment, by the clocks of ``zone``."""
    clock = moment.astimezone(zone).replace(tzinfo=None)
    return next((window for window in windows if window.holds(clock)), None)


def parse_window(value: Any) -> Window:
    """A weekly or a dated window. Raises ValueError with what is wrong."""
    text = str(value) if isinstance(value, (str, datetime.date)) else ""
    return parse_dated(text) if text[:1].isdigit() and not _HOURS.fullmatch(text) else _weekly(text)


def parse_dated(value: Any, *, name: str = "") -> Dated:
    """A day, or a time from one day to another; ``name`` is what it is called in a calendar. Raises ValueError."""
    text = str(value) if isinstance(value, (str, datetime.date)) else ""
    match = _DATED.fullmatch(text)
    if match is None or (match[2] and not match[3]):
        raise ValueError("write a day as 2026-12-24, several as 2026-12-24..2027-01-02, with 18:00 behind a day")
    begin = datetime.datetime.fromisoformat(f"{match[1]} {match[2] or '00:00'}")
    end = datetime.datetime.fromisoformat(f"{match[3] or match[1]} {match[4] or '00:00'}")
    if not match[4]:
        end += datetime.timedelta(days=1)
    if end <= begin:
        raise ValueError("it ends before it begins")
    return Dated(begin, end, f"{name} ({text})" if name else text)


def _weekly(text: str) -> Weekly:
    named, _, hours = text.rpartition(" ") if ":" in text else (text, "", "")
    days = frozenset(range(7)) if hours and not named else _days(named)
    if not hours:
        return Weekly(days, 0, _MINUTES, text)
    match = _HOURS.fullmatch(hours)
    if match is None:
        raise ValueError(_FORMS)
    begin, end = (int(match[i]) * 60 + int(match[i + 1]) for i in (1, 3))
    if begin >= _MINUTES or end > _MINUTES or any(int(match[i]) > 59 for i in (2, 4)):
        raise ValueError("times of the day go from 00:00 to 24:00")
    return Weekly(days, begin, end if end > begin else end + _MINUTES, text)


def _days(text: str) -> frozenset[int]:
    """``Mon-Fri,Sun`` → the numbers of those days. Raises ValueError."""
    found: set[int] = set()
    for part in text.lower().split(","):
        first, dash, last = part.strip().partition("-")
        last = last if dash else first
        if first not in DAYS or last not in DAYS:
            raise ValueError(_FORMS)
        begin, end = DAYS.index(first), DAYS.index(last)
        found |= {day % 7 for day in range(begin, (end if end >= begin else end + 7) + 1)}
    return frozenset(found)
