"""When a schedule is due. Pure: the time is passed in."""

from __future__ import annotations

import datetime
import zoneinfo
from collections.abc import Iterator
from itertools import islice

from cronsim import CronSim

from opsrunner.schedule.load import Schedule


def due_after(schedule: Schedule, after: datetime.datetime) -> Iterator[datetime.datetime]:
    """Due times later than ``after`` (aware), each later than the one before, in the schedule's own zone.

    ``every`` counts from the epoch, so that a restart of the scheduler shifts nothing. On the days the
    clock changes cron's own habit holds: with minute and hour given, a time that does not exist is due
    right after the gap and one that exists twice is due the first time only; where minute or hour is a
    ``*``, it is due whenever the clock shows it.
    """
    zone = zone_of(schedule)
    if schedule.cron is None:
        assert schedule.every is not None
        return _every(schedule.every, after, zone)
    return _cron(schedule.cron, after, zone)


def zone_of(schedule: Schedule) -> datetime.tzinfo:
    """UTC works where a machine has no time zone database, too."""
    return datetime.UTC if schedule.timezone == "UTC" else zoneinfo.ZoneInfo(schedule.timezone)


def next_times(schedule: Schedule, after: datetime.datetime, count: int) -> list[datetime.datetime]:
    """The next ``count`` due times; fewer only where the calendar ends."""
    return list(islice(due_after(schedule, after), count))


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
