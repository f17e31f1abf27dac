"""Start the run of a schedule: by hand, or as the next step of what :mod:`opsrunner.schedule.decide` says.

What cannot be started, or was missed, is recorded as a failed run, where everybody looks for runs.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from opsrunner import passwords
from opsrunner.engine.access import open_ledger, open_store
from opsrunner.engine.selections import selections
from opsrunner.engine.submit import new_run_id, require_workers, submit
from opsrunner.errors import BrokerUnavailable, InputError, NoWorker, OpsrunnerError
from opsrunner.inventory import sources
from opsrunner.ledger import keys
from opsrunner.ledger.encoding import encode_event
from opsrunner.ledger.store import AWAY, Store, record_refused
from opsrunner.notify.choice import chosen
from opsrunner.notify.model import Notifier
from opsrunner.notify.outbox import Outbox
from opsrunner.plan.model import Compiled, Options
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


def told(schedule: Schedule, settings: Settings) -> tuple[Notifier, ...]:
    """Who is told of its runs. Raises InputError."""
    return chosen(settings, schedule.notify or None, os.environ)


def start_now(schedule: Schedule, settings: Settings, *, user: str) -> tuple[str, tuple[str, ...]]:
    """Start it by hand, whatever goes on already; gives the run's id and warnings for the operator.

    Raises InputError, NoWorker, BrokerUnavailable.
    """
    ready = Ready(compile_schedule(schedule, settings), told(schedule, settings))
    ledger = open_ledger(settings, worker=True)
    store = open_store(ledger, settings)
    # Only the embedded worker may be on its way up: this very call has started it.
    require_workers(ledger.redis, ready.compiled.plan, wait=WORKER_WITHIN if settings.broker_url is None else 0.0)
    now = store.now()
    transaction = ledger.redis.pipeline(transaction=True)
    run_id = Writing(schedule, store, settings, transaction).submit(ready, user, now)
    states.write_entry(transaction, schedule.name, Entry("by hand", now, now, run=run_id, why=f"by {user}"))
    transaction.execute()
    return run_id, ready.compiled.warnings


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
        step = decide(schedule, before, store.now())
        if step is None:
            return None
        for run in step.cancel:
            store.request_cancel(run, f"schedule {schedule.name}, which is due again")
        ready: Ready | OpsrunnerError | None = None
        if step.start:
            ready = _prepared(schedule, settings, prepare or (lambda: _compile(schedule, store, settings)))
        transaction.multi()
        said = Writing(schedule, store, settings, transaction).step(step, ready)
        after = replace(step.state, started=before.started + isinstance(ready, Ready))
        states.write_state(transaction, schedule.name, before, after)
        transaction.execute()
    return said


class Ready(Struct, frozen=True):
    """What is to be run, and who is told of it."""

    compiled: Compiled
    notifiers: tuple[Notifier, ...]


def _compile(schedule: Schedule, store: Store, settings: Settings) -> Compiled:
    if settings.broker_url is None:
        open_ledger(settings, worker=True)  # the embedded worker may have ended for lack of use
    compiled = compile_schedule(schedule, settings)
    require_workers(store.redis, compiled.plan, wait=WORKER_WITHIN)
    return compiled


def _prepared(schedule: Schedule, settings: Settings, prepare: Callable[[], Compiled]) -> Ready | OpsrunnerError:
    """What is to be run, or why it cannot be."""
    try:
        with passwords.using_setting(settings.vault_password_file):
            return Ready(prepare(), told(schedule, settings))
    except (BrokerUnavailable, *AWAY):
        raise  # the due time is looked at again when Redis is back
    except OpsrunnerError as error:
        return error
    except Exception as error:
        log.exception("schedule %s met a defect", schedule.name)
        return OpsrunnerError(f"unexpected error: {error!r}")


class Writing(Struct, frozen=True):
    """What a step queues in its transaction."""

    schedule: Schedule
    store: Store
    settings: Settings
    transaction: Any

    def step(self, step: Step, ready: Ready | OpsrunnerError | None) -> str:
        """All of a step but the new state; gives a line for the log."""
        name, now, entry = self.schedule.name, self.store.now(), step.entry
        if step.start and isinstance(ready, Ready):
            run_id = self.submit(ready, f"schedule {name}", now)
            states.write_entry(self.transaction, name, Entry("started", step.start.at, now, run=run_id))
            return " · ".join((f"run {run_id}", *ready.compiled.warnings))
        if step.start and isinstance(ready, OpsrunnerError):
            return self.record(Entry("refused", step.start.at, now, why=str(ready)), ready.exit_code)
        if entry is None:
            return step.said
        if entry.what == "missed":
            return self.record(entry, NoWorker.exit_code)
        states.write_entry(self.transaction, name, entry)
        due = clock_text(self.schedule, entry.due)
        if step.tell:
            data = encode_event(text=f"{name} was due again at {due} while this run goes on: skipped", level="warning")
            self.transaction.xadd(keys.events(step.tell), {"k": "notice", "d": data})
        return f"{entry.what} {due}: {entry.why}"

    def submit(self, ready: Ready, user: str, now: float) -> str:
        """A run of the schedule; gives its id."""
        run_id = submit(
            self.store,
            ready.compiled.plan,
            ready.compiled.files,
            user=user,
            run_id=new_run_id(now),
            schedule=self.schedule.name,
            max_runtime=self.schedule.max_runtime,
            notifiers=ready.notifiers,
            transaction=self.transaction,
        )
        states.write_run(self.transaction, self.schedule.name, run_id, now)
        return run_id

    def record(self, entry: Entry, exit_code: int) -> str:
        """Due times that were not started, as a failed run; gives a line for the log."""
        name, run_id = self.schedule.name, new_run_id(entry.at)
        title, user = str(self.schedule.playbook), f"schedule {name}"
        header = {"title": title, "kind": "playbook", "user": user, "schedule": name}
        times = clock_text(self.schedule, entry.due)
        if entry.count > 1:
            times = f"{entry.count} times from {clock_text(self.schedule, entry.since)} to {times}"
        reason = f"not started at {times}: {entry.why}"
        seconds = int(self.settings.retention_days * 86400)
        self._announce(run_id)
        record_refused(self.store.redis, run_id, header, exit_code, reason, seconds, transaction=self.transaction)
        states.write_run(self.transaction, name, run_id, entry.at)
        states.write_entry(self.transaction, name, replace(entry, run=run_id))
        return f"{reason} (run {run_id})"

    def _announce(self, run_id: str) -> None:
        """Have somebody told of a run that never began, as far as the notifiers themselves are in order."""
        try:
            with passwords.using_setting(self.settings.vault_password_file):
                notifiers = told(self.schedule, self.settings)
            if notifiers:
                Outbox(self.store.redis, self.store.sealer).announce(run_id, notifiers)
        except InputError as error:
            log.error("nobody is told of run %s: %s", run_id, error)
