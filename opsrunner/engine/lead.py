"""Which of the workers sees to what only one need see to. All of that may be done twice: two may lead for a moment."""

from __future__ import annotations

import time

from opsrunner.ledger import keys
from opsrunner.ledger.reader import Reader
from opsrunner.ledger.store import Client

#: Seconds after which another worker may lead when this one says nothing more.
LEASE = 8.0


class Lead:
    """This worker process's part in that. Raises redis' own errors when the ledger is away."""

    def __init__(self, client: Client, reader: Reader, boot: str) -> None:
        self._redis = client
        self._reader = reader
        self._boot = boot
        #: When it ceases to lead unless it says that it does, by time.monotonic.
        self._until = 0.0

    def held(self) -> bool:
        return time.monotonic() < self._until

    def take(self) -> None:
        """Lead from now on if nobody else does, and go on leading; to be called every few seconds."""
        now, lease = time.monotonic(), int(LEASE * 1000)
        if self._until - now > LEASE / 2:
            return
        if not self._redis.set(keys.LEADER, self._boot, nx=True, px=lease):
            if not self._reader.leads(self._boot):
                self._until = 0.0
                return
            self._redis.pexpire(keys.LEADER, lease)
        self._until = now + LEASE

    def give_up(self) -> None:
        """Let another one lead at once, whoever is first to find something to do."""
        self._until = 0.0
        if self._reader.leads(self._boot):
            self._redis.delete(keys.LEADER)
