"""``opsrunner unlock HOST``."""

from __future__ import annotations

import click

from opsrunner.cli import context
from opsrunner.errors import InputError


@click.command("unlock", epilog="Example: opsrunner unlock web3 --reason 'the run hangs in a prompt, ann looks at it'")
@click.argument("host")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is recorded with your name.")
def command(host: str, reason: str) -> int:
    """Take a host from the run that holds it; the next run in line gets it.

    What the run is doing on the host goes on: `opsrunner cancel RUN --host HOST` stops that. At its next step
    there the run waits behind the others.
    """
    if not reason.strip():
        raise click.UsageError("the reason is empty: whoever wonders later has only this to read")
    ledger = context.open_ledger()
    run = context.open_store(ledger).unlock(host, context.operator(), reason.strip())
    if run is None:
        from opsrunner.engine.locks import locks

        held = [lock.host for lock in locks(ledger)]
        raise InputError(f"no run holds {host}", why=f"held are {', '.join(held[:10])}" if held else "no host is held")
    click.echo(f"{host} was taken from run {run}; what it does there goes on: opsrunner cancel {run} --host {host}")
    return 0
