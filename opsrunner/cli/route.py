"""``opsrunner route HOST``."""

from __future__ import annotations

from pathlib import Path

import click

from opsrunner.cli import context
from opsrunner.cli.options import default_sources, inventory_options
from opsrunner.errors import NoWorker


@click.command("route", epilog="Example: opsrunner route web1")
@click.argument("host")
@inventory_options
def command(host: str, inventories: tuple[str, ...]) -> None:
    """Tell which worker serves HOST, over which queue and in which zone."""
    from opsrunner import inventory
    from opsrunner.engine import nodes
    from opsrunner.plan.compile import lookups_here
    from opsrunner.plan.zones import zones_of
    from opsrunner.templating import Templar

    timeout = context.settings().script_timeout
    loaded = inventory.load(default_sources(inventories), base=Path.cwd(), script_timeout=timeout)
    for warning in loaded.warnings:
        context.warn(warning)
    names = inventory.match(loaded, host)
    workers = nodes.live(context.open_ledger().redis)
    for zone, hosts in zones_of(loaded, names, Templar(lookups=lookups_here(Path.cwd()))).items():
        for queue, mine in nodes.assign([(name, zone) for name in hosts], workers).items():
            if not queue:
                raise NoWorker(
                    f"no live worker for zone {zone}: {', '.join(mine)}", remedy=f"opsrunner worker --zone {zone}"
                )
            worker = next(worker for worker in workers if worker.queue == queue)
            for name in mine:
                click.echo(f"{name}  zone {zone}  worker {worker.name}  queue {queue}  node {worker.node}")
