"""Drives a renderer with a run's events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Protocol

from opsrunner.ledger.records import Event, RunRecord

Stats = dict[str, dict[str, int]]


class Renderer(Protocol):
    """Shows a run. Called from one thread, in this order: begin, event and tick, then end or abandon."""

    def begin(self, run: RunRecord) -> None: ...

    def event(self, event: Event) -> None: ...

    def tick(self, now: float) -> None:
        """Nothing new for a moment; ``now`` is a clock that only goes forward."""
        ...

    def end(self, run: RunRecord, stats: Stats) -> None: ...

    def abandon(self) -> None:
        """The operator looks away (^C); the run goes on. Leave the terminal as it was found."""
        ...


def follow(
    events: Iterable[Event | None], renderer: Renderer, *, monotonic: Callable[[], float] = time.monotonic
) -> None:
    """Hand every event to the renderer; None means that nothing came for a moment."""
    for event in events:
        if event is None:
            renderer.tick(monotonic())
        else:
            renderer.event(event)
