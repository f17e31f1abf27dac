"""Start the run of a schedule: by hand, or as the next step of what :mod:`opsrunner.schedule.decide` says.

What cannot be started, or was missed, is recorded as a failed run, where everybody looks for runs.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from opsrunner import passwords, vault
from opsrunner.engine.access import open_ledger, open_store
from opsrunner.engine.selections import selections
from opsrunner.engine.submit import new_run_id, require_workers, submit
from opsrunner.errors import BrokerUnavailable, NoWorker, OpsrunnerError
from opsrunner.inventory import sources
from opsrunner.ledger import keys
from opsrunner.ledger.encoding import encode_event
from opsrunner.ledger.store import AWAY, Store, record_refused
from opsrunner.plan.compile import Compiled
from opsrunner.plan.model import Options
from opsrunner.plan.read import read_playbook
from opsrunner.schedule import states
from opsrunner.schedule.decide import Entry, Step, decide
from opsrunner.schedule.model import Schedule
from opsrunner.schedule.times import clock_text
from opsrunner.settings import Settings

log = logging.getLogger("opsrunner.beat")
#: Seconds that a worker may take to come up: it may be starting itself.
WORKER_WITHIN = 30.0


def compile_schedule(schedule: Schedule, settings: Settings) -> Compiled:
    """Its playbook, compiled as things are now. Raises InputError, RunNotFound and BrokerUnavailable."""
    return read_playbook(
        schedule.playbook,
        schedule.inventory or sources.of_setting(settings.inventory),
        Options(
            check=schedule.check,
            diff=schedule.diff,
            tags=schedule.tags,
            skip_tags=schedule.skip_tags,
            limit=schedule.limit,
            selections=selections([schedule.limit], lambda: open_ledger(settings)),
            shuffle_seed=secrets.randbits(32),
            forks=schedule.forks or settings.forks,
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
    now = store.now()
    pipeline = ledger.redis.pipeline(transaction=True)
    run_id = _submit(store, schedule, compiled, user, new_run_id(now), pipeline)
    states.write_run(pipeline, schedule.name, run_id, now)
    states.write_entry(pipeline, schedule.name, Entry("by hand", now, now, run=run_id, why=f"by {user}"))
    pipeline.execute()
    return run_id, compiled.warnings


def take_step(
    schedule: Schedule, store: Store, settings: Settings, *, prepare: Callable[[], Compiled] | None = None
) -> str | None:
    """Do the next thing there is to do for it, in one transaction with its state.

    Gives a line for the log, None when there is nothing to do. ``prepare`` compiles the run (default: as things are
    now). Raises redis' WatchError when somebody else did something for it meanwhile, BrokerUnavailable and redis' own
    errors while Redis is away: then nothing was done.
    """
    with store.redis.pipeline(transaction=True) as transaction:
        transaction.watch(*states.watched(schedule.name))
        before = states.read_state(store.redis, schedule.name)
        now = store.now()
        step = decide(schedule, before, now)
        if step is None:
            return None
        for run in step.cancel:
            store.request_cancel(run, f"{_user(schedule)}, which is due again")
        compiled = _prepared(prepare or (lambda: _compile(schedule, store, settings))) if step.start else None
        transaction.multi()
        said = _write(transaction, schedule, store, settings, step, compiled)
        after = replace(step.state, started=before.started + isinstance(compiled, Compiled))
        states.write_state(transaction, schedule.name, before, after)
        transaction.execute()
    return said


def _compile(schedule: Schedule, store: Store, settings: Settings) -> Compiled:
    if settings.broker_url is None:
        open_ledger(settings, worker=True)  # the embedded worker may have ended for lack of use
    with vault.using(vault.Vault(more=lambda: passwords.of_setting(settings.vault_password_file))):
        compiled = compile_schedule(schedule, settings)
    require_workers(store.redis, compiled.plan, wait=WORKER_WITHIN)
    return compiled


def _prepared(prepare: Callable[[], Compiled]) -> Compiled | OpsrunnerError:
    """What is to be run, or why it cannot be."""
    try:
        return prepare()
    except (BrokerUnavailable, *AWAY):
        raise  # the due time is looked at again when Redis is back
    except OpsrunnerError as error:
        return error
    except Exception as error:
        log.exception("a schedule met a defect")
        return OpsrunnerError(f"unexpected error: {error!r}")


def _write(
    transaction: Any,
    schedule: Schedule,
    store: Store,
    settings: Settings,
    step: Step,
    compiled: Compiled | OpsrunnerError | None,
) -> str:
    """Queue what a step does; gives a line for the log."""
    now = store.now()
    said, entry = "looked at", step.entry
    if isinstance(compiled, Compiled) and step.start:
        run_id = _submit(store, schedule, compiled, _user(schedule), new_run_id(now), transaction)
        states.write_run(transaction, schedule.name, run_id, now)
        states.write_entry(transaction, schedule.name, Entry("started", step.start.at, now, run=run_id))
        said = " · ".join((f"run {run_id}", *compiled.warnings))
    elif compiled is not None and step.start:
        error = compiled if isinstance(compiled, OpsrunnerError) else OpsrunnerError("not compiled")
        refused = Entry("refused", step.start.at, now, why=str(error))
        said = _record(transaction, schedule, store, settings, refused, error.exit_code)
    if entry and entry.what == "missed":
        said = _record(transaction, schedule, store, settings, entry, NoWorker.exit_code)
    elif entry:
        states.write_entry(transaction, schedule.name, entry)
        said = f"{entry.what} {clock_text(schedule, entry.due)}: {entry.why}"
    if entry and step.tell:
        text = f"{schedule.name} was due again at {clock_text(schedule, entry.due)} while this run goes on: skipped"
        transaction.xadd(keys.events(step.tell), {"k": "notice", "d": encode_event(text=text, level="warning")})
    return said


def _submit(store: Store, schedule: Schedule, compiled: Compiled, user: str, run_id: str, transaction: Any) -> str:
    return submit(
        store,
        compiled.plan,
        compiled.files,
        user=user,
        run_id=run_id,
        schedule=schedule.name,
        max_runtime=schedule.max_runtime,
        transaction=transaction,
    )


def _record(
    transaction: Any, schedule: Schedule, store: Store, settings: Settings, entry: Entry, exit_code: int
) -> str:
    """Record due times that were not started as a failed run; gives a line for the log."""
    run_id = new_run_id(entry.at)
    header = {"title": str(schedule.playbook), "kind": "playbook", "user": _user(schedule), "schedule": schedule.name}
    times = clock_text(schedule, entry.due)
    if entry.count > 1:
        times = f"{entry.count} times from {clock_text(schedule, entry.since)} to {times}"
    reason = f"not started at {times}: {entry.why}"
    seconds = int(settings.retention_days * 86400)
    record_refused(store.redis, run_id, header, exit_code, reason, seconds, transaction=transaction)
    states.write_run(transaction, schedule.name, run_id, entry.at)
    states.write_entry(transaction, schedule.name, replace(entry, run=run_id))
    return f"{reason} (run {run_id})"


def _user(schedule: Schedule) -> str:
    return f"schedule {schedule.name}"
