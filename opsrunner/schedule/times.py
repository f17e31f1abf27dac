"""When a schedule is due. Pure: the time is passed in."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise

from cronsim import CronSim, CronSimError

from opsrunner.schedule.model import Schedule
from opsrunner.schedule.moments import parse_zone
from opsrunner.schedule.windows import holding

NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
#: What each field of a cron time may hold.
FIELDS = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day": "1 to 31, or L for the last one",
    "month": "1 to 12, or JAN to DEC",
    "weekday": "0 to 7, or SUN to SAT (0 and 7 are Sunday)",
}
#: Due times in blackout that are passed over in search of one that is not.
LOOK_AHEAD = 5000


def due_after(schedule: Schedule, after: datetime.datetime) -> Iterator[datetime.datetime]:
    """Due times later than ``after`` (aware), each later than the one before, in the schedule's own zone.

    ``every`` counts from the epoch, so that a restart of the scheduler shifts nothing. On the days the
    clock changes cron's own habit holds: with minute and hour given, a time that does not exist is due
    right after the gap and one that exists twice is due the first time only; where minute or hour is a
    ``*``, it is due whenever the clock shows it.
    """
    for due in _due_after(schedule, after, parse_zone(schedule.timezone)):
        # Two times of one zone compare by what the clock shows, which an autumn night shows twice.
        if schedule.until and due.timestamp() >= schedule.until.timestamp():
            return
        yield due


def _due_after(schedule: Schedule, after: datetime.datetime, zone: datetime.tzinfo) -> Iterator[datetime.datetime]:
    if schedule.at is not None:
        return iter((schedule.at,) if schedule.at.timestamp() > after.timestamp() else ())
    if schedule.cron is not None:
        return _cron(schedule.cron, after, zone)
    return _every(schedule.every, after, zone) if schedule.every else iter(())


def delay(schedule: Schedule, due: datetime.datetime) -> float:
    """Seconds by which the start is put off: drawn from name and due time, so that everybody draws the same."""
    if not schedule.jitter:
        return 0.0
    digest = hashlib.sha256(f"{schedule.name}:{int(due.timestamp())}".encode()).digest()
    return schedule.jitter * int.from_bytes(digest[:6]) / 2**48


def next_times(schedule: Schedule, after: datetime.datetime, count: int) -> list[datetime.datetime]:
    """The next ``count`` due times outside of blackouts; fewer only where they end, or blackouts do not."""
    zone = parse_zone(schedule.timezone)
    ahead = islice(due_after(schedule, after), LOOK_AHEAD)
    return list(islice((due for due in ahead if not holding(schedule.blackout, due, zone)), count))


def clock_text(schedule: Schedule, seconds: float) -> str:
    """A time (seconds since the epoch) by the schedule's own clock, with its offset."""
    moment = datetime.datetime.fromtimestamp(seconds, parse_zone(schedule.timezone))
    return moment.isoformat(sep=" ", timespec="seconds")


def cron_fault(text: object) -> str | None:
    """Why this is no cron time, None when it is one."""
    if not isinstance(text, str):
        return "write it as text in quotes"
    if text.startswith("@") and text not in NICKNAMES:
        return f"known are {', '.join(NICKNAMES)}"
    text = NICKNAMES.get(text, text)
    if len(text.split()) != 5:
        return f"five fields are wanted: {' '.join(FIELDS)}"
    if not _ever_comes(text):
        return _field_fault(text.split()) or "no such day ever comes"
    return None


def _ever_comes(expression: str) -> bool:
    """That does not depend on where the search begins: 50 years are looked through."""
    try:
        next(CronSim(expression, datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)))
    except (CronSimError, StopIteration):
        return False
    return True


def _field_fault(fields: Sequence[str]) -> str | None:
    """The first field that is wrong by itself."""
    for number, ((name, values), field) in enumerate(zip(FIELDS.items(), fields, strict=True)):
        alone = ["*"] * len(FIELDS)
        alone[number] = field
        if not _ever_comes(" ".join(alone)):
            return f"{name} {field!r}: it is {values}, with lists (1,3), ranges upwards (1-5) and steps (*/5)"
    return None


def least_gap(schedule: Schedule) -> float:
    """Seconds between the two closest of the first hundred due times of a year."""
    begin = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    times = [due.timestamp() for due in islice(_due_after(schedule, begin, datetime.UTC), 100)]
    return min((later - earlier for earlier, later in pairwise(times)), default=float("inf"))


def _cron(expression: str, after: datetime.datetime, zone: datetime.tzinfo) -> Iterator[datetime.datetime]:
    last = after.timestamp()
    for due in CronSim(expression, after.astimezone(zone)):
        # Inside the hour that comes twice the expression alone would name times that have passed;
        # seconds since the epoch tell, two clock times of one zone compare without their offset.
        if due.timestamp() > last:
            last = due.timestamp()
            yield datetime.datetime.fromtimestamp(last, zone)


def _every(seconds: int, after: datetime.datetime, zone: datetime.tzinfo) -> Iterator[datetime.datetime]:
    number = int(after.timestamp() // seconds)
    while True:
        number += 1
        yield datetime.datetime.fromtimestamp(number * seconds, zone)
