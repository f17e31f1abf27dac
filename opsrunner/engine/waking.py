"""Wakes whoever waits for a signal. Celery looks for one when its loop goes round next: seldom, while it rests."""

from __future__ import annotations

import os
import select
import signal
import socket
from contextlib import suppress
from typing import Any


def _tell_nobody() -> None:
    signal.set_wakeup_fd(-1)


class SignalWaker:
    """A signal that comes before one waits is not missed. Made and used by the main thread."""

    def __init__(self) -> None:
        #: Where Python writes that a signal has come, and what that is read from.
        self._told, self._told_of = socket.socketpair()
        for end in (self._told, self._told_of):
            end.setblocking(False)
        signal.set_wakeup_fd(self._told.fileno(), warn_on_full_buffer=False)
        # Celery's beat inside a worker is a fork, which closes these files: its signals would be told to nobody.
        os.register_at_fork(after_in_child=_tell_nobody)

    def join(self, hub: Any) -> None:
        """Wake kombu's loop; to be called anew whenever it begins."""
        hub.add_reader(self._told_of, self._drain)

    def wait(self) -> None:
        """Until a signal comes that has a handler."""
        select.select([self._told_of], [], [])
        self._drain()

    def close(self) -> None:
        _tell_nobody()
        for end in (self._told, self._told_of):
            end.close()

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            self._told_of.recv(4096)
