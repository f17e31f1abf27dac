"""Times and spans as operators write them. Pure: nothing here asks for the time."""

from __future__ import annotations

import datetime
import re
import zoneinfo
from typing import Any

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
#: Seconds of the longest span; who wants more writes a cron time.
LONGEST = 366 * 86400
_MOMENT = re.compile(r"(?P<day>\d{4}-\d\d-\d\d)(?:[ T](?P<time>\d\d:\d\d(?::\d\d)?))?(?: ?(?P<zone>\S+))?")
_OFFSET = re.compile(r"[+-]\d\d:?\d\d")


def parse_span(value: Any) -> int | None:
    """``15m`` in seconds, None when it is no such span."""
    text = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text)
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    return seconds if 0 < seconds <= LONGEST else None


def shown_span(seconds: int) -> str:
    """``900`` as ``15m``."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def parse_zone(name: Any) -> datetime.tzinfo:
    """The time zone of that name. Raises ValueError. UTC works where a machine has no time zone database, too."""
    if name == "UTC":
        return datetime.UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise ValueError(f"unknown timezone {name!r}") from None


def parse_moment(value: Any, zone: datetime.tzinfo | None, *, end_of_day: bool = False) -> datetime.datetime:
    """``2026-12-01 02:00``, with a zone's name or an offset behind it, else in ``zone`` (None: this machine's).

    With ``end_of_day`` a day alone is taken, too, and means its end. Raises ValueError with what is wrong.
    """
    match = _MOMENT.fullmatch(str(value)) if isinstance(value, (str, datetime.date)) else None
    if match is None or not (match["time"] or end_of_day):
        raise ValueError("write it as 2026-12-01 02:00, with Europe/Berlin or +01:00 behind it for a zone of its own")
    day = datetime.date.fromisoformat(match["day"])
    if match["zone"]:
        zone = _written_zone(match["zone"])
    if match["time"] is None:
        return _in_zone(datetime.datetime.combine(day + datetime.timedelta(days=1), datetime.time()), zone)
    return _in_zone(datetime.datetime.combine(day, datetime.time.fromisoformat(match["time"])), zone)


def _written_zone(text: str) -> datetime.tzinfo:
    if text == "Z":
        return datetime.UTC
    if _OFFSET.fullmatch(text):
        zone = datetime.datetime.fromisoformat(f"2000-01-01T00:00{text}").tzinfo
        assert zone is not None
        return zone
    return parse_zone(text)


def _in_zone(clock: datetime.datetime, zone: datetime.tzinfo | None) -> datetime.datetime:
    """What the clock shows, as a moment; the first of two. Raises ValueError where it never shows that."""
    moment = clock.astimezone() if zone is None else clock.replace(tzinfo=zone)
    again = moment.astimezone(datetime.UTC).astimezone(moment.tzinfo)
    if again.replace(tzinfo=None) != clock:
        raise ValueError(f"the clock goes forward there: {clock:%H:%M} does not exist on {clock:%Y-%m-%d}")
    return moment
