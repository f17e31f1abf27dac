"""Celery's result backend: what tells a chord that its members are through."""

from __future__ import annotations

import logging
from typing import Any

from celery.backends.redis import RedisBackend
from celery.exceptions import BackendError
from redis.exceptions import RedisError

log = logging.getLogger("opsrunner.worker")


class ResultBackend(RedisBackend):  # type: ignore[misc]
    """Celery's for Redis; a server that is full or a replica must not cost anything but time.

    An error that escaped from here would cost a slot of the thread pool for good. A chord that is not told
    never fires, and the steward moves the run on from the ledger instead.
    """

    def mark_as_done(self, task_id: str, *arguments: Any, **options: Any) -> None:
        try:
            super().mark_as_done(task_id, *arguments, **options)
        except (RedisError, BackendError) as error:
            log.info("the end of task %s is not stored: %s", task_id, error)

    def mark_as_failure(self, task_id: str, *arguments: Any, **options: Any) -> None:
        try:
            super().mark_as_failure(task_id, *arguments, **options)
        except (RedisError, BackendError) as error:
            log.info("the failure of task %s is not stored: %s", task_id, error)
