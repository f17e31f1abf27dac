"""Celery's pool of threads, for which a task that is to be terminated is no defect."""

from __future__ import annotations

import logging
from typing import Any

from celery.concurrency import thread

log = logging.getLogger("opsrunner.worker")


class TaskPool(thread.TaskPool):  # type: ignore[misc]
    """One process shares all SSH connections, so no task of it can be killed."""

    def terminate_job(self, pid: int, signal: Any = None) -> None:
        """What ``revoke(terminate=True)`` and Flower's button ask for; Celery would log a traceback."""
        log.warning("a task is not terminated by revoking it: `opsrunner cancel RUN` stops a run")
