"""Drives a renderer with a run's events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from opsrunner.ledger.records import Event, RunRecord

Stats = dict[str, dict[str, int]]
Answer = TypeVar("Answer")


class Renderer(Protocol):
    """Shows a run. Called from one thread, in this order: begin, event and tick, then end or abandon."""

    def begin(self, run: RunRecord) -> None: ...

    def wants(self, event: Event) -> bool:
        """Whether the outcome that the event tells of is looked at with its result."""
        ...

    def event(self, event: Event) -> None: ...

    def tick(self, now: float) -> None:
        """Nothing new for a moment; ``now`` is a clock that only goes forward, in seconds."""
        ...

    def end(self, run: RunRecord, stats: Stats) -> None: ...

    def aside(self, work: Callable[[], Answer]) -> Answer:
        """Let something else use the terminal for a moment, and give what it gives."""
        ...

    def abandon(self) -> None:
        """Nobody looks any more (^C, or an error); the run goes on. Leave the terminal as it was found.

        May be called twice, and before ``begin``.
        """
        ...


def follow(
    events: Iterable[Event | None], renderer: Renderer, *, monotonic: Callable[[], float] = time.monotonic
) -> None:
    """Hand every event to the renderer; None means that nothing came for a moment.

    Whatever ends the loop but the events' own end is raised on, after the renderer let go of the terminal.
    """
    try:
        for event in events:
            if event is None:
                renderer.tick(monotonic())
            else:
                renderer.event(event)
    except BaseException:
        renderer.abandon()
        raise
