"""``opsrunner down``."""

from __future__ import annotations

import click

from opsrunner import embedded
from opsrunner.cli import context
from opsrunner.errors import UsageError
from opsrunner.ledger.records import ENDED


@click.command("down", epilog="Examples: opsrunner down · opsrunner down --force")
@click.option("--force", is_flag=True, help="Even while runs go on: what the worker has begun becomes lost.")
@click.option("--wait", default=20.0, show_default=True, metavar="SECONDS", help="For the worker to end by itself.")
def command(force: bool, wait: float) -> None:
    """Stop the local worker and the embedded Redis; the ledger's data stay on disk."""
    settings = context.settings()
    if settings.broker_url is not None:
        raise UsageError(
            "nothing of ours to stop: a broker is configured",
            remedy="stop workers by SIGTERM, or by the service manager that started them",
        )
    now = embedded.status(settings)
    if now.server and not force:
        _refuse_while_runs_go_on()
    # The worker first: it hands back what it has while Redis still listens.
    worker = embedded.stop_worker(settings, within=wait)
    server = embedded.stop(settings)
    click.echo(f"worker  {'stopped' if worker else 'did not run'}")
    click.echo(f"Redis   {'stopped' if server else 'did not run'}")


def _refuse_while_runs_go_on() -> None:
    going = [run.id for run in context.open_ledger().runs(limit=100) if run.status not in ENDED]
    if going:
        raise UsageError(
            f"{len(going)} run{'s' if len(going) > 1 else ''} still going on: {', '.join(going)}",
            remedy=f"opsrunner watch {going[0]}, opsrunner cancel {going[0]}, or opsrunner down --force",
        )
