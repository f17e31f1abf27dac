"""One command's channel, and the bell that tells when there is something to look at."""

from __future__ import annotations

import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Protocol

import paramiko
from paramiko.common import (
    MSG_CHANNEL_CLOSE,
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_EOF,
    MSG_CHANNEL_EXTENDED_DATA,
    MSG_CHANNEL_FAILURE,
    MSG_CHANNEL_OPEN,
    MSG_CHANNEL_OPEN_FAILURE,
    MSG_CHANNEL_OPEN_SUCCESS,
    MSG_CHANNEL_REQUEST,
    MSG_CHANNEL_SUCCESS,
    MSG_CHANNEL_WINDOW_ADJUST,
)

from opsrunner.launch import Launch
from opsrunner.remote import Stream

#: What sending raises over a connection that has just ended.
ENDED = (EOFError, OSError, paramiko.SSHException)
#: Bytes a command may be ahead of us on one channel, and how many of them are taken before we tell.
WINDOW = 2 * 1024 * 1024
_TELL_AFTER = WINDOW // 10
#: Bytes of a packet that we take, and least that a server must.
PACKET, LEAST_PACKET = 32_768, 4096
#: Bytes of a packet that its kind, its number and its padding may take.
_AROUND = 64
_STDERR = 1
#: Bytes of a message that brings output, without it; the second one of stderr.
DATA, MORE_DATA = 9, 13
#: Bytes that each of OpenSSH's answers to a command has at least: that there is room for input, that it is begun, how
#: it ended, that no more comes, and that the channel is closed.
_ANSWERS = (9, 5, 25, 5, 5)
_OPENSSH = "SSH-2.0-OpenSSH_"

_number = struct.Struct(">I").unpack_from
_numbers = struct.Struct(">III").unpack_from


class Connection(Protocol):
    """What a channel needs of the connection, which is read by whoever waits."""

    def wait_for(self, done: Callable[[], bool], timeout: float) -> bool: ...
    def look(self) -> bool: ...
    def send(self, payload: bytes, *, later: bool = False) -> None: ...
    def expect(self, answers: Iterable[int]) -> None: ...


