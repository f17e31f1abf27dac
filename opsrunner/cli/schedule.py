"""``opsrunner schedule list|next|run``."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from opsrunner.cli import context
from opsrunner.errors import InputError

if TYPE_CHECKING:
    from opsrunner.schedule.load import Schedule


def _loaded() -> tuple[Schedule, ...]:
    from opsrunner.schedule.load import load

    path = Path(context.settings().schedules)
    if not path.exists():
        raise InputError(f"no {path} here", remedy="write one, or set OPSRUNNER_SCHEDULES")
    return load(path)


@click.group("schedule", epilog="Examples: opsrunner schedule list · opsrunner schedule run nightly-restart")
def command() -> None:
    """Look at the schedules of schedules.yml, and start one by hand."""


@command.command("list")
def list_schedules() -> None:
    """Every schedule: when, what, where, and its next time."""
    from opsrunner.schedule.times import next_times

    now = datetime.datetime.now(datetime.UTC)
    click.echo(f"{'NAME':<24} {'WHEN':<18} {'TIMEZONE':<16} {'NEXT':<26} PLAYBOOK")
    for schedule in _loaded():
        when = schedule.cron or f"every {schedule.every}s"
        due = next_times(schedule, now, 1)[0].isoformat(sep=" ", timespec="minutes")
        limit = f" --limit {schedule.limit}" if schedule.limit else ""
        click.echo(f"{schedule.name:<24} {when:<18} {schedule.timezone:<16} {due:<26} {schedule.playbook.name}{limit}")


@command.command("next")
@click.argument("name", required=False)
@click.option("-n", "--count", type=click.IntRange(min=1), default=3, show_default=True, help="How many times to show.")
def next_due(name: str | None, count: int) -> None:
    """The next times of one schedule, or of all."""
    from opsrunner.schedule.load import find
    from opsrunner.schedule.times import next_times

    now = datetime.datetime.now(datetime.UTC)
    found = _loaded()
    for schedule in (find(found, name),) if name else found:
        for due in next_times(schedule, now, count):
            click.echo(f"{schedule.name}  {due.isoformat(sep=' ', timespec='seconds')}")


@command.command("run")
@click.argument("name")
@click.option("--detach", is_flag=True, help="Start the run, print its id, and leave.")
@click.option("--output", type=click.Choice(["live", "plain", "json", "jsonl"]), help="How to show the run.")
def run_schedule(name: str, detach: bool, output: str | None) -> int:
    """Start a schedule's run now, by hand."""
    from opsrunner.cli.start import attach
    from opsrunner.schedule.load import find
    from opsrunner.schedule.start import start

    run_id = start(find(_loaded(), name), context.settings(), user=context.operator())
    assert run_id is not None
    if detach:
        click.echo(run_id)
        return 0
    return attach(run_id, output, 0)
