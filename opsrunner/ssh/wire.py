"""A connection's socket and its packets: no thread of its own, it is read by whoever waits for something from it."""

from __future__ import annotations

import math
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import paramiko
from paramiko.message import Message
from paramiko.packet import Packetizer
from paramiko.util import u

#: TCP keepalive: first probe after, then every (seconds), and how many may go unanswered.
KEEPALIVE = (30, 10, 3)
#: Milliseconds that sent bytes may stay unacknowledged before the kernel calls the peer dead.
#: Keepalive alone never notices a peer that dies while something is on its way to it.
USER_TIMEOUT = 60_000
#: Seconds between two looks whether a socket that is waited for was closed meanwhile.
SOCKET_TIMEOUT = 30.0
#: Bytes asked of the socket at once, at first and while a stream comes.
READ_AHEAD, READ_AHEAD_MOST = 32_768, 262_144
#: Bytes kept of what a server says first.
OPENING = 256
#: Bytes of a line before the server's greeting, and of a packet, as OpenSSH takes them.
LONGEST_LINE, LONGEST_PACKET = 8192, 262_144
_NO_REKEY = 1 << 62
_COUNTER = (1 << 64) - 1

_PacketizerBase: Any = Packetizer


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
        self._held = b""
        #: The first bytes that came: a server that turns us away may say why.
        self.opening = b""
        #: When the peer was last heard of (time.monotonic).
        self.heard_at = time.monotonic()
        self._turns = threading.Condition(threading.Lock())
        self._taken = False
        self._waiting = 0
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
        with self._turns:
            if self._taken:
                return False
            self._taken = True
            return True

    def give_turn(self) -> None:
        with self._turns:
            self._taken = False
            if self._waiting:
                self._turns.notify_all()

    def await_turn(self, done: Callable[[], bool], timeout: float) -> None:
        """Wait until nobody reads, or who reads has made ``done`` true."""
        with self._turns:
            self._waiting += 1
            try:
                self._turns.wait_for(lambda: not self._taken or done(), timeout)
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
        self.flush()
        return bool(self._readable.poll(math.ceil(timeout * 1000))) and self._read()

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
        """Send some of the bytes, waiting for room; gives back how many."""
        if self.holding:
            self._held += data
            return len(data)
        while True:
            try:
                return self._socket.send(data)
            except BlockingIOError:
                self._wait_for_room()

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


class PeekedCipher:
    """A stream cipher whose next bytes can be deciphered before they are asked for."""

    def __init__(self, cipher: Any) -> None:
        self._cipher = cipher
        self._peeked = b""

    def peek(self, data: bytes) -> bytes:
        self._peeked = self._cipher.update(data)
        return self._peeked

    def update(self, data: bytes) -> bytes:
        """The bytes that were peeked at, if there are any: they are asked for in the same piece."""
        peeked, self._peeked = self._peeked, b""
        return peeked or bytes(self._cipher.update(data))


class CommandPacketizer(_PacketizerBase):  # type: ignore[misc]
    """Tells when a whole packet has come, so that reading one never blocks.

    It never asks for new keys: a rekey begun by paramiko's client can deadlock with a channel that closes;
    connections are retired long before one is due. It starts no timer: the handshake's deadline is the watchdog's.
    """

    REKEY_BYTES = _NO_REKEY
    REKEY_PACKETS = _NO_REKEY
    _Packetizer__sequence_number_in: int

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire)
        self._wire = wire
        #: Bytes of the next packet on the wire; 0 while that is not known.
        self._size = 0
        self._first = 8
        self._mac = 0
        self._hidden: PeekedCipher | None = None
        self._opener: Any = None
        self._salt, self._count = b"", 0

    def start_handshake(self, timeout: float) -> None:
        return None

    def readline(self, timeout: float) -> str:
        return str(u(self._wire.line()))

    def set_inbound_cipher(
        self,
        block_engine: Any,
        block_size: int,
        mac_engine: Any,
        mac_size: int,
        mac_key: Any,
        etm: bool = False,
        aead: bool = False,
        iv_in: bytes | None = None,
    ) -> None:
        """paramiko calls it when new keys begin to count."""
        self._first, self._mac = block_size, mac_size
        self._hidden = self._opener = None
        if aead and iv_in is not None:
            self._opener = block_engine
            self._salt, self._count = iv_in[:4], int.from_bytes(iv_in[4:], "big")
        elif not etm:  # the length is enciphered, too
            block_engine = self._hidden = PeekedCipher(block_engine)
        super().set_inbound_cipher(
            block_engine, block_size, mac_engine, mac_size, mac_key, etm=etm, aead=aead, iv_in=iv_in
        )

    def whole(self) -> bool:
        """Whether the next packet has come in full. Raises SSHException for one that is too long."""
        wire = self._wire
        if not self._size:
            if wire.ahead < self._first:
                return False
            first = wire.peek(self._first)
            if self._hidden is not None:
                first = self._hidden.peek(first)
            (length,) = struct.unpack_from(">I", first)
            if length > LONGEST_PACKET:
                raise paramiko.SSHException(f"a packet of {length} bytes")
            self._size = 4 + length + self._mac
        return wire.ahead >= self._size

    def read_message(self) -> tuple[int, Message]:
        """The next packet, which is :meth:`whole`. Raises SSHException when it was tampered with."""
        size, self._size = self._size, 0
        if self._opener is None:
            kind, message = super().read_message()
            return int(kind), message
        # The same as paramiko's, for the one kind of cipher that nearly every server has: a third of the cost.
        packet = memoryview(self._wire.recv(size))
        nonce = self._salt + self._count.to_bytes(8, "big")
        self._count = (self._count + 1) & _COUNTER
        plain = self._opener.decrypt(nonce, packet[4:], packet[:4])
        padding = plain[0]
        if padding + 2 > len(plain):
            raise paramiko.SSHException("a packet of padding")
        message = Message(plain[2 : len(plain) - padding])
        message.seqno = self._Packetizer__sequence_number_in
        self._Packetizer__sequence_number_in = (message.seqno + 1) & 0xFFFFFFFF
        return plain[1], message
