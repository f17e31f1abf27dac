"""Group commit: transitions of many host threads go to Redis in few round trips.

A thread hands in one transition and may wait for its answer. One writer thread sends whatever has
gathered meanwhile as one pipeline. While Redis is away it keeps everything and tries again: every
transition is repeatable, so an answer that was lost on the way does no harm.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from opsrunner.ledger.store import AWAY, Store
from opsrunner.ledger.transitions import Arguments

#: Transitions sent in one pipeline at most.
BATCH = 256
#: Seconds between attempts while Redis is away, at first and at most.
RETRY_FIRST, RETRY_MOST = 0.1, 2.0

_Item = tuple[Arguments, "Future[Any]"]


class Writer:
    """Owns the writer thread; ``submit`` is safe from any thread."""

    def __init__(self, store: Store, *, on_away: Callable[[Exception], None] = lambda error: None) -> None:
        self._store = store
        self._on_away = on_away
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name="ledger-writer", daemon=True)
        self._thread.start()

    def submit(self, arguments: Arguments) -> Future[Any]:
        """Hand in a transition; the future holds its answer (bytes) or redis' error."""
        future: Future[Any] = Future()
        self._queue.put((arguments, future))
        return future

    def call(self, arguments: Arguments) -> Any:
        """Hand in a transition and wait until it is stored."""
        return self.submit(arguments).result()

    def close(self, timeout: float = 30.0) -> None:
        """Send what is left and end the thread."""
        self._queue.put(None)
        self._thread.join(timeout)

    def _loop(self) -> None:
        while True:
            first = self._queue.get()
            if first is None:
                return
            batch, last = [first], False
            while len(batch) < BATCH:
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
                if item is None:
                    last = True
                    break
                batch.append(item)
            self._send(batch)
            if last:
                return

    def _send(self, batch: list[_Item]) -> None:
        delay = RETRY_FIRST
        while batch:
            try:
                answers = self._store.call_many([arguments for arguments, _ in batch])
            except AWAY as error:
                answers = [error] * len(batch)
            except Exception as error:  # a defect must reach the threads that wait, not end this one
                for _, future in batch:
                    future.set_exception(error)
                return
            again: list[_Item] = []
            for item, answer in zip(batch, answers, strict=True):
                if isinstance(answer, AWAY):
                    again.append(item)
                elif isinstance(answer, Exception):
                    item[1].set_exception(answer)
                else:
                    item[1].set_result(answer)
            if again:
                self._on_away(next(answer for answer in answers if isinstance(answer, AWAY)))
                time.sleep(delay)
                delay = min(RETRY_MOST, delay * 2)
            batch = again
