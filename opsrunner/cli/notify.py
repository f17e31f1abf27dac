"""``opsrunner notify list|test``."""

from __future__ import annotations

import os
import secrets
import time

import click

from opsrunner.cli import context
from opsrunner.cli.options import seconds, vault_options

#: Seconds between two looks at whether the message was sent.
LOOK = 0.2


@click.group("notify", epilog="Examples: opsrunner notify list · opsrunner notify test ops")
def command() -> None:
    """Look at the notifiers, and send a test message to one."""


@command.command("list", epilog="Example: opsrunner notify list")
def list_notifiers() -> None:
    """Every notifier that is declared: how it is told, and of what."""
    from opsrunner.notify.choice import declared

    found = declared(context.settings())
    rows = [("NAME", "CHANNEL", "EVENTS", "TO")]
    rows += [(name, one.kind, ",".join(one.on), one.target) for name, one in sorted(found.items())]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        click.echo("  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3])))


@command.command("test", epilog="Example: opsrunner notify test ops --wait 10s")
@click.argument("name")
@vault_options
@click.option(
    "--wait", default="60s", show_default=True, metavar="TIME", help="Wait that long for a worker to send it."
)
def test(name: str, wait: str) -> int:
    """Have a worker send a test message, and tell what came of it. It is tried once."""
    from dataclasses import replace

    from opsrunner.engine.nodes import live
    from opsrunner.errors import NoWorker
    from opsrunner.notify.choice import chosen
    from opsrunner.notify.facts import samples
    from opsrunner.notify.outbox import Outbox

    settings = context.settings()
    patience = seconds(wait)
    (notifier,) = chosen(settings, (name,), os.environ)
    ledger = context.open_ledger(worker=True)
    outbox = Outbox(ledger.redis, context.open_store(ledger).sealer)
    if settings.broker_url is not None and not live(ledger.redis):
        raise NoWorker("no live worker: nobody would send it", remedy="start one: opsrunner worker")
    sample, run_id = samples()[0], f"test-{secrets.token_hex(4)}"
    facts = {**sample, "event": "test", "run": {**sample["run"], "id": run_id}}
    identity = f"{run_id}:test:{name}"
    outbox.post(identity, replace(notifier, give_up_after=0.0), facts, kept=settings.retention_days * 86400)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        found = outbox.find(identity)
        if found is not None and found.state in ("delivered", "failed"):
            click.echo(f"{name}: {found.state} by {found.worker}" + (f": {found.note}" if found.note else ""))
            return 0 if found.state == "delivered" else 1
        time.sleep(LOOK)
    click.echo(f"{name}: not sent within {wait}; `opsrunner notifications` tells what becomes of it", err=True)
    return 1
