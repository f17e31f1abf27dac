"""Celery's beat, which starts our schedules beside whatever ``beat_schedule`` holds."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from celery import beat

from opsrunner import settings as settings_module
from opsrunner.errors import InputError
from opsrunner.schedule.clock import Clock


class Scheduler(beat.Scheduler):  # type: ignore[misc]
    """Celery's scheduler with a :class:`Clock` of ours, which has no part in Celery's entries."""

    def setup_schedule(self) -> None:
        super().setup_schedule()
        settings = settings_module.load(os.environ, Path.cwd())
        self.clock = Clock(settings, Path(settings.schedules))
        try:
            self.clock.book.read()
        except InputError as error:
            # Raised on, Celery would log it with a traceback and exit with 1.
            print("\n".join(error.lines()), file=sys.stderr, flush=True)  # noqa: T201
            sys.exit(error.exit_code)

    def tick(self, *arguments: Any, **options: Any) -> float:
        wait = self.clock.tick()
        celerys: float = super().tick(*arguments, **options)
        return min(wait, celerys)

    @property
    def producer(self) -> Any:
        """Only entries of Celery's own need one; waiting for a broker would hold up ours."""
        return super().producer if self.schedule else None

    def close(self) -> None:
        self.clock.close()
        super().close()
