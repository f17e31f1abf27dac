"""``opsrunner show RUN``."""

from __future__ import annotations

import json

import click

from opsrunner.cli import context
from opsrunner.cli.options import listing_options
from opsrunner.cli.painting import paint
from opsrunner.ledger.following import Ledger
from opsrunner.ledger.records import ENDED, RunRecord
from opsrunner.output.document import document
from opsrunner.output.tables import run_lines


@click.command(
    "show", epilog="Examples: opsrunner show last · opsrunner show 261121-0412 -v · opsrunner show last --json"
)
@click.argument("run")
@listing_options
@click.option("-v", "--verbose", count=True, help="What the hosts printed, too, and steps that nobody took part in.")
def command(run: str, output: str, verbose: int) -> None:
    """Show one run: its steps with the hosts' outcomes, why hosts failed, the recap, and that it adds up."""
    ledger = context.open_ledger()
    record = ledger.find(run)
    stats = ledger.stats(record)
    outcomes = ledger.outcomes(record.id)
    if output == "json":
        click.echo(json.dumps(document(record, outcomes, stats), indent=2, default=str))
        return
    paint(run_lines(record, outcomes, stats, at_work(ledger, record), now=ledger.now(), verbosity=verbose))


def at_work(ledger: Ledger, run: RunRecord) -> dict[int, list[str]]:
    """Step → hosts that are claimed or running there at this moment; empty for a run that has ended."""
    if run.status in ENDED:
        return {}
    found: dict[int, list[str]] = {}
    for play in run.plays:
        for step in play.steps:
            busy = [host for host, state in ledger.states(run.id, step.number).items() if not state.startswith("T|")]
            if busy:
                found[step.number] = busy
    return found
