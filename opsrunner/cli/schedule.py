"""``opsrunner schedule list|next|run``."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from opsrunner.cli import context
from opsrunner.cli.options import vault_options
from opsrunner.errors import InputError

if TYPE_CHECKING:
    from opsrunner.schedule.load import Schedule


def _loaded() -> tuple[Schedule, ...]:
    from opsrunner.notify.choice import names_elsewhere
    from opsrunner.schedule.load import load

    path = Path(context.settings().schedules)
    if not path.exists():
        raise InputError(f"no {path} here", remedy="write one, or set OPSRUNNER_SCHEDULES")
    return load(path, names_elsewhere(context.settings()))


@click.group("schedule", epilog="Examples: opsrunner schedule list · opsrunner schedule run nightly-restart")
def command() -> None:
    """Look at the schedules of schedules.yml, and start one by hand."""


@command.command("list", epilog="Example: opsrunner schedule list")
def list_schedules() -> None:
    """Every schedule: when, its next time, and what it runs where."""
    from opsrunner.schedule.times import next_times

    now = datetime.datetime.now(datetime.UTC)
    rows = [("NAME", "WHEN", "TIMEZONE", "NEXT", "PLAYBOOK")]
    for schedule in _loaded():
        when = schedule.cron or f"every {_span(schedule.every or 0)}"
        due = next_times(schedule, now, 1)[0].isoformat(sep=" ", timespec="seconds")
        limit = f" --limit {schedule.limit}" if schedule.limit else ""
        rows.append((schedule.name, when, schedule.timezone, due, f"{schedule.playbook}{limit}"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        click.echo("  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4])))


@command.command("next", epilog="Examples: opsrunner schedule next · opsrunner schedule next nightly-restart -n 10")
@click.argument("name", required=False)
@click.option("-n", "--count", type=click.IntRange(min=1), default=3, show_default=True, help="How many times to show.")
def next_due(name: str | None, count: int) -> None:
    """The next times of one schedule, or of each."""
    from opsrunner.schedule.load import find
    from opsrunner.schedule.times import next_times

    now = datetime.datetime.now(datetime.UTC)
    found = _loaded()
    for schedule in (find(found, name),) if name else found:
        for due in next_times(schedule, now, count):
            click.echo(f"{schedule.name}  {due.isoformat(sep=' ', timespec='seconds')}")


@command.command("run", epilog="Example: opsrunner schedule run nightly-restart --detach")
@click.argument("name")
@vault_options
@click.option("--detach", is_flag=True, help="Start the run, print its id, and leave.")
@click.option("--output", type=click.Choice(["live", "plain", "json", "jsonl"]), help="How to show the run.")
def run_schedule(name: str, detach: bool, output: str | None) -> int:
    """Start a schedule's run now, by hand."""
    from opsrunner.cli.start import attach
    from opsrunner.schedule.load import find
    from opsrunner.schedule.start import start_now

    run_id, warnings = start_now(find(_loaded(), name), context.settings(), user=context.operator())
    for warning in warnings:
        context.warn(warning)
    if detach:
        click.echo(run_id)
        return 0
    return attach(context.open_ledger(), run_id, output, 0)


def _span(seconds: int) -> str:
    """``900`` as ``15m``."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
