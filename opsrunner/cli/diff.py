"""``opsrunner diff RUN1 RUN2``."""

from __future__ import annotations

import click

from opsrunner.cli import context
from opsrunner.cli.painting import paint


@click.command("diff", epilog="Examples: opsrunner diff 261120-0412 last")
@click.argument("run1")
@click.argument("run2")
def command(run1: str, run2: str) -> None:
    """Compare two runs: only new failures, recovered hosts, changed statuses and changed output.

    Steps are matched by the names of play and step, so that an edited playbook compares, too.
    """
    from opsrunner.output.compare import compare, comparison_lines

    ledger = context.open_ledger()
    before, after = ledger.find(run1), ledger.find(run2)
    found = compare(before, ledger.outcomes(before.id), after, ledger.outcomes(after.id))
    paint(comparison_lines(before, after, found))
