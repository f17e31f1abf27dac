"""``opsrunner cancel RUN``."""

from __future__ import annotations

import click

from opsrunner.cli import context
from opsrunner.cli.options import seconds
from opsrunner.ledger.records import ENDED


@click.command(
    "cancel",
    epilog="Examples: opsrunner cancel last · opsrunner cancel 261121-0412 --wait 1m",
)
@click.argument("run")
@click.option("--wait", default="30s", show_default=True, metavar="TIME", help="Wait that long for the run to end.")
def command(run: str, wait: str) -> int:
    """Stop a run: nothing more is sent, and what runs on the hosts gets TERM, then KILL.

    Each host's outcome says whether it was killed, had ended, or could not be killed.
    """
    ledger = context.open_ledger(worker=True)
    record = ledger.find(run)
    if record.status in ENDED:
        click.echo(f"{record.id} has ended already: {record.status}")
        return 0
    context.open_store(ledger).request_cancel(record.id, context.operator())
    deadline = seconds(wait)
    waited = 0.0
    for event in ledger.follow(record.id, after="$" if deadline else "0", complete=False):
        waited += 0.5 if event is None else 0.0
        record = ledger.find(record.id)
        if record.status in ENDED or waited >= deadline:
            break
    if record.status not in ENDED:
        click.echo(f"{record.id} is asked to stop and has not ended yet: opsrunner watch {record.id}", err=True)
        return 1
    for outcome in ledger.outcomes(record.id):
        if outcome.status == "cancelled":
            click.echo(f"{outcome.host}: {outcome.result.get('msg', 'cancelled')}")
    click.echo(f"{record.id} {record.status}")
    return 0
