"""``schedules.yml`` as entries of Celery beat, beside whatever ``beat_schedule`` holds."""

from __future__ import annotations

import datetime
import logging
import os
import threading
from pathlib import Path
from typing import Any

from celery import beat, schedules

from opsrunner import settings as settings_module
from opsrunner.errors import OpsrunnerError
from opsrunner.schedule.load import Schedule, load
from opsrunner.schedule.start import start
from opsrunner.schedule.times import due_after

log = logging.getLogger("opsrunner.beat")
#: What entries of ours name as their task; they are started in this process, where the files are.
START = "opsrunner.start_schedule"


class DueTimes(schedules.BaseSchedule):  # type: ignore[misc]
    """A schedule's due times in the words of Celery beat."""

    def __init__(self, schedule: Schedule, app: Any = None) -> None:
        super().__init__(app=app)
        self.schedule = schedule

    def due(self, last_run_at: datetime.datetime) -> datetime.datetime:
        return next(due_after(self.schedule, last_run_at))

    def remaining_estimate(self, last_run_at: datetime.datetime) -> datetime.timedelta:
        return self.due(last_run_at) - self.now()

    def is_due(self, last_run_at: datetime.datetime) -> tuple[bool, float]:
        now = self.now()
        due = self.due(last_run_at)
        if due > now:
            return schedules.schedstate(False, (due - now).total_seconds())
        return schedules.schedstate(True, (next(due_after(self.schedule, now)) - now).total_seconds())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DueTimes) and other.schedule == self.schedule

    def __hash__(self) -> int:
        return hash(self.schedule.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.schedule,)


class Scheduler(beat.Scheduler):  # type: ignore[misc]
    """Celery's scheduler, with our schedules merged in; two of them never start a due time twice."""

    def setup_schedule(self) -> None:
        super().setup_schedule()
        self.merge_inplace(self.app.conf.beat_schedule)
        self.settings = settings_module.load(os.environ, Path.cwd())
        path = Path(self.settings.schedules)
        found = load(path) if path.exists() else ()
        for schedule in found:
            self.schedule[schedule.name] = self.Entry(
                name=schedule.name, task=START, schedule=DueTimes(schedule, app=self.app), app=self.app
            )
        log.info("%d schedules from %s", len(found), path)

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **options: Any) -> Any:
        if entry.task != START:
            return super().apply_async(entry, producer=producer, advance=advance, **options)
        # The entry handed over is the one from before it was moved on: its last run tells which time is due.
        due = entry.schedule.due(entry.last_run_at)
        if advance:
            self.reserve(entry)
        # Compiling a large inventory must not make the other schedules late.
        threading.Thread(target=self._start, args=(entry.schedule.schedule, due), daemon=True).start()
        return None

    def _start(self, schedule: Schedule, due: datetime.datetime) -> None:
        try:
            run_id = start(schedule, self.settings, user=f"schedule {schedule.name}", due=due)
        except OpsrunnerError as error:
            log.error("schedule %s could not start: %s", schedule.name, "\n".join(error.lines()))
        except Exception:
            log.exception("schedule %s could not start", schedule.name)
        else:
            log.info("schedule %s: %s", schedule.name, run_id or "started elsewhere already")
