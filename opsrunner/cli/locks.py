"""``opsrunner locks``."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from opsrunner.cli import context

if TYPE_CHECKING:
    from opsrunner.ledger.following import Ledger


@click.command("locks", epilog="Examples: opsrunner locks · opsrunner locks --history")
@click.option("--json", "as_json", is_flag=True, help="One JSON list.")
@click.option("--history", is_flag=True, help="Who took which host from a run, and why, newest first.")
def command(as_json: bool, history: bool) -> int:
    """List the hosts that runs hold, who holds them, and who waits."""
    ledger = context.open_ledger()
    if history:
        return _tell_unlocks(ledger, as_json)
    from opsrunner.engine.locks import holder_text, locks
    from opsrunner.nodeset import fold_names

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


def _tell_unlocks(ledger: Ledger, as_json: bool) -> int:
    from opsrunner.output.harmless import harmless_line

    records = ledger.unlocks()
    if as_json:
        click.echo(json.dumps(records, indent=2))
        return 0
    for record in records:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record["at"]))
        line = f"{at}  {record['host']} from run {record['run']} by {record['by']}: {record['reason']}"
        click.echo(harmless_line(line))
    if not records:
        click.echo("no host was taken from a run yet")
    return 0
