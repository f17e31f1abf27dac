"""The schedules that a beat goes by: those of the file, and those added at run time; kept when either is broken."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from opsrunner.errors import InputError
from opsrunner.ledger import keys
from opsrunner.ledger.store import Store
from opsrunner.schedule import stored
from opsrunner.schedule.load import Contents, contents_of
from opsrunner.schedule.model import Schedule
from opsrunner.settings import Settings

log = logging.getLogger("opsrunner.beat")


class Book:
    """``schedules`` is what counts now."""

    def __init__(self, settings: Settings, file: Path) -> None:
        self.settings = settings
        self.file = file
        self.schedules: tuple[Schedule, ...] = ()
        self._contents = Contents()
        self._fault = ""
        self._seen: tuple[int, ...] | None = None
        self._told: tuple[Contents, str, bytes] | None = None

    def read(self) -> None:
        """Take what the file holds. Raises InputError."""
        self._seen = self._look()
        self._contents = contents_of(self.settings)
        self._fault = ""
        self.schedules = self._contents.schedules
        log.info("%d schedules from %s", len(self.schedules), self.file)

    def reread(self) -> None:
        """Take what the file holds if it has changed; one that is broken is told, and what it held before stays."""
        if self._look() == self._seen:
            return
        try:
            self.read()
        except InputError as error:
            self._fault = "\n".join(error.lines())
            log.error("%s is broken, the schedules stay as they were:\n%s", self.file, self._fault)

    def hand_over(self) -> None:
        """Another beat leads now: what it tells in Redis is to be told anew when we lead again."""
        self._told = None

    def refresh(self, store: Store) -> None:
        """Add what was added at run time, and tell in Redis what counts."""
        change = stored.change(store.redis)
        if self._told == (self._contents, self._fault, change):
            return
        added = stored.load(store, self._contents)
        for name, fault in added.faults.items():
            log.error("schedule %s, added at run time, does not count: %s", name, fault)
        self.schedules = (*self._contents.schedules, *added.schedules)
        self._publish(store)
        self._told = (self._contents, self._fault, change)

    def _look(self) -> tuple[int, ...] | None:
        """What changes when the file does; None without a file."""
        try:
            found = self.file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _publish(self, store: Store) -> None:
        """What counts, and what is wrong with the file; a schedule that is gone begins anew when it comes back."""
        before = store.redis.hget(keys.BEAT_FILE, "names")
        names = [schedule.name for schedule in self.schedules]
        pipeline = store.redis.pipeline(transaction=True)
        for name in set(json.loads(before or b"[]")) - set(names):
            pipeline.hdel(keys.schedule(name), "timing")
        fields = {"names": json.dumps(names), "fault": self._fault, "file": str(self.file), "at": store.now()}
        pipeline.hset(keys.BEAT_FILE, mapping=fields)
        pipeline.execute()
