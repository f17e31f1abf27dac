"""``opsrunner notifications``."""

from __future__ import annotations

import json

import click
from msgspec import structs

from opsrunner.cli import context
from opsrunner.cli.options import newest_option


@click.command(
    "notifications",
    epilog="Examples: opsrunner notifications · opsrunner notifications last · opsrunner notifications -n 5",
)
@click.argument("run", required=False)
@newest_option(50)
@click.option("--undelivered", is_flag=True, help="Only those that wait or were given up.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list.")
def command(run: str | None, limit: int, undelivered: bool, as_json: bool) -> None:
    """List who was told of what, newest first: of one run, or of all; and what could not be delivered, and why."""
    from opsrunner.notify.listing import table
    from opsrunner.notify.outbox import Outbox

    ledger = context.open_ledger()
    run_id = ledger.find(run).id if run else None
    found = Outbox(ledger.redis).listed(run_id, 10**6 if undelivered else limit)
    if undelivered:
        found = [one for one in found if one.state != "delivered"][:limit]
    if as_json:
        click.echo(json.dumps([structs.asdict(one) for one in found], indent=2))
        return
    for line in table(found):
        click.echo(line)
