"""Group commit: transitions of many host threads go to Redis in few round trips.

A thread hands in one transition and may wait for its answer. One writer thread sends whatever has
gathered meanwhile as one pipeline. While Redis is away it tries again and again: every transition is
repeatable, so an answer that was lost on the way does no harm. Outcomes are on disk meanwhile.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from opsrunner.ledger.client import RETRY_FIRST, RETRY_MOST
from opsrunner.ledger.packing import likeness
from opsrunner.ledger.spool import Spool
from opsrunner.ledger.store import AWAY, Store
from opsrunner.ledger.transitions import Arguments

log = logging.getLogger("opsrunner.worker")

#: Transitions sent in one pipeline at most.
BATCH = 256
#: Seconds from one round trip to the next, while more threads are at work than have handed something in since.
APART = 0.01
#: Seconds between two looks for outcomes that dead processes have left on this disk.
ADOPT = 5.0


#: Told the answer to a transition, or redis' error, on the writer's thread.
Answered = Callable[[Any], None]


class _Item:
    """A transition, and who is to be told its answer."""

    __slots__ = ("answered", "arguments", "kept")

    def __init__(self, arguments: Arguments, answered: Answered) -> None:
        self.arguments = arguments
        self.answered = answered
        #: It is on disk.
        self.kept = False


def _ordered(batch: Iterable[_Item]) -> list[_Item]:
    """What ends first: it frees slots for what begins. What is alike beside each other: it is one call then."""
    ends: dict[Hashable, list[_Item]] = {}
    begins: dict[Hashable, list[_Item]] = {}
    for item in batch:
        kind = ends if item.arguments[0] == "finish" else begins
        kind.setdefault(likeness(item.arguments), []).append(item)
    return [item for kind in (ends, begins) for alike in kind.values() for item in alike]


class Writer:
    """Owns the writer thread; ``call`` and ``hand_in`` are safe from any thread."""

    def __init__(self, store: Store, spool: Spool, *, crowd: Callable[[], int] = lambda: 0) -> None:
        """``crowd``: how many threads are at work now that may hand something in soon."""
        self._store = store
        self._spool = spool
        self._crowd = crowd
        self._away = False
        self._adopted = self._sent = float("-inf")
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name="ledger-writer", daemon=True)
        self._thread.start()

    def call(self, arguments: Arguments) -> Any:
        """Hand in a transition and wait until it is stored; gives its answer, or raises redis' error."""
        # A bare lock: a Future costs ten times as much.
        settled = threading.Lock()
        settled.acquire()
        answers: list[Any] = []

        def answered(answer: Any) -> None:
            answers.append(answer)
            settled.release()

        self.hand_in(arguments, answered)
        settled.acquire()
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers[0]

    def hand_in(self, arguments: Arguments, answered: Answered) -> None:
        """Hand in a transition; ``answered`` must be quick, and not raise."""
        item = _Item(arguments, answered)
        if self._away:
            # The writer thread may be waiting for an answer for seconds.
            self._keep(item)
        self._queue.put(item)

    def close(self, timeout: float = 30.0) -> None:
        """Send what is left and end the thread."""
        self._queue.put(None)
        self._thread.join(timeout)

    def _keep(self, item: _Item) -> None:
        """What has happened is worth keeping; a claim or a start that was not stored has not."""
        if item.arguments[0] == "finish" and not item.kept:
            item.kept = self._spool.keep(item.arguments)

    def _loop(self) -> None:
        last = False
        while not last:
            self._adopt()
            batch: list[_Item] = []
            last = self._gather(batch, wait=ADOPT)
            early = self._sent + APART - time.monotonic()
            if batch and early > 0 and self._crowd() > len(batch):
                time.sleep(early)
                last = self._gather(batch) or last
            delay = RETRY_FIRST
            while batch:
                batch = self._send(batch)
                self._sent = time.monotonic()
                if batch:
                    time.sleep(delay)
                    delay = min(RETRY_MOST, delay * 2)
                    last = self._gather(batch) or last

    def _adopt(self) -> None:
        if time.monotonic() - self._adopted < ADOPT:
            return
        self._adopted = time.monotonic()
        try:
            self._spool.adopt(self._store)
        except AWAY:
            pass  # tried again
        except Exception:  # whatever lies on that disk, this process's own outcomes must be stored
            log.exception("outcomes that lie on this disk cannot be delivered")

    def _gather(self, batch: list[_Item], *, wait: float = 0.0) -> bool:
        """Take what was handed in, up to a batch; True when nothing more will be. ``wait`` seconds for the first."""
        while len(batch) < BATCH:
            try:
                item = self._queue.get(timeout=wait) if wait and not batch else self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                return True
            batch.append(item)
        return False

    def _send(self, batch: list[_Item]) -> list[_Item]:
        """Gives what must be sent again."""
        batch = _ordered(batch)
        try:
            answers = self._store.call_many([item.arguments for item in batch])
        except AWAY as error:
            answers = [error] * len(batch)
        except Exception as error:  # a defect must reach the threads that wait, not end this one
            answers = [error] * len(batch)
        again = [item for item, answer in zip(batch, answers, strict=True) if isinstance(answer, AWAY)]
        if again:
            self._begin_waiting(again, next(answer for answer in answers if isinstance(answer, AWAY)))
        elif self._away:
            self._away = False
            log.warning("Redis stores outcomes again")
        for item, answer in zip(batch, answers, strict=True):
            if not isinstance(answer, AWAY):
                self._settle(item, answer)
        return again

    def _begin_waiting(self, items: list[_Item], error: Exception) -> None:
        if not self._away:
            self._away = True
            log.warning("Redis stores nothing (%s): outcomes are kept on this disk until it does", error)
        for item in items:
            self._keep(item)

    def _settle(self, item: _Item, answer: Any) -> None:
        if item.kept:
            self._spool.strike()
        item.answered(answer)
