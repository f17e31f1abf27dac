"""One thread that reads the connections nobody uses: it answers their servers and sees them end."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from contextlib import suppress

from opsrunner.ssh.session import Session

#: Seconds for which a connection that was just used is left alone: it is mostly wanted again at once, and who wants
#: it looks at it himself.
REST = 1.0


class IdleWatch:
    """Holds the idle connections; its thread starts with the first one and sleeps until a server says something.

    Only the thread touches the selector, and to add or to discard one is a matter of dictionaries: every command does
    both, and a lock that is held during a system call would have all of them queue.
    """

    def __init__(self) -> None:
        self._beginning = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._waker, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        #: Those that are not read yet, and since when they are idle; in that order.
        self._resting: dict[Session, float] = {}
        #: Those that are read, by the number of their socket. The selector may know others: they are discarded.
        self._read: dict[int, Session] = {}
        #: The thread sleeps until a server says something, or it is woken.
        self._sleeps = False
        self._thread: threading.Thread | None = None
        self._closed = False

    def add(self, session: Session) -> None:
        """Read it from now on, unless it has ended."""
        self._resting[session] = time.monotonic()
        if self._thread is None:
            self._begin()
        if self._sleeps:
            self._sleeps = False
            self._waker.send(b"\0")

    def discard(self, session: Session) -> None:
        """Somebody uses or closes it."""
        if self._resting.pop(session, None) is None:
            self._read.pop(session.fileno(), None)

    def close(self) -> None:
        with self._beginning:
            self._closed = True
            thread = self._thread
        self._resting.clear()
        self._read.clear()
        self._waker.send(b"\0")
        if thread is not None:
            thread.join(5)
        for end in (self._waker, self._woken, self._selector):
            end.close()

    def _begin(self) -> None:
        with self._beginning:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="ssh-idle", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._closed:
            for key, _ in self._selector.select(self._take_up()):
                if key.fileobj is self._woken:
                    self._woken.recv(4096)
                    continue
                session = self._read.get(key.fd)
                if session is None or not session.look():
                    self._read.pop(key.fd, None)
                    self._selector.unregister(key.fd)

    def _take_up(self) -> float | None:
        """Begin to read those that have rested; seconds until others are due, None: when one is added."""
        self._sleeps = True
        now = time.monotonic()
        for session, since in list(self._resting.items()):
            if now - since < REST:
                self._sleeps = False
                return since + REST - now
            number = session.fileno()
            if number in self._selector.get_map():
                self._selector.unregister(number)  # it was discarded, or it ended and had the same number
            with suppress(OSError, ValueError):  # it ends this very moment
                self._selector.register(number, selectors.EVENT_READ)
                self._read[number] = session
            if self._resting.pop(session, None) is None:
                self._read.pop(number, None)  # wanted meanwhile
        return None
