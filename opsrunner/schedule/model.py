"""What a schedule is; no I/O here."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, field

from opsrunner.schedule.moments import shown_span
from opsrunner.schedule.windows import Window

#: Seconds after its time until a run is started no more: a nightly restart must not come at noon.
START_DEADLINE = 300
#: Due times that were missed of which ``misfire: catch_up`` makes up so many.
MISFIRE_LIMIT = 10

Overlap = Literal["skip", "queue", "cancel_old", "allow"]
Misfire = Literal["skip", "run_once", "catch_up"]
On = Literal["success", "failure", "end"]


class Schedule(Struct, frozen=True):
    """One schedule; exactly one of ``cron`` (five fields), ``every`` (seconds), ``at`` and ``after`` is set.

    Paths are as seen from the current directory; in the file they were meant beside it.
    """

    name: str
    playbook: Path
    cron: str | None = None
    every: int | None = None
    at: datetime.datetime | None = None
    #: The schedule whose runs it follows, and what they must have come to.
    after: str | None = None
    on: On = "success"
    timezone: str = "UTC"
    #: Seconds up to which a start is put off, by chance, but the same for everybody who asks.
    jitter: int = 0
    start_deadline: int = START_DEADLINE
    #: What happens to a due time while a run of the schedule still goes on.
    overlap: Overlap = "skip"
    #: What happens to due times that nobody started in time, as no beat ran.
    misfire: Misfire = "skip"
    misfire_limit: int = MISFIRE_LIMIT
    blackout: tuple[Window, ...] = ()
    #: Seconds after which a run that still goes on is cancelled.
    max_runtime: int | None = None
    paused: bool = False
    until: datetime.datetime | None = None
    #: Runs that it starts at most, over its whole life.
    count: int | None = None
    inventory: tuple[str, ...] = ()
    limit: str | None = None
    vars: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    skip_tags: tuple[str, ...] = ()
    check: bool = False
    diff: bool = False
    forks: int | None = None
    #: Names of notifiers; none: those of the settings.
    notify: tuple[str, ...] = ()

    @property
    def when(self) -> str:
        """When it is due, as the operator wrote it."""
        if self.at:
            return f"at {self.at:%Y-%m-%d %H:%M}"
        if self.after:
            return f"after {self.after} ({self.on})"
        return self.cron or f"every {shown_span(self.every or 0)}"

    @property
    def timing(self) -> str:
        """Changes whenever due times do: those of before are then not asked for any more."""
        text = f"{self.cron}|{self.every}|{self.at}|{self.after}|{self.on}|{self.timezone}|{self.jitter}|{self.paused}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]
