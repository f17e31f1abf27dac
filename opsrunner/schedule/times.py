"""When a schedule is due. Pure: the time is passed in."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim

from opsrunner.schedule.load import Schedule


def due_after(schedule: Schedule, after: datetime.datetime) -> Iterator[datetime.datetime]:
    """Due times later than ``after`` (aware), in the schedule's own zone, without end.

    ``every`` counts from the epoch, so that a restart of the scheduler shifts nothing. On the days
    the clock changes a cron time that does not exist runs at the change, one that exists twice runs once.
    """
    zone = ZoneInfo(schedule.timezone)
    if schedule.cron is not None:
        return iter(CronSim(schedule.cron, after.astimezone(zone)))
    assert schedule.every is not None
    return _every(schedule.every, after, zone)


def _every(seconds: int, after: datetime.datetime, zone: ZoneInfo) -> Iterator[datetime.datetime]:
    number = int(after.timestamp() // seconds)
    while True:
        number += 1
        yield datetime.datetime.fromtimestamp(number * seconds, zone)


def next_times(schedule: Schedule, after: datetime.datetime, count: int) -> list[datetime.datetime]:
    return list(islice(due_after(schedule, after), count))
