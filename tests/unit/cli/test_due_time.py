"""``--at`` and ``--in``: when a run begins; the time is handed in."""

from __future__ import annotations

import datetime

import click
import pytest

from opsrunner.cli.options import due_time

NOW = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC).timestamp()


def test_a_run_begins_now_then_or_in_a_while() -> None:
    assert due_time(None, None, NOW) is None
    assert due_time(None, "10m", NOW) == NOW + 600
    assert due_time("2026-11-21 14:00 Europe/Berlin", None, NOW) == NOW + 3600
    here = datetime.datetime(2026, 12, 1, 2).astimezone()
    assert due_time("2026-12-01 02:00", None, NOW) == here.timestamp()


@pytest.mark.parametrize(
    ("at", "delay", "why"),
    [
        ("tomorrow", None, "write it as 2026-12-01 02:00"),
        ("2026-12-01", None, "write it as 2026-12-01 02:00"),
        ("2026-12-01 02:00 Europe/Berln", None, "unknown timezone 'Europe/Berln'"),
        ("2027-03-28 02:30 Europe/Berlin", None, "the clock goes forward there"),
        ("2026-11-21 12:00 UTC", None, "is over"),
        ("2028-01-01 00:00", None, "more than a year ahead"),
        ("2026-12-01 02:00", "1m", "keep one of them"),
        (None, "soon", "is no time"),
        (None, "-5m", "is no time"),
    ],
)
def test_what_is_no_such_time_is_refused(at: str | None, delay: str | None, why: str) -> None:
    with pytest.raises(click.UsageError, match=why):
        due_time(at, delay, NOW)
