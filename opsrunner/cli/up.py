"""``opsrunner up``."""

from __future__ import annotations

import time

import click

from opsrunner import embedded
from opsrunner.cli import context
from opsrunner.errors import NoWorker, UsageError
from opsrunner.settings import Settings

#: Seconds that the local worker may take until it is known.
WORKER_WITHIN = 60.0


@click.command("up", epilog="Example: opsrunner up && opsrunner status")
def command() -> None:
    """Start the embedded Redis and the local worker, so that the next command finds them warm.

    Every verb that needs them starts them by itself; they end after idle_minutes, or at `opsrunner down`.
    """
    settings = context.settings()
    if settings.broker_url is not None:
        raise UsageError(
            "nothing to start: a broker is configured",
            why="CELERY_BROKER_URL or celeryconfig.py names it",
            remedy="start workers with `opsrunner worker`; `opsrunner doctor` checks the broker",
        )
    before = embedded.status(settings)
    ledger = context.open_ledger(worker=True)
    wait_for_worker(settings, ledger.redis)
    now = embedded.status(settings)
    click.echo(f"Redis   {_verb(before.server, now.server)}, pid {now.server}, {now.url}")
    click.echo(f"worker  {_verb(before.worker, now.worker)}, pid {now.worker}, serves every zone")


def wait_for_worker(settings: Settings, client: object) -> None:
    """Until the local worker has taken its lease. Raises NoWorker, with its last words, when it does not."""
    from opsrunner.engine import nodes

    deadline = time.monotonic() + WORKER_WITHIN
    while (pid := embedded.status(settings).worker) is not None and time.monotonic() < deadline:
        if any(record.pid == pid for record in nodes.live(client)):
            return
        embedded.touch(settings)  # waiting for it is use
        time.sleep(0.05)
    raise NoWorker(
        "the local worker does not come up" if pid else "the local worker ended again",
        why=" · ".join(embedded.worker_log(settings, 3)) or None,
        remedy=f"look at {settings.state_dir}/worker.log",
    )


def _verb(before: int | None, now: int | None) -> str:
    return "runs already" if before == now else "started"
