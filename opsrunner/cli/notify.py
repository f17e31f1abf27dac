"""``opsrunner notify list|test|retry``."""

from __future__ import annotations

import os
import secrets
import time

import click

from opsrunner.cli import context
from opsrunner.cli.groups import Group
from opsrunner.cli.options import seconds, vault_options
from opsrunner.errors import UsageError

#: Seconds between two looks at whether the message was sent.
LOOK = 0.2


@click.group(
    "notify",
    cls=Group,
    epilog="Examples: opsrunner notify list · opsrunner notify test ops · opsrunner notify retry last",
)
def command() -> None:
    """Look at the notifiers, send a test message to one, and send again what could not be delivered."""


@command.command("list", epilog="Example: opsrunner notify list")
def list_notifiers() -> None:
    """Every notifier that is declared: how it is told, and of what."""
    from opsrunner.notify.choice import declared

    settings = context.settings()
    found = declared(settings)
    if not found:
        ways = f"write {settings.notifiers}, set OPSRUNNER_NOTIFIERS, or declare them in {settings.schedules}"
        click.echo(f"no notifiers are declared here: {ways}", err=True)
        return
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
    from opsrunner.notify.choice import one
    from opsrunner.notify.facts import samples
    from opsrunner.notify.outbox import Outbox

    settings = context.settings()
    patience = seconds(wait)
    notifier = one(settings, name, os.environ)
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


@command.command("retry", epilog="Examples: opsrunner notify retry last · opsrunner notify retry --all --notifier ops")
@click.argument("run", required=False)
@click.option("--all", "every", is_flag=True, help="Of every run.")
@click.option("--notifier", "names", multiple=True, metavar="NAME", help="Only by this notifier; may be repeated.")
@vault_options
def retry(run: str | None, every: bool, names: tuple[str, ...]) -> None:
    """Send at once what waits or was given up, of one run or of all: by the notifier as it is declared now, or as it
    was where it is declared no longer. Tries and time count anew.
    """
    from opsrunner.notify import choice
    from opsrunner.notify.outbox import Outbox

    if every == (run is not None):
        raise UsageError("name a run, or pass --all")
    settings = context.settings()
    ledger = context.open_ledger(worker=True)
    outbox = Outbox(ledger.redis, context.open_store(ledger).sealer)
    found = outbox.undelivered(ledger.find(run).id if run else None)
    choice.check_names(settings, names, (one.notifier for one in found))
    wanted = [one for one in found if one.notifier in (names or (one.notifier,))]
    known = choice.declared(settings).keys() & {one.notifier for one in wanted}
    now = {name: choice.one(settings, name, os.environ) for name in known}
    for one in wanted:
        try:
            _, before, facts = outbox.opened(one.id)
            told = outbox.retry(one.id, now.get(one.notifier, before), facts)
        except LookupError:
            told = False  # delivered meanwhile, or given up by a version that kept nothing of it
        how = "sent again" if told else "not kept any more"
        click.echo(f"{one.run}  {one.event}  {one.notifier}: {how}")
    click.echo("`opsrunner notifications` tells what becomes of them" if wanted else "nothing waits or was given up")
