"""Celery's result backend: what tells a chord that its members are through."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from celery.backends.redis import RedisBackend, SentinelBackend
from celery.exceptions import BackendError
from redis.exceptions import RedisError

log = logging.getLogger("opsrunner.worker")


class _Patient:
    """A server that is full or a replica must not cost anything but time.

    An error that escaped from here would cost a slot of the thread pool for good. A chord that is not told
    never fires, and the steward moves the run on from the ledger instead.
    """

    def mark_as_done(self, task_id: str, *arguments: Any, **options: Any) -> None:
        self._try("end", super().mark_as_done, task_id, *arguments, **options)  # type: ignore[misc]

    def mark_as_failure(self, task_id: str, *arguments: Any, **options: Any) -> None:
        self._try("failure", super().mark_as_failure, task_id, *arguments, **options)  # type: ignore[misc]

    def mark_as_started(self, task_id: str, **meta: Any) -> None:
        self._try("start", super().mark_as_started, task_id, **meta)  # type: ignore[misc]

    def mark_as_retry(self, task_id: str, *arguments: Any, **options: Any) -> None:
        self._try("retry", super().mark_as_retry, task_id, *arguments, **options)  # type: ignore[misc]

    def mark_as_revoked(self, task_id: str, *arguments: Any, **options: Any) -> None:
        self._try("revocation", super().mark_as_revoked, task_id, *arguments, **options)  # type: ignore[misc]

    def _try(self, what: str, store: Callable[..., Any], task_id: str, *arguments: Any, **options: Any) -> None:
        try:
            store(task_id, *arguments, **options)
        except (RedisError, BackendError) as error:
            log.info("the %s of task %s is not stored: %s", what, task_id, error)


class ResultBackend(_Patient, RedisBackend):  # type: ignore[misc]
    """Celery's for Redis."""


class SentinelResultBackend(_Patient, SentinelBackend):  # type: ignore[misc]
    """Celery's for a Redis that sentinels know."""
