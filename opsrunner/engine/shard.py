"""One shard's hosts at work in this process."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from functools import partial
from itertools import islice

from opsrunner.engine.carry import Task, carry
from opsrunner.engine.node import Node
from opsrunner.ledger.records import Status
from opsrunner.ledger.transitions import Claim

log = logging.getLogger("opsrunner.worker")


class Shard:
    """Carries the hosts side by side in the node's threads; ``limit`` of them at once, 0 for all."""

    def __init__(self, node: Node, task: Task, claims: Mapping[str, Claim], *, limit: int) -> None:
        self._node = node
        self._task = task
        self._limit = limit or len(claims)
        #: Not begun yet. Whoever pops a host has it: no other lock is needed.
        self._waiting = dict(claims)
        self.begun: list[str] = []
        self._left = len(claims)
        self._counts: Counter[str] = Counter()
        self._error: Exception | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        if not claims:
            self._over.set()

    def begin(self) -> None:
        """Set the hosts to work, and return."""
        first = list(islice(self._waiting, self._limit))
        self._rest = iter(list(self._waiting)[len(first) :])
        self._node.threads.begin(partial(self._carry, host) for host in first)

    def take_back(self) -> dict[str, Claim]:
        """The hosts that were not begun; they are not any more."""
        back = {}
        while self._waiting:
            try:
                host, claim = self._waiting.popitem()
            except KeyError:
                break  # the last one was just begun
            back[host] = claim
        self._settled_many(len(back))
        return back

    def wait(self, seconds: float | None = None) -> bool:
        """Until every host is settled; whether they are."""
        return self._over.wait(seconds)

    def summary(self) -> dict[str, int]:
        """What a shard task returns through Celery: counts by status, nothing else."""
        if self._error is not None:
            raise self._error
        return dict(self._counts)

    def _carry(self, host: str) -> None:
        claim = self._waiting.pop(host, None)
        if claim is None:
            return
        self.begun.append(host)
        try:
            carry(self._node, self._task, host, claim, self._settled)
        except Exception as error:  # the task tells of it, once the other hosts are through
            self._settled(error)

    def _settled(self, status: Status | Exception | None) -> None:
        if isinstance(status, Exception):
            self._error = status
        with self._lock:
            self._counts["error" if isinstance(status, Exception) else status or "not ours"] += 1
            following = next(self._rest, None)
            self._left -= 1
            over = not self._left
        if following is not None:
            self._node.threads.begin((partial(self._carry, following),))
        if over:
            self._over.set()

    def _settled_many(self, count: int) -> None:
        with self._lock:
            self._left -= count
            over = not self._left
        if over:
            self._over.set()
