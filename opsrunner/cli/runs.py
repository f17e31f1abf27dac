"""``opsrunner runs``."""

from __future__ import annotations

import json
from typing import Any

import click

from opsrunner.cli import context
from opsrunner.cli.options import listing_options, newest_option
from opsrunner.cli.painting import paint
from opsrunner.ledger.following import Ledger
from opsrunner.ledger.records import RunRecord
from opsrunner.output.tables import runs_table


@click.command(
    "runs",
    epilog="Examples: opsrunner runs · opsrunner runs -n 100 --json · opsrunner runs --schedule nightly",
)
@newest_option(20)
@click.option("--schedule", "name", metavar="NAME", help="Only the runs of that schedule.")
@listing_options
def command(limit: int, name: str | None, output: str) -> None:
    """List the runs, newest first."""
    ledger = context.open_ledger()
    runs = ledger.runs(limit=limit) if name is None else runs_of_schedule(ledger, name, limit)
    if output == "json":
        click.echo(json.dumps([summary(run) for run in runs], indent=2))
    elif runs:
        paint(runs_table(runs, ledger.now()))
    elif name is not None:
        click.echo(f"no run of schedule {name} yet; opsrunner schedule list shows when they come", err=True)
    else:
        click.echo("no run yet; start one: opsrunner run PLAYBOOK", err=True)


def runs_of_schedule(ledger: Ledger, name: str, limit: int) -> list[RunRecord]:
    """The newest runs of a schedule that are still kept, newest first."""
    from opsrunner.schedule.states import run_ids

    return [run for run_id in run_ids(ledger.redis, name, limit) if (run := ledger.run(run_id))]


def summary(run: RunRecord) -> dict[str, Any]:
    """A run without its steps; times are seconds since the epoch."""
    return {
        "run": run.id,
        "title": run.title,
        "kind": run.kind,
        "user": run.user,
        "schedule": run.schedule,
        "check": run.check,
        "status": run.status,
        "exit_code": run.exit_code,
        "reason": run.reason,
        "hosts": run.hosts,
        "created": run.created,
        "due": run.due,
        "started": run.started,
        "finished": run.finished,
    }
