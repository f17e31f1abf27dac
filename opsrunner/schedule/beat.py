"""``schedules.yml`` as entries of Celery beat, beside whatever ``beat_schedule`` holds."""

from __future__ import annotations

import datetime
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from celery import beat, schedules

from opsrunner import settings as settings_module
from opsrunner.engine.submit import new_run_id
from opsrunner.errors import BrokerUnavailable, InputError, OpsrunnerError
from opsrunner.ledger.store import AWAY
from opsrunner.notify.choice import names_elsewhere
from opsrunner.schedule.load import Schedule, load
from opsrunner.schedule.start import record_refusal, start_due
from opsrunner.schedule.times import due_after

log = logging.getLogger("opsrunner.beat")
#: What entries of ours name as their task; they are started in this process, where the files are.
START = "opsrunner.start_schedule"
#: Seconds after its due time until a run is started no more: a nightly restart must not come at noon.
LATEST = 300.0
#: Seconds between two attempts while Redis is away.
RETRY = 2.0
#: Seconds that a scheduler which ends waits for the runs it is about to start.
FINISH_WITHIN = 10.0


class DueTimes(schedules.BaseSchedule):  # type: ignore[misc]
    """A schedule's due times in the words of Celery beat."""

    def __init__(self, schedule: Schedule, app: Any = None) -> None:
        super().__init__(app=app)
        self.schedule = schedule

    def due(self, last_run_at: datetime.datetime) -> datetime.datetime:
        """The first due time after ``last_run_at``, in UTC: two times of one zone compare without their offsets."""
        return next(due_after(self.schedule, last_run_at)).astimezone(datetime.UTC)

    def remaining_estimate(self, last_run_at: datetime.datetime) -> datetime.timedelta:
        return self.due(last_run_at) - self._utc()

    def is_due(self, last_run_at: datetime.datetime) -> Any:
        now = self._utc()
        due = self.due(last_run_at)
        if due > now:
            return schedules.schedstate(False, (due - now).total_seconds())
        return schedules.schedstate(True, (self.due(now) - now).total_seconds())

    def _utc(self) -> datetime.datetime:
        now: datetime.datetime = self.now()
        return now.astimezone(datetime.UTC)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DueTimes) and other.schedule == self.schedule

    def __hash__(self) -> int:
        return hash(self.schedule.name)

    def __repr__(self) -> str:
        return f"<{self.schedule.cron or f'every {self.schedule.every} s'}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.schedule,)


