"""Runs that Celery tasks asked for: started once per task, and the task taken up again when its run has ended.

A task that waited for its run would keep a thread of the pool, all of them in the end, and be lost with its worker.
So it is put down in the ledger, and its message sent once more when there is something to tell. Delivered twice it
finds the run that it has started.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from celery.worker import state as worker_state
from redis.exceptions import LockError

from opsrunner.engine.node import Node
from opsrunner.engine.submit import new_run_id, require_workers, submit
from opsrunner.errors import LedgerLost
from opsrunner.ledger import keys
from opsrunner.ledger.records import ENDED, RunRecord
from opsrunner.ledger.rounds import Rounds
from opsrunner.notify.model import Notifier
from opsrunner.plan.model import Compiled

#: Seconds between two looks at the runs that were asked for: while there are any, and while there is any other run.
LOOK, LOOK_IDLE = 0.5, 1.0
#: Seconds after which a message that nobody took up is sent again.
RESEND_AFTER = 30
#: Seconds that storing a run may take.
SUBMIT_WITHIN = 30.0
DAY = 86400

#: Sends a message that was put down; raises one of AWAY while the broker takes none.
Resend = Callable[[Mapping[str, Any]], None]


def run_of(node: Node, task_id: str) -> RunRecord | None:
    """The run that the task has started. Raises LedgerLost when it is gone."""
    raw = node.redis.get(keys.request(task_id))
    if raw is None:
        return None
    record = node.reader.run(raw.decode())
    if record is None:
        raise LedgerLost(f"run {raw.decode()} is gone", why="it was forgotten, or Redis lost its memory")
    return record


def start_once(
    node: Node, task_id: str, compiled: Compiled, user: str, notifiers: Sequence[Notifier] = ()
) -> RunRecord | None:
    """Submit the run of a task unless another delivery has; None when one is at it. Raises NoWorker."""
    require_workers(node.redis, compiled.plan)
    lock = node.redis.lock(f"{keys.request(task_id)}:lock", timeout=SUBMIT_WITHIN, blocking=False)
    if not lock.acquire():
        return None
    try:
        if node.redis.get(keys.request(task_id)) is None:
            run_id = new_run_id(node.now())
            seconds = int(node.settings.retention_days * DAY)
            # Named before it is stored: who dies between the two has started nothing, and no delivery starts it anew.
            node.redis.set(keys.request(task_id), run_id, ex=seconds)
            submit(node.store, compiled.plan, compiled.files, user=user, run_id=run_id, notifiers=notifiers)
        return run_of(node, task_id)
    finally:
        try:
            lock.release()
        except LockError:
            pass  # it ran out; the name stands


def put_down(node: Node, task_id: str, run_id: str, message: Mapping[str, Any]) -> None:
    """Have the message sent when the run has ended."""
    node.redis.hset(keys.REQUESTS, task_id, json.dumps({"run": run_id, "message": message}))
    node.look()


def is_revoked(task_id: str) -> bool:
    """Whether ``revoke`` came to this worker; it is told to all."""
    return task_id in worker_state.revoked


def taken_up(node: Node, task_id: str) -> None:
    """Its result is told: nothing more is to be sent."""
    node.redis.hdel(keys.REQUESTS, task_id)


class Requests(Rounds):
    """One thread per worker process; the one that leads looks."""

    def __init__(self, node: Node, resend: Resend) -> None:
        super().__init__("requests", pause=LOOK)
        self._node = node
        self._resend = resend

    def look(self) -> float | None:
        if self._node.leads() and self._look_at_all():
            return LOOK
        return LOOK_IDLE if self._node.busy else None

    def _look_at_all(self) -> bool:
        """Whether there are any."""
        asked = self._node.redis.hgetall(keys.REQUESTS)
        for task_id, raw in asked.items():
            self._look_at(task_id.decode(), json.loads(raw))
        return bool(asked)

    def _look_at(self, task_id: str, request: Mapping[str, Any]) -> None:
        redis, run_id = self._node.redis, request["run"]
        status, cancel = redis.hmget(keys.run(run_id), "status", "cancel")
        if status is not None and status.decode() not in ENDED:
            if is_revoked(task_id) and not cancel:
                self._node.store.request_cancel(run_id, f"revoke of task {task_id}")
            return
        if redis.set(f"{keys.request(task_id)}:sent", 1, nx=True, ex=RESEND_AFTER):
            self._resend(request["message"])
