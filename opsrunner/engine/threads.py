"""The threads in which a worker process carries its hosts."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable

log = logging.getLogger("opsrunner.worker")

Job = Callable[[], None]


class HostThreads:
    """Jobs in the order they came, on so many threads as are wanted, begun when first needed.

    No Future, no condition, and a thread that is through takes the next job itself: a hand-over between threads costs
    more than what there is to do for a host whose answer is quick.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._ready: deque[Job] = deque()
        self._lock = threading.Lock()
        #: The locks that idle threads wait for.
        self._idle: list[threading.Lock] = []
        self._begun = 0
        self._closed = False

    @property
    def at_work(self) -> int:
        """How many threads are at work now, roughly."""
        return self._begun - len(self._idle)

    def begin(self, jobs: Iterable[Job]) -> None:
        """Have these jobs done, each once; a job must not raise."""
        some = list(jobs)
        self._ready.extend(some)
        for _ in some:
            if not self._wake():
                return

    def close(self) -> None:
        """Begin nothing more; what is at work goes on as long as the process lives."""
        self._closed = True
        self._ready.clear()
        while self._idle:
            self._wake()

    def _wake(self) -> bool:
        """Set one more thread to work; False when all are."""
        with self._lock:
            if self._idle:
                self._idle.pop().release()
                return True
            if self._begun >= self._most or self._closed:
                return False
            self._begun += 1
            number = self._begun
        threading.Thread(target=self._work, name=f"host-{number}", daemon=True).start()
        return True

    def _work(self) -> None:
        wanted = threading.Lock()
        wanted.acquire()
        while not self._closed:
            try:
                job = self._ready.popleft()
            except IndexError:
                self._rest(wanted)
                continue
            try:
                job()
            except Exception:  # a defect must not cost a thread
                log.exception("a job of a host thread failed")

    def _rest(self, wanted: threading.Lock) -> None:
        with self._lock:
            if self._ready or self._closed:
                return  # it came meanwhile
            self._idle.append(wanted)
        wanted.acquire()
