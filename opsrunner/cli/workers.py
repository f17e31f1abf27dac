"""``opsrunner workers``."""

from __future__ import annotations

import json

import click
from msgspec import structs

from opsrunner.cli import context


@click.command("workers", epilog="Example: opsrunner workers --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON list.")
def command(as_json: bool) -> None:
    """List the live workers: name, zones, node, process, how long they are up."""
    from opsrunner.engine import nodes

    ledger = context.open_ledger()
    records, now = nodes.live(ledger.redis), ledger.now()
    if as_json:
        click.echo(json.dumps([structs.asdict(record) for record in records], indent=2))
        return
    if not records:
        click.echo("no worker is alive; start one: opsrunner worker", err=True)
        return
    click.echo(f"{'NAME':<28} {'ZONES':<24} {'NODE':<20} {'PID':>8} {'SESSIONS':>8}  UP")
    for record in records:
        minutes, second = divmod(int(now - record.started), 60)
        zones = ",".join(record.zones)
        up = f"{minutes}m{second:02d}s"
        leaving = ", leaving" if record.leaving else ""
        click.echo(
            f"{record.name:<28} {zones:<24} {record.node:<20} {record.pid:>8} {record.sessions:>8}  {up}{leaving}"
        )