class Bell:
    """Rung when there is something to look at; who waits for it reads the connection meanwhile."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._rung = False

    def set(self) -> None:
        self._rung = True

    def clear(self) -> None:
        self._rung = False

    def is_set(self) -> bool:
        return self._rung

    def wait(self, timeout: float) -> bool:
        """False when it was not rung within so many seconds. What has come meanwhile is taken in at any rate."""
        if self._rung:
            self._transport.look()
            return True
        return bool(self._transport.wait_for(self.is_set, timeout))


class CommandChannel:
    """A session channel whose events all ring one bell, so that one thread can follow them.

    What comes is taken in by whoever reads the connection; the rest is for the one thread that follows the command.
    No lock between them: what one of them writes, the other only reads.
    """

    link = "the connection"
    #: The command says itself who it is.
    parent: int | None = None

    def __init__(self, number: int, transport: Connection) -> None:
        self.number = number
        self.transport: Any = transport
        self.bell = Bell(transport)
        self.arrived: deque[tuple[Stream, bytes]] = deque()
        #: What the server said to the opening: nothing yet, yes, or why not.
        self.opened = False
        self.refusal = ""
        #: The server's answer to the exec request; None while it is owed.
        self.accepted: bool | None = None
        #: Name without SIG of the signal that ended the command.
        self.signal: str | None = None
        self.exit_status = -1
        self.status_known = False
        self.eof_received = False
        #: Nothing can come any more: the server or we have closed it, or the connection has ended.
        self.closed = False
        self._remote = b""
        self._most = LEAST_PACKET
        #: Bytes that the server has allowed to be sent in all, and how many were.
        self._granted = 0
        self._spent = 0
        self._taken = 0
        self._eof_sent = False
        #: Had by who closes it: that is told once.
        self._closing = threading.Lock()

    @property
    def left(self) -> bool:
        """The command has ended: what still comes is said by processes that it left behind."""
        return self.status_known

    @property
    def out_window_size(self) -> int:
        """Bytes that may be sent now."""
        return self._granted - self._spent

    # ------------------------------------------------------------------ for who follows the command
    def ask_to_open(self) -> None:
        """Ask the server for the channel; the answer is ``opened`` or ``refusal``."""
        words = struct.pack(">BI7sIII", MSG_CHANNEL_OPEN, 7, b"session", self.number, WINDOW, PACKET)
        self.transport.send(words)

    def begin(self, launch: Launch) -> bool:
        """Ask for a command to be run, which it may be from here on. True when its input needs no sending."""
        # Never told to a server: that no input comes. Closing says it all.
        self._eof_sent = launch.no_input
        self.send_exec(launch.line.encode("utf-8", "surrogateescape"))
        if launch.no_input and self.transport.remote_version.startswith(_OPENSSH):
            self.transport.expect((*_ANSWERS, DATA + len(f"{launch.nonce} i 1\n")) if launch.marked else _ANSWERS)
        return launch.no_input

    def send_exec(self, line: bytes) -> None:
        """Ask for ``line`` to be run; the answer arrives as ``accepted``."""
        self._say(MSG_CHANNEL_REQUEST, struct.pack(">I4s?I", 4, b"exec", True, len(line)) + line)

    def _say(self, kind: int, words: bytes = b"", *, later: bool = False) -> bool:
        """Send it, unless the connection has just ended: whoever follows the channel is told of that."""
        with suppress(*ENDED):
            self.transport.send(bytes((kind,)) + self._remote + words, later=later)
            return True
        return False

    def take(self) -> list[tuple[Stream, bytes]]:
        """What has arrived since the last call; makes room at the sender for as much again."""
        if not self.arrived:
            return []
        taken = []
        while self.arrived:
            piece = self.arrived.popleft()
            self._taken += len(piece[1])
            taken.append(piece)
        if self._taken > _TELL_AFTER and not (self.closed or self.eof_received):
            self._say(MSG_CHANNEL_WINDOW_ADJUST, struct.pack(">I", self._taken))
            self._taken = 0
        return taken

    def send_some(self, data: memoryview) -> int:
        """Send what the command's window takes now, at most a packet; 0 when it is full or nobody reads any more."""
        piece = bytes(data[: min(self.out_window_size, self._most - _AROUND)])
        if not piece or self._eof_sent or self.closed:
            return 0
        self._spent += len(piece)
        return len(piece) if self._say(MSG_CHANNEL_DATA, struct.pack(">I", len(piece)) + piece) else 0

    def shutdown_write(self) -> None:
        """The command reads the end of its input, if it can still be told."""
        if not self._eof_sent and not self.closed:
            self._eof_sent = True
            self._say(MSG_CHANNEL_EOF)

    def close(self) -> None:
        """Close the channel; nothing to be told where the connection has ended."""
        if not self.opened or not self._closing.acquire(blocking=False):
            return
        ended, self.closed = self.closed, True
        # Nobody waits for the answer to the server's own closing: it goes with what is sent next.
        self._say(MSG_CHANNEL_CLOSE, later=ended)

    # ------------------------------------------------------------------ for who reads the connection
    def take_in(self, kind: int, body: bytes) -> bool:
        """A message of the server's, without its kind; it begins with our number. False: it was the last."""
        if kind == MSG_CHANNEL_SUCCESS:
            self.accepted = True  # nobody waits for this: output or an end follows
            return True
        if kind == MSG_CHANNEL_DATA:
            self._put("stdout", body, 4)
        elif kind == MSG_CHANNEL_EXTENDED_DATA:
            if _number(body, 4)[0] == _STDERR:
                self._put("stderr", body, 8)
        elif kind == MSG_CHANNEL_WINDOW_ADJUST:
            self._granted += _number(body, 4)[0]
        elif kind == MSG_CHANNEL_REQUEST:
            self._take_request(body)
        elif kind == MSG_CHANNEL_EOF:
            self.eof_received = True
            if not self.status_known:
                return True  # nothing to be done before the end is known
        elif kind == MSG_CHANNEL_OPEN_SUCCESS:
            remote, self._granted, most = _numbers(body, 4)
            self._remote = struct.pack(">I", remote)
            self._most = max(LEAST_PACKET, most)
            self.opened = True
        elif kind == MSG_CHANNEL_OPEN_FAILURE:
            size = _number(body, 8)[0]
            self.refusal = body[12 : 12 + size].decode(errors="replace") or "refused"
        elif kind == MSG_CHANNEL_FAILURE:
            self.accepted = False
        elif kind == MSG_CHANNEL_CLOSE:
            self.closed = True
        self.bell.set()
        return kind not in (MSG_CHANNEL_CLOSE, MSG_CHANNEL_OPEN_FAILURE)

    def _put(self, stream: Stream, body: bytes, at: int) -> None:
        if not self.closed:
            size = _number(body, at)[0]
            self.arrived.append((stream, body[at + 4 : at + 4 + size]))

    def _take_request(self, body: bytes) -> None:
        size = _number(body, 4)[0]
        name, rest = body[8 : 8 + size], body[8 + size :]
        if name == b"exit-status":
            self.exit_status = _number(rest, 1)[0]
            self.status_known = True
        elif name == b"exit-signal":
            size = _number(rest, 1)[0]
            self.signal = rest[5 : 5 + size].decode(errors="replace")
            self.status_known = True
        elif rest[:1] == b"\1":
            # Not what is wanted of us; but an answer is.
            self._say(MSG_CHANNEL_FAILURE)

    def cut(self) -> None:
        """The connection has ended."""
        self.closed = True
        self.bell.set()


#: The messages that begin with a channel's number.
OF_A_CHANNEL = frozenset(
    (
        MSG_CHANNEL_OPEN_SUCCESS,
        MSG_CHANNEL_OPEN_FAILURE,
        MSG_CHANNEL_SUCCESS,
        MSG_CHANNEL_FAILURE,
        MSG_CHANNEL_DATA,
        MSG_CHANNEL_EXTENDED_DATA,
        MSG_CHANNEL_WINDOW_ADJUST,
        MSG_CHANNEL_REQUEST,
        MSG_CHANNEL_EOF,
        MSG_CHANNEL_CLOSE,
    )
)
