"""What ``revoke(terminate=True)`` and Flower's button ask for: the end of a task that is at work."""

from __future__ import annotations

import logging
from typing import Any

from celery.worker.request import Request

log = logging.getLogger("opsrunner.worker")


class UnkillableRequest(Request):  # type: ignore[misc]
    """One process shares all SSH connections, so no task of it can be killed.

    Celery's own would log a traceback, or break the chord that the task is a member of.
    """

    def terminate(self, pool: Any, signal: Any = None) -> None:
        log.warning("a task is not terminated by revoking it: `opsrunner cancel RUN` stops a run")