class Scheduler(beat.Scheduler):  # type: ignore[misc]
    """Celery's scheduler, with our schedules merged in; two of them never start a due time twice.

    A changed schedules.yml counts within ``beat_max_loop_interval`` seconds; one that was broken
    meanwhile is told in the log, and what stood there before goes on.
    """

    def setup_schedule(self) -> None:
        super().setup_schedule()
        self.settings = settings_module.load(os.environ, Path.cwd())
        self.file = Path(self.settings.schedules)
        self._busy: dict[str, threading.Lock] = {}
        self._starting: list[threading.Thread] = []
        self._seen = self._look()
        try:
            self._merge(load(self.file, names_elsewhere(self.settings)) if self._seen else ())
        except InputError as error:
            # Raised on, Celery would log it with a traceback and exit with 1.
            print("\n".join(error.lines()), file=sys.stderr, flush=True)  # noqa: T201
            sys.exit(error.exit_code)

    def tick(self, *arguments: Any, **options: Any) -> Any:
        self._reread()
        return super().tick(*arguments, **options)

    @property
    def producer(self) -> Any:
        """Only entries of Celery's own need one; waiting for a broker would hold up ours."""
        own = any(entry.task != START for entry in self.schedule.values())
        return super().producer if own else None

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **options: Any) -> Any:
        if entry.task != START:
            return super().apply_async(entry, producer=producer, advance=advance, **options)
        # The entry handed over is the one from before it was moved on: its last run tells which time is due.
        due = entry.schedule.due(entry.last_run_at)
        if advance:
            self.reserve(entry)
        # Compiling a large inventory must not make the other schedules late.
        thread = threading.Thread(target=self._start, args=(entry.schedule.schedule, due), daemon=True)
        self._starting = [one for one in self._starting if one.is_alive()] + [thread]
        thread.start()
        return None

    def close(self) -> None:
        deadline = time.monotonic() + FINISH_WITHIN
        for thread in self._starting:
            thread.join(max(0.0, deadline - time.monotonic()))
        super().close()

    # ------------------------------------------------------------------ the file
    def _look(self) -> tuple[int, ...] | None:
        """What changes when the file does; None without a file."""
        try:
            found = self.file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _reread(self) -> None:
        seen = self._look()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._merge(load(self.file, names_elsewhere(self.settings)) if seen else ())
        except InputError as error:
            log.error("%s is broken, the schedules stay as they were:\n%s", self.file, "\n".join(error.lines()))

    def _merge(self, found: tuple[Schedule, ...]) -> None:
        """Take the file's schedules in place of those it gave before. Raises InputError."""
        before = {name: entry for name, entry in self.schedule.items() if entry.task == START}
        taken = [one.name for one in found if one.name in self.schedule and one.name not in before]
        if taken:
            raise InputError(f"beat_schedule in celeryconfig.py holds {', '.join(taken)} too", remedy="rename one")
        for name in before:
            del self.schedule[name]
        for schedule in found:
            due = DueTimes(schedule, app=self.app)
            known = before.get(schedule.name)
            # One that stayed as it was keeps its last run: a due time of this very second is not passed over.
            last = known.last_run_at if known and known.schedule == due else None
            self.schedule[schedule.name] = self.Entry(
                name=schedule.name, task=START, schedule=due, last_run_at=last, app=self.app
            )
        log.info("%d schedules from %s", len(found), self.file)

    # ------------------------------------------------------------------ a due time
    def _start(self, schedule: Schedule, due: datetime.datetime) -> None:
        lock = self._busy.setdefault(schedule.name, threading.Lock())
        # Else two due times would each find that the other's run does not go on yet.
        if not lock.acquire(blocking=schedule.overlap == "allow"):
            log.warning("schedule %s: due again at %s while it is being started: skipped", schedule.name, due)
            return
        try:
            self._attempts(schedule, due)
        except Exception:
            log.exception("schedule %s could not start", schedule.name)
        finally:
            lock.release()

    def _attempts(self, schedule: Schedule, due: datetime.datetime) -> None:
        """Try until Redis is there or it is too late; what is wrong with the schedule itself is recorded at once."""
        run_id = new_run_id()
        missed: OpsrunnerError = OpsrunnerError(f"more than {LATEST:.0f} s late", why="the scheduler was held up")
        while time.time() - due.timestamp() <= LATEST:
            try:
                said = start_due(schedule, due, self.settings, run_id=run_id)
            except (BrokerUnavailable, *AWAY) as error:
                log.warning("schedule %s waits for Redis: %s", schedule.name, error)
                missed = BrokerUnavailable(f"Redis was away for {LATEST:.0f} s", why=str(error))
                time.sleep(RETRY)
            except OpsrunnerError as error:
                self._refuse(schedule, due, error, run_id)
                return
            except Exception as error:
                log.exception("schedule %s met a defect", schedule.name)
                self._refuse(schedule, due, OpsrunnerError(f"unexpected error: {error!r}"), run_id)
                return
            else:
                log.info("schedule %s: %s", schedule.name, said)
                return
        self._refuse(schedule, due, missed, run_id)

    def _refuse(self, schedule: Schedule, due: datetime.datetime, error: OpsrunnerError, run_id: str) -> None:
        if record_refusal(schedule, due, self.settings, error, run_id=run_id):
            log.error("schedule %s could not start, see run %s:\n%s", schedule.name, run_id, "\n".join(error.lines()))
        else:
            log.info("schedule %s: started elsewhere already", schedule.name)
