"""``opsrunner beat``."""

from __future__ import annotations

from pathlib import Path

import click

from opsrunner.cli import context
from opsrunner.cli.options import loglevel_option


@click.command("beat", epilog="Examples: opsrunner beat · opsrunner beat --loglevel WARNING")
@loglevel_option("INFO")
def command(loglevel: str) -> int:
    """Start the scheduler on this node and stay in the foreground: runs of schedules.yml begin at their times.

    Several may run: each due time is started once. A changed schedules.yml counts within seconds.
    """
    from opsrunner.schedule.load import contents_of

    path = Path(context.settings().schedules)
    contents_of(context.settings())  # a broken file is told here, before Celery's log swallows it
    if not path.exists():
        click.echo(f"no {path} here yet: it counts as soon as it is written", err=True)
    context.open_store(context.open_ledger())  # no broker, no key: said now, not at the first due time
    from opsrunner.engine.app import app

    app.start(["beat", "-l", loglevel, "--pidfile="])
    return 0
