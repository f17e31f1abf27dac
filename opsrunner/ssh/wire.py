"""A connection's socket: no thread of its own, it is read by whoever waits for something from it."""

from __future__ import annotations

import math
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import paramiko

#: TCP keepalive: first probe after, then every (seconds), and how many may go unanswered.
KEEPALIVE = (30, 10, 3)
#: Milliseconds that sent bytes may stay unacknowledged before the kernel calls the peer dead.
#: Keepalive alone never notices a peer that dies while something is on its way to it.
USER_TIMEOUT = 60_000
#: Seconds between two looks whether a socket that is waited for was closed meanwhile.
SOCKET_TIMEOUT = 30.0
#: Bytes asked of the socket at once, at first and while a stream comes.
READ_AHEAD, READ_AHEAD_MOST = 32_768, 98_304
#: Bytes kept of what a server says first.
OPENING = 256
#: Bytes of a line before the server's greeting, as OpenSSH takes it.
LONGEST_LINE = 8192


class Wire:
    """A socket that never blocks, what has been read of it, and whose turn it is to read.

    ``close`` wakes whoever reads and ends the server's side too; in a forked child it only closes, as a
    shutdown there would cut the parent's connection. Reading methods are for who has the turn.
    """

    def __init__(self, plain: socket.socket) -> None:
        self._socket = plain
        self._pid = os.getpid()
        self._ahead = b""
        self._at = 0
        self._ask = READ_AHEAD
        #: Until the login is through, what is sent waits for the next reading: packets share a segment.
        self.holding = True
        #: What is sent now waits for what is sent next.
        self.later = False
        self._held = b""
        #: The first bytes that came: a server that turns us away may say why.
        self.opening = b""
        #: When the peer was last heard of (time.monotonic).
        self.heard_at = time.monotonic()
        self._turn = threading.Lock()
        self._turns = threading.Condition(threading.Lock())
        self._waiting = 0
        #: The kernel says nothing before so many bytes have come.
        self._patient = False
        plain.setblocking(False)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
        for name, value in zip(names, (*KEEPALIVE, USER_TIMEOUT), strict=True):
            if hasattr(socket, name):  # not every system has all four
                plain.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._readable = select.poll()
        self._readable.register(plain, select.POLLIN)

    # ------------------------------------------------------------------ turns
    def take_turn(self) -> bool:
        """Begin to read, unless somebody else does. End with :meth:`give_turn`."""
        return self._turn.acquire(blocking=False)

    def give_turn(self) -> None:
        self._turn.release()
        self.tell_waiting()

    def await_turn(self, done: Callable[[], bool], timeout: float) -> None:
        """Wait until nobody reads, or who reads has made ``done`` true."""
        with self._turns:
            self._waiting += 1
            self._be_eager()  # who reads may wait for more than we do
            try:
                self._turns.wait_for(lambda: not self._turn.locked() or done(), timeout)
            finally:
                self._waiting -= 1

    def tell_waiting(self) -> None:
        """Something was read that others may wait for."""
        if self._waiting:
            with self._turns:
                self._turns.notify_all()

    # ------------------------------------------------------------------ reading
    @property
    def ahead(self) -> int:
        """Bytes that were read and not taken."""
        return len(self._ahead) - self._at

    def fill(self, timeout: float) -> bool:
        """Wait for bytes and read them; False when none came. Raises EOFError at the end, and OSError."""
        if self.holding:
            self.flush()
        ready = self._readable.poll(math.ceil(timeout * 1000))
        if self._patient:
            self._be_eager()  # what is less than was expected may be all that comes
            return self._read()
        return bool(ready) and self._read()

    def be_patient(self, least: int) -> None:
        """The answer to what was just sent has so many bytes: who waits is not woken for each of its pieces.

        It holds for the next wait. When that takes too long, or somebody else waits, each byte counts again.
        """
        if not self._waiting:
            self._patient = True
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, least)

    def _be_eager(self) -> None:
        if self._patient:
            self._patient = False
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)

    def _read(self) -> bool:
        try:
            data = self._socket.recv(self._ask)
        except BlockingIOError:
            return False
        if not data:
            raise EOFError
        self._ask = READ_AHEAD_MOST if len(data) == self._ask else READ_AHEAD
        self.heard_at = time.monotonic()
        self.opening = self.opening or data[:OPENING]
        self._ahead = self._ahead[self._at :] + data if self._at < len(self._ahead) else data
        self._at = 0
        return True

    def peek(self, size: int) -> bytes:
        return self._ahead[self._at : self._at + size]

    def recv(self, size: int) -> bytes:
        """``size`` of the bytes that are there."""
        piece = self._ahead[self._at : self._at + size]
        self._at += len(piece)
        if self._at == len(self._ahead):  # a connection that rests keeps no bytes
            self._ahead, self._at = b"", 0
        return piece

    def line(self) -> bytes:
        """The next line without its end, waited for. Raises EOFError, OSError, and SSHException for one without end."""
        while (end := self._ahead.find(b"\n", self._at)) < 0:
            if self.ahead > LONGEST_LINE:
                raise paramiko.SSHException("a line without an end")
            self.fill(SOCKET_TIMEOUT)
        return self.recv(end + 1 - self._at)[:-1].removesuffix(b"\r")

    # ------------------------------------------------------------------ writing
    def send(self, data: bytes) -> int:
        """Send the bytes behind those that were held back, waiting for room; gives back how many they are."""
        self._held += data
        if not (self.holding or self.later):
            self.flush()
        return len(data)

    def flush(self) -> None:
        """Send what was held back."""
        held, self._held = self._held, b""
        while held:
            try:
                held = held[self._socket.send(held) :]
            except BlockingIOError:
                self._wait_for_room()

    def let_go(self) -> None:
        """From here on everything is sent at once."""
        self.flush()
        self.holding = False

    def _wait_for_room(self) -> None:
        """Wait until the socket takes more. A server may want to be listened to before it reads on."""
        room = select.poll()
        if not self.take_turn():  # who has the turn listens
            room.register(self._socket, select.POLLOUT)
            room.poll(SOCKET_TIMEOUT * 1000)
            return
        try:
            room.register(self._socket, select.POLLIN | select.POLLOUT)
            for _, event in room.poll(SOCKET_TIMEOUT * 1000):
                if event & select.POLLIN:
                    self._read()
        finally:
            self.give_turn()

    # ------------------------------------------------------------------ the socket
    def settimeout(self, seconds: float | None) -> None:
        """paramiko asks for one; nothing here blocks."""

    def fileno(self) -> int:
        return self._socket.fileno()

    def getpeername(self) -> Any:
        return self._socket.getpeername()

    def shutdown(self) -> None:
        """End both directions; whoever waits for bytes sees the end of them."""
        if self._pid == os.getpid():
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        self.shutdown()
        self._socket.close()
