"""``opsrunner status``."""

from __future__ import annotations

import json
from typing import Any

import click

from opsrunner import embedded
from opsrunner.cli import context
from opsrunner.ledger.records import ENDED
from opsrunner.settings import Settings


@click.command("status", epilog="Examples: opsrunner status · opsrunner status --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(as_json: bool) -> None:
    """Tell what is running: Redis, workers, runs. Starts nothing."""
    found = look(context.settings())
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(f"broker   {found['broker']}")
    click.echo(f"Redis    {_redis_line(found['redis'])}")
    names = [f"{worker['name']} ({','.join(worker['zones'])}, pid {worker['pid']})" for worker in found["workers"]]
    click.echo(f"workers  {'; '.join(names) or 'none'}")
    click.echo(f"runs     {', '.join(found['runs']) or 'none'} going on")


def look(settings: Settings) -> dict[str, Any]:
    """What is running. Raises BrokerUnavailable when a configured broker does not answer."""
    found: dict[str, Any] = {
        "broker": "embedded" if settings.broker_url is None else "configured",
        "state_dir": settings.state_dir,
        "redis": None,
        "workers": [],
        "runs": [],
    }
    own = embedded.status(settings) if settings.broker_url is None else None
    if own and own.server is None:
        return found
    from opsrunner.engine import nodes

    ledger = context.open_ledger()
    about = ledger.redis.info()
    found["redis"] = {
        "version": about.get("redis_version"),
        "pid": own.server if own else None,
        "up_seconds": about.get("uptime_in_seconds"),
        "memory_bytes": about.get("used_memory"),
        "clients": about.get("connected_clients"),
    }
    found["workers"] = [
        {"name": worker.name, "zones": list(worker.zones), "node": worker.node, "pid": worker.pid}
        for worker in nodes.live(ledger.redis)
    ]
    found["runs"] = [run.id for run in ledger.runs(limit=100) if run.status not in ENDED]
    return found


def _redis_line(redis: dict[str, Any] | None) -> str:
    if redis is None:
        return "not running; the next verb that needs it starts it, or `opsrunner up`"
    pid = f", pid {redis['pid']}" if redis["pid"] else ""
    return f"{redis['version']}{pid}, {redis['memory_bytes'] / 1e6:.1f} MB, up {redis['up_seconds']} s"
