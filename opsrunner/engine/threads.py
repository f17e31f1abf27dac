"""The threads in which a worker process carries its hosts."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

log = logging.getLogger("opsrunner.worker")

Job = Callable[[], None]

#: Threads that are set to work without a look at whether more of them help.
FEW = 4
#: Seconds between two such looks, while jobs wait.
LOOK = 0.005
#: Who comes to turn later than so many times that finds the interpreter, or the machine, busy: more threads would only
#: keep each other waiting.
LATE = 1.2
#: Looks without a job done after which more threads are set to work, busy or not.
FRUITLESS = 4


class HostThreads:
    """Jobs in the order they came, on as many threads as help, ``most`` at once; begun when first needed.

    A thread that is through takes the next job itself. Hosts that answer at once are carried by a few threads, as to
    hand the interpreter from thread to thread costs more than what there is to do for a host; while those that are at
    work wait for their hosts, and jobs wait for them, more are set to work. How many helped is remembered.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        #: Threads that may be at work now.
        self._level = min(FEW, most)
        self._ready: deque[Job] = deque()
        #: Jobs that come before these.
        self._first: deque[Job] = deque()
        self._lock = threading.Lock()
        #: The locks that idle threads wait for.
        self._idle: list[threading.Lock] = []
        self._begun = 0
        #: Jobs that were done, roughly: threads count without a lock.
        self._done = 0
        self._waiting = threading.Event()
        self._overseer: threading.Thread | None = None
        self._fruitless = 0
        self._closed = False

    @property
    def at_work(self) -> int:
        """How many threads are at work now, roughly."""
        return self._begun - len(self._idle)

    @property
    def done(self) -> int:
        """How many jobs were done, roughly."""
        return self._done

    @property
    def room(self) -> int:
        """How many threads more there may be at work, roughly."""
        return self._most - self.at_work

    def begin_first(self, job: Job) -> None:
        """Have this job done before all that wait by :meth:`begin`."""
        self._first.append(job)
        if not self._wake():
            self._oversee()

    def begin(self, jobs: Iterable[Job]) -> None:
        """Have these jobs done, each once; a job must not raise."""
        some = list(jobs)
        self._ready.extend(some)
        # The first begin at once; a crowd would keep them from it, each of its threads waiting for the interpreter.
        if not all(self._wake() for _ in some[:FEW]) or len(some) > FEW:
            self._oversee()

    def close(self) -> None:
        """Begin nothing more; what is at work goes on as long as the process lives."""
        self._closed = True
        self._ready.clear()
        self._first.clear()
        self._waiting.set()
        with self._lock:
            while self._idle:
                self._idle.pop().release()

    def _wake(self) -> bool:
        """Set one more thread to work; False when enough are."""
        if self.at_work >= self._level:
            return False  # whom that is wrong for the overseer sets to work
        with self._lock:
            if self.at_work >= self._level or self._closed:
                return False
            if self._idle:
                self._idle.pop().release()
                return True
            self._begun += 1
            number = self._begun
        threading.Thread(target=self._work, name=f"host-{number}", daemon=True).start()
        return True

    def _work(self) -> None:
        wanted = threading.Lock()
        wanted.acquire()
        while not self._closed:
            if self.at_work > self._level or not self._waits():
                self._rest(wanted)
                continue
            try:
                job = self._first.popleft() if self._first else self._ready.popleft()
            except IndexError:
                continue  # another one was quicker
            try:
                job()
            except Exception:  # a defect must not cost a thread
                log.exception("a job of a host thread failed")
            self._done += 1

    def _waits(self) -> bool:
        return bool(self._first or self._ready)

    def _rest(self, wanted: threading.Lock) -> None:
        with self._lock:
            if self._closed or (self._waits() and self.at_work <= self._level):
                return  # it came meanwhile
            self._idle.append(wanted)
        wanted.acquire()

    # ------------------------------------------------------------------ how many
    def _oversee(self) -> None:
        if self._overseer is None:
            with self._lock:
                if self._overseer is None:
                    self._overseer = threading.Thread(target=self._looks, name="overseer", daemon=True)
                    self._overseer.start()
        if not self._waiting.is_set():
            self._waiting.set()

    def _looks(self) -> None:
        while not self._closed:
            self._waiting.wait()
            self._waiting.clear()
            while self._waits() and not self._closed:
                done, asleep = self._done, time.monotonic()
                time.sleep(LOOK)
                self._decide(self._done - done, time.monotonic() - asleep)

    def _decide(self, done: int, passed: float) -> None:
        """``done``: jobs since the last look; ``passed``: seconds that it took to sleep and to come to turn again."""
        self._fruitless = 0 if done else self._fruitless + 1
        busy = passed > LATE * LOOK
        if self._fruitless >= FRUITLESS or (not busy and 4 * done < self.at_work):
            self._level = min(self._most, 2 * self._level)
        elif busy and 2 * done > self.at_work:
            self._level = max(min(FEW, self._most), self._level // 2)
        for _ in range(min(len(self._first) + len(self._ready), self._level)):
            if not self._wake():
                break
