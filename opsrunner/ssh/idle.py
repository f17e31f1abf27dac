"""One thread that reads the connections nobody uses: it answers their servers and sees them end."""

from __future__ import annotations

import selectors
import socket
import threading

from opsrunner.ssh.session import Session


class IdleWatch:
    """Holds the idle connections; its thread starts with the first one and sleeps until a server says something."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._waker, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread: threading.Thread | None = None
        self._closed = False

    def add(self, session: Session) -> None:
        """Read it from now on, unless it has ended."""
        with self._lock:
            number = session.fileno()
            if self._closed or number < 0:
                return
            # A connection that ended may have had the same number.
            if stale := self._selector.get_map().get(number):
                self._selector.unregister(stale.fileobj)
            self._selector.register(number, selectors.EVENT_READ, session)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ssh-idle", daemon=True)
                self._thread.start()

    def discard(self, session: Session) -> None:
        """Somebody uses or closes it."""
        with self._lock:
            number = session.fileno()
            if not self._closed and number >= 0 and number in self._selector.get_map():
                self._selector.unregister(number)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            thread = self._thread
        self._waker.send(b"\0")
        if thread is not None:
            thread.join(5)
        for end in (self._waker, self._woken, self._selector):
            end.close()

    def _run(self) -> None:
        while not self._closed:
            for key, _ in self._selector.select():
                if key.data is not None and not key.data.look():
                    self._forget(key)

    def _forget(self, key: selectors.SelectorKey) -> None:
        with self._lock:
            if self._selector.get_map().get(key.fd) is key:
                self._selector.unregister(key.fd)
