"""``opsrunner beat``."""

from __future__ import annotations

from pathlib import Path

import click

from opsrunner.cli import context


@click.command("beat", epilog="Example: opsrunner beat --loglevel INFO")
@click.option("--loglevel", default="INFO", show_default=True, help="Celery's log level.")
def command(loglevel: str) -> int:
    """Start the scheduler on this node and stay in the foreground: runs of schedules.yml begin at their times."""
    from opsrunner.schedule.load import load

    path = Path(context.settings().schedules)
    if path.exists():
        load(path)  # a broken file is told here, before Celery's log swallows it
    context.open_ledger()
    from opsrunner.engine.app import app

    app.start(["beat", "-l", loglevel, "--pidfile="])
    return 0
