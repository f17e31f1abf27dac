"""Start the run of a schedule: by hand, or once per due time whoever else tries.

A due time that cannot be started is recorded as a failed run, where everybody looks for runs.
"""

from __future__ import annotations

import datetime
import logging
import os
import secrets
from pathlib import Path

from opsrunner import passwords, vault
from opsrunner.engine.access import open_ledger, open_store
from opsrunner.engine.selections import selections
from opsrunner.engine.submit import require_workers, submit
from opsrunner.errors import InputError, OpsrunnerError
from opsrunner.inventory import sources
from opsrunner.ledger import keys
from opsrunner.ledger.encoding import encode_event
from opsrunner.ledger.reader import Ledger
from opsrunner.ledger.records import ENDED
from opsrunner.ledger.store import record_refused
from opsrunner.notify.choice import chosen
from opsrunner.notify.model import Notifier
from opsrunner.notify.outbox import Outbox
from opsrunner.plan.model import Compiled, Options
from opsrunner.plan.read import read_playbook
from opsrunner.schedule.load import Schedule
from opsrunner.settings import Settings

log = logging.getLogger("opsrunner.beat")
#: Seconds for which a due time is remembered as taken.
TAKEN_FOR = 7 * 86400
#: Seconds that a worker may take to come up: it may be starting itself.
WORKER_WITHIN = 30.0


def compile_schedule(schedule: Schedule, settings: Settings) -> Compiled:
    """Its playbook, compiled as things are now. Raises InputError, RunNotFound and BrokerUnavailable."""
    return read_playbook(
        schedule.playbook,
        schedule.inventory or sources.of_setting(settings.inventory),
        Options(
            limit=schedule.limit,
            selections=selections([schedule.limit], lambda: open_ledger(settings)),
            shuffle_seed=secrets.randbits(32),
            forks=settings.forks,
        ),
        schedule.vars,
        base=Path.cwd(),
        script_timeout=settings.script_timeout,
    )


def start_now(schedule: Schedule, settings: Settings, *, user: str) -> tuple[str, tuple[str, ...]]:
    """Start it by hand, whatever goes on already; gives the run's id and warnings for the operator.

    Raises InputError, NoWorker, BrokerUnavailable.
    """
    compiled = compile_schedule(schedule, settings)
    ledger = open_ledger(settings, worker=True)
    store = open_store(ledger, settings)
    # Only the embedded worker may be on its way up: this very call has started it.
    require_workers(ledger.redis, compiled.plan, wait=WORKER_WITHIN if settings.broker_url is None else 0.0)
    run_id = submit(
        store, compiled.plan, compiled.files, user=user, schedule=schedule.name, notifiers=told(schedule, settings)
    )
    ledger.redis.set(_last(schedule), run_id)
    return run_id, compiled.warnings


def start_due(schedule: Schedule, due: datetime.datetime, settings: Settings, *, run_id: str) -> str:
    """Start the run of one due time unless somebody has; gives a line for the log.

    It may be called again with the same ``run_id``: an answer of Redis that was lost does no harm.
    Raises InputError, NoWorker, BrokerUnavailable and redis' own errors.
    """
    ledger = open_ledger(settings, worker=True)
    if (ledger.redis.get(_due(schedule, due)) or run_id.encode()) != run_id.encode():
        return "started elsewhere already"
    busy = _going_on(ledger, schedule) if schedule.overlap == "skip" else None
    if busy not in (None, run_id):
        return _skip(ledger, schedule, due, str(busy), run_id)
    store = open_store(ledger, settings)
    # Taken only when nothing can be wrong any more: who dies before leaves the due time to others.
    with vault.using(vault.Vault(more=lambda: passwords.of_setting(settings.vault_password_file))):
        compiled = compile_schedule(schedule, settings)
        notifiers = told(schedule, settings)
    require_workers(ledger.redis, compiled.plan, wait=WORKER_WITHIN)
    if not _take(ledger, schedule, due, run_id):
        return "started elsewhere already"
    if ledger.run(run_id) is None:
        submit(
            store,
            compiled.plan,
            compiled.files,
            user=_user(schedule),
            run_id=run_id,
            schedule=schedule.name,
            notifiers=notifiers,
        )
    ledger.redis.set(_last(schedule), run_id)
    return " · ".join((f"run {run_id}", *compiled.warnings))


def record_refusal(
    schedule: Schedule, due: datetime.datetime, settings: Settings, error: OpsrunnerError, *, run_id: str
) -> bool:
    """Record a due time that could not be started as a failed run; False when somebody took it.

    Raises BrokerUnavailable, InputError (no key) and redis' own errors.
    """
    ledger = open_ledger(settings)
    if not _take(ledger, schedule, due, run_id):
        return False
    header = {"title": str(schedule.playbook), "kind": "playbook", "user": _user(schedule), "schedule": schedule.name}
    reason = f"not started at {due.isoformat(sep=' ', timespec='seconds')}: {error}"
    seconds = int(settings.retention_days * 86400)
    _announce(ledger, schedule, settings, run_id)
    record_refused(ledger.redis, run_id, header, error.exit_code, reason, seconds)
    return True


def told(schedule: Schedule, settings: Settings) -> tuple[Notifier, ...]:
    """Who is told of its runs. Raises InputError."""
    return chosen(settings, schedule.notify or None, os.environ)


def _announce(ledger: Ledger, schedule: Schedule, settings: Settings, run_id: str) -> None:
    """Have somebody told of a run that never began, as far as the notifiers themselves are in order."""
    try:
        with vault.using(vault.Vault(more=lambda: passwords.of_setting(settings.vault_password_file))):
            notifiers = told(schedule, settings)
        if notifiers:
            Outbox(ledger.redis, open_store(ledger, settings).sealer).announce(run_id, notifiers)
    except InputError as error:
        log.error("nobody is told of run %s: %s", run_id, error)


def _take(ledger: Ledger, schedule: Schedule, due: datetime.datetime, run_id: str) -> bool:
    """Make the due time ours. That the key holds our own id already means that an answer was lost."""
    key = _due(schedule, due)
    return bool(ledger.redis.set(key, run_id, nx=True, ex=TAKEN_FOR)) or ledger.redis.get(key) == run_id.encode()


def _going_on(ledger: Ledger, schedule: Schedule) -> str | None:
    """The schedule's last run, while it has not ended."""
    last = ledger.redis.get(_last(schedule))
    record = ledger.run(last.decode()) if last else None
    return record.id if record and record.status not in ENDED else None


def _skip(ledger: Ledger, schedule: Schedule, due: datetime.datetime, busy: str, run_id: str) -> str:
    """Leave a due time out, and say so in the run that is in its way."""
    text = (
        f"{schedule.name} was due again at {due.isoformat(sep=' ', timespec='seconds')} while this run goes on: skipped"
    )
    if _take(ledger, schedule, due, run_id):
        ledger.redis.xadd(keys.events(busy), {"k": "notice", "d": encode_event(text=text, level="warning")})
    return f"skipped, run {busy} goes on"


def _user(schedule: Schedule) -> str:
    return f"schedule {schedule.name}"


def _due(schedule: Schedule, due: datetime.datetime) -> str:
    """String: the run of one due time, whoever started it."""
    return f"{keys.PREFIX}due:{schedule.name}:{int(due.timestamp())}"


def _last(schedule: Schedule) -> str:
    """String: the schedule's last run."""
    return f"{keys.PREFIX}schedule:{schedule.name}"
