"""``opsrunner locks``."""

from __future__ import annotations

import json

import click

from opsrunner.cli import context


@click.command("locks", epilog="Examples: opsrunner locks · opsrunner locks --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON list.")
def command(as_json: bool) -> int:
    """List the hosts that runs hold, who holds them, and who waits."""
    from opsrunner.engine.locks import holder_text, locks
    from opsrunner.output.fold import fold_names

    ledger = context.open_ledger()
    found = locks(ledger)
    if as_json:
        rows = [{"host": lock.host, "holder": lock.holder, "waiting": list(lock.waiting)} for lock in found]
        click.echo(json.dumps(rows, indent=2))
        return 0
    together: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for lock in found:
        together.setdefault((lock.holder, lock.waiting), []).append(lock.host)
    for (holder, waiting), hosts in together.items():
        click.echo(f"{fold_names(hosts)}: held by {holder_text(ledger, holder)}")
        for run in waiting:
            click.echo(f"  waits: {holder_text(ledger, run)}")
    if not found:
        click.echo("no host is locked")
    return 0
