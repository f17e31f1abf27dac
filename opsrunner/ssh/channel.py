"""One command's channel, and the bell that tells when there is something to look at."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import paramiko
from paramiko.common import cMSG_CHANNEL_REQUEST, cMSG_CHANNEL_WINDOW_ADJUST
from paramiko.message import Message

from opsrunner.launch import Launch
from opsrunner.remote import Stream

#: What sending raises over a connection that has just ended.
ENDED = (EOFError, OSError, paramiko.SSHException)

_Channel: Any = paramiko.Channel


class Reader(Protocol):
    """A connection that is read by whoever waits."""

    def wait_for(self, done: Callable[[], bool], timeout: float) -> bool: ...
    def look(self) -> bool: ...


class Bell:
    """Rung when there is something to look at; who waits for it reads the connection meanwhile."""

    def __init__(self, transport: Reader) -> None:
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
        return self._transport.wait_for(self.is_set, timeout)


class CommandChannel(_Channel):  # type: ignore[misc]
    """A session channel whose events all ring one bell, so that one thread can follow them."""

    link = "the connection"

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.bell: Bell
        self.arrived: deque[tuple[Stream, bytes]] = deque()
        #: Name without SIG of the signal that ended the command.
        self.signal: str | None = None
        #: The server's answer to the exec request; None while it is owed.
        self.accepted: bool | None = None
        self.status_known = False

    def _set_transport(self, transport: Any) -> None:
        self.transport = transport
        self.bell = Bell(transport)

    def _log(self, level: int, message: str, *arguments: Any) -> None:
        self.transport._log(level, f"[chan {self.chanid}] {message}", *arguments)

    def __del__(self) -> None:
        # paramiko closes here; a close message sent by the garbage collector in the middle of
        # another send deadlocks. Channels are closed by who opened them.
        return None

    @property
    def left(self) -> bool:
        """The command has ended: what still comes is said by processes that it left behind."""
        return self.status_known

    def begin(self, launch: Launch) -> bool:
        """Ask for a command to be run, which it may be from here on. True when its input needs no sending."""
        if launch.no_input:
            self.skip_eof()
        self.send_exec(launch.line.encode("utf-8", "surrogateescape"))
        return launch.no_input

    def send_exec(self, line: bytes) -> None:
        """Ask for ``line`` to be run; the answer arrives as ``accepted``."""
        message = Message()
        message.add_byte(cMSG_CHANNEL_REQUEST)
        message.add_int(self.remote_chanid)
        message.add_string("exec")
        message.add_boolean(True)
        message.add_string(line)
        self._send_if_up(message)

    def _send_if_up(self, message: Message) -> None:
        """Send it, unless the connection has just ended: whoever follows the channel is told of that."""
        with suppress(*ENDED):
            self.transport._send_user_message(message)

    def close(self) -> None:
        """Close the channel; nothing to be told where the connection has ended."""
        with suppress(*ENDED):
            super().close()

    def shutdown_write(self) -> None:
        """The command reads the end of its input, if it can still be told."""
        with suppress(*ENDED):
            super().shutdown_write()

    def skip_eof(self) -> None:
        """Never tell the server that no input comes; closing says it all."""
        self.eof_sent = True

    def take(self) -> list[tuple[Stream, bytes]]:
        """What has arrived since the last call; makes room at the sender for as much again."""
        taken = []
        size = 0
        while self.arrived:
            piece = self.arrived.popleft()
            size += len(piece[1])
            taken.append(piece)
        if size and (room := self._check_add_window(size)):
            message = Message()
            message.add_byte(cMSG_CHANNEL_WINDOW_ADJUST)
            message.add_int(self.remote_chanid)
            message.add_int(room)
            self._send_if_up(message)
        return taken

    def send_some(self, data: memoryview) -> int:
        """Send what the command's window takes now, at most a packet; 0 when it is full."""
        try:
            return int(self.send(bytes(data[: self.out_max_packet_size])))
        except TimeoutError:
            return 0
        except ENDED:  # closed meanwhile: the bell has rung
            return 0

    def _feed(self, message: Message) -> None:
        self.arrived.append(("stdout", message.get_binary()))
        self.bell.set()

    def _feed_extended(self, message: Message) -> None:
        if message.get_int() == 1:
            self.arrived.append(("stderr", message.get_binary()))
            self.bell.set()

    def _request_success(self, message: Message) -> None:
        self.accepted = True  # nobody waits for this: output or an end follows

    def _request_failed(self, message: Message) -> None:
        self.accepted = False
        self.bell.set()

    def _window_adjust(self, message: Message) -> None:
        super()._window_adjust(message)
        self.bell.set()

    def _handle_request(self, message: Message) -> None:
        key = message.get_text()
        if key == "exit-signal":
            message.get_boolean()
            self.signal = message.get_text()
            self.status_known = True
        else:
            message.rewind()
            message.get_int()
            super()._handle_request(message)
            self.status_known = self.status_known or key == "exit-status"
        self.bell.set()

    def _handle_eof(self, message: Message) -> None:
        super()._handle_eof(message)
        if self.status_known:
            self.bell.set()

    def _set_closed(self) -> None:
        super()._set_closed()
        self.bell.set()
