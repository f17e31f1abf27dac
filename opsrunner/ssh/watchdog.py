"""One thread that ends what has outlived its deadline.

paramiko's own limits do not hold: a server that says nothing leaks a thread, one that dribbles
banner lines outlives them all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType


class Watch:
    """One deadline; use it as ``with watchdog.watch(…) as watch``."""

    def __init__(self, watchdog: Watchdog, deadline: float, bite: Callable[[], None]) -> None:
        self._watchdog = watchdog
        self.deadline = deadline
        self.bite = bite
        #: The deadline passed and ``bite`` was called.
        self.fired = False

    def __enter__(self) -> Watch:
        self._watchdog.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watchdog.discard(self)


class Watchdog:
    """Calls ``bite`` of every watch whose deadline passed, and ``sweep`` from time to time.

    Its thread starts with the first watch and sleeps between deadlines.
    """

    def __init__(self, sweep: Callable[[], None], *, every: float, monotonic: Callable[[], float]) -> None:
        self._sweep = sweep
        self._every = every
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._watches: set[Watch] = set()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._wakes_at = float("inf")

    def watch(self, seconds: float, bite: Callable[[], None]) -> Watch:
        """A watch that bites in ``seconds``, once entered."""
        return Watch(self, self._monotonic() + seconds, bite)

    def add(self, watch: Watch) -> None:
        with self._changed:
            self._watches.add(watch)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="ssh-watchdog", daemon=True)
                self._thread.start()
            if watch.deadline < self._wakes_at:
                self._changed.notify()

    def discard(self, watch: Watch) -> None:
        with self._changed:
            self._watches.discard(watch)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(5)

    def _run(self) -> None:
        next_sweep = self._monotonic() + self._every
        while True:
            with self._changed:
                if self._closed:
                    return
                due = [watch for watch in self._watches if watch.deadline <= self._monotonic()]
                self._watches.difference_update(due)
                for watch in due:
                    watch.fired = True
                if not due:
                    self._wakes_at = min([next_sweep, *(watch.deadline for watch in self._watches)])
                    if (wait := self._wakes_at - self._monotonic()) > 0:
                        self._changed.wait(wait)
                        self._wakes_at = float("-inf")
                        continue
            for watch in due:
                watch.bite()
            if self._monotonic() >= next_sweep:
                self._sweep()
                next_sweep = self._monotonic() + self._every
