"""Start the run of a schedule, once per due time, whoever else tries."""

from __future__ import annotations

import datetime
from pathlib import Path

from opsrunner import inventory
from opsrunner.engine.access import open_ledger, open_store
from opsrunner.engine.submit import new_run_id, submit
from opsrunner.ledger import keys
from opsrunner.plan.compile import compile_playbook
from opsrunner.plan.model import Options
from opsrunner.schedule.load import Schedule
from opsrunner.settings import Settings

#: Seconds for which a due time is remembered as taken.
TAKEN_FOR = 7 * 86400


def start(schedule: Schedule, settings: Settings, *, user: str, due: datetime.datetime | None = None) -> str | None:
    """Compile and submit; gives the run's id, None when somebody started this due time already.

    Without ``due`` (started by hand) it always starts. Raises OpsrunnerError: bad input, no broker.
    """
    ledger = open_ledger(settings, worker=True)
    store = open_store(ledger, settings)
    run_id = new_run_id()
    if due is not None:
        taken = f"{keys.PREFIX}due:{schedule.name}:{int(due.timestamp())}"
        if not ledger.redis.set(taken, run_id, nx=True, ex=TAKEN_FOR):
            return None
    sources = schedule.inventory or (str(settings.inventory),)
    loaded = inventory.load(sources, base=Path.cwd())
    compiled = compile_playbook(
        schedule.playbook, loaded, Options(limit=schedule.limit, forks=settings.forks), schedule.vars
    )
    return submit(store, compiled.plan, compiled.files, user=user, run_id=run_id, schedule=schedule.name)
