"""``opsrunner watch RUN``."""

from __future__ import annotations

import click

from opsrunner.cli import context
from opsrunner.cli.options import output_options
from opsrunner.cli.start import attach


@click.command("watch", epilog="Examples: opsrunner watch last · opsrunner watch 261121-0412 --output jsonl")
@click.argument("run")
@output_options
@click.option("-v", "--verbose", count=True, help="Show more; may be repeated.")
@click.option("--fold/--no-fold", default=True, help="Show equal outputs once, with the hosts folded.")
def command(run: str, output: str | None, verbose: int, fold: bool) -> int:
    """Follow a run from its beginning to its end; exits with the run's code. ^C leaves it going."""
    ledger = context.open_ledger()
    return attach(ledger, ledger.find(run).id, output, verbose, fold=fold)
