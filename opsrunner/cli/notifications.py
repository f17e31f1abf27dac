"""``opsrunner notifications``."""

from __future__ import annotations

import dataclasses
import json

import click

from opsrunner.cli import context


@click.command(
    "notifications",
    epilog="Examples: opsrunner notifications · opsrunner notifications last · opsrunner notifications -n 5",
)
@click.argument("run", required=False)
@click.option("-n", "--count", type=click.IntRange(min=1), default=50, show_default=True, help="How many to show.")
@click.option("--undelivered", is_flag=True, help="Only those that wait or were given up.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list.")
def command(run: str | None, count: int, undelivered: bool, as_json: bool) -> None:
    """List who was told of what, newest first: of one run, or of all; and what could not be delivered, and why."""
    from opsrunner.notify.listing import table
    from opsrunner.notify.outbox import Outbox

    ledger = context.open_ledger()
    run_id = ledger.find(run).id if run else None
    found = Outbox(ledger.redis).listed(run_id, 10**6 if undelivered else count)
    if undelivered:
        found = [one for one in found if one.state != "delivered"][:count]
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(one) for one in found], indent=2))
        return
    for line in table(found):
        click.echo(line)
