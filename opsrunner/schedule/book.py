"""The schedules that a beat goes by: those of the file, and those added at run time; kept when either is broken."""

from __future__ import annotations

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
        #: What is wrong with the file now, "" when nothing is.
        self.fault = ""
        self._seen: tuple[int, ...] | None = None
        self._names: set[str] = set()
        self._counted: tuple[Contents, bytes] | None = None

    def read(self) -> None:
        """Take what the file holds. Raises InputError."""
        self._seen = self._look()
        self._contents = contents_of(self.settings)
        self.fault = ""
        self.schedules = self._contents.schedules
        self._counted = None
        log.info("%d schedules from %s", len(self.schedules), self.file)

    def reread(self) -> None:
        """Take what the file holds if it has changed; one that is broken is told, and what it held before stays."""
        if self._look() == self._seen:
            return
        try:
            self.read()
        except InputError as error:
            self.fault = "\n".join(error.lines())
            log.error("%s is broken, the schedules stay as they were:\n%s", self.file, self.fault)

    def refresh(self, store: Store) -> None:
        """Add what was added at run time; a schedule that is gone begins anew when it comes back."""
        change = stored.change(store.redis)
        if self._counted == (self._contents, change):
            return
        added = stored.load(store, self._contents)
        for name, fault in added.faults.items():
            log.error("schedule %s, added at run time, does not count: %s", name, fault)
        self.schedules = (*self._contents.schedules, *added.schedules)
        names = {schedule.name for schedule in self.schedules}
        for name in self._names - names:
            store.redis.hdel(keys.schedule(name), "timing")
        self._names = names
        self._counted = (self._contents, change)

    @property
    def of_file(self) -> tuple[str, ...]:
        """The names of those in the file."""
        return tuple(schedule.name for schedule in self._contents.schedules)

    def _look(self) -> tuple[int, ...] | None:
        """What changes when the file does; None without a file."""
        try:
            found = self.file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
