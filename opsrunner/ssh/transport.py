"""paramiko's transport and channel, tuned: no polling, no timer threads, one bell per command.

Everything that reaches into paramiko's inside stands in this file, so that a new paramiko is
checked in one place.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import paramiko
from paramiko.common import (
    MSG_CHANNEL_CLOSE,
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_EOF,
    MSG_CHANNEL_EXTENDED_DATA,
    MSG_CHANNEL_FAILURE,
    MSG_CHANNEL_REQUEST,
    MSG_CHANNEL_SUCCESS,
    MSG_CHANNEL_WINDOW_ADJUST,
    cMSG_CHANNEL_OPEN,
    cMSG_CHANNEL_REQUEST,
    cMSG_CHANNEL_WINDOW_ADJUST,
    cMSG_GLOBAL_REQUEST,
)
from paramiko.kex_curve25519 import KexCurve25519
from paramiko.message import Message
from paramiko.packet import Packetizer

from opsrunner.launch import Launch
from opsrunner.remote import Stream

#: Bytes a command may be ahead of us on one channel.
WINDOW = 2 * 1024 * 1024
#: TCP keepalive: first probe after, then every (seconds), and how many may go unanswered.
KEEPALIVE = (30, 10, 3)
#: Milliseconds that sent bytes may stay unacknowledged before the kernel calls the peer dead.
#: Keepalive alone never notices a peer that dies while something is on its way to it.
USER_TIMEOUT = 60_000
#: Seconds of the socket's own time-out: all that is left of paramiko's 0.1 s polling.
SOCKET_TIMEOUT = 30.0
#: Bytes asked of the socket at once.
READ_AHEAD = 32_768
#: Bytes kept of what a server says first.
OPENING = 256
_NO_REKEY = 1 << 62
#: What sending raises over a connection that has just ended.
ENDED = (EOFError, OSError, paramiko.SSHException)

_Transport: Any = paramiko.Transport
_Channel: Any = paramiko.Channel
_PacketizerBase: Any = Packetizer


class ChannelRefused(Exception):
    """The server opens no further channel now (MaxSessions); nothing ran."""


class WakingSocket:
    """A socket whose ``close`` wakes whoever reads it, and ends the server's side too.

    In a forked child it only closes: a shutdown there would cut the parent's connection.
    """

    def __init__(self, plain: socket.socket) -> None:
        self._socket = plain
        self._pid = os.getpid()
        self._ahead = b""
        self._at = 0
        #: The first bytes that came: a server that turns us away may say why.
        self.opening = b""
        #: When the peer was last heard of (time.monotonic).
        self.heard_at = time.monotonic()
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
        for name, value in zip(names, (*KEEPALIVE, USER_TIMEOUT), strict=True):
            if hasattr(socket, name):  # not every system has all four
                plain.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    @property
    def _closed(self) -> bool:  # paramiko asks for it by this name
        return self._socket.fileno() == -1

    def send(self, data: bytes) -> int:
        return self._socket.send(data)

    def recv(self, size: int) -> bytes:
        """Up to ``size`` bytes. Read ahead: paramiko asks for each packet in two or three pieces."""
        ahead = self._ahead
        if not ahead:
            ahead = self._socket.recv(max(size, READ_AHEAD))
            self.heard_at = time.monotonic()
            self.opening = self.opening or ahead[:OPENING]
            self._at = 0
        piece = ahead[self._at : self._at + size]
        self._at += size
        self._ahead = ahead if self._at < len(ahead) else b""
        return piece

    def settimeout(self, seconds: float | None) -> None:
        self._socket.settimeout(seconds)

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


class CommandPacketizer(_PacketizerBase):  # type: ignore[misc]
    """Never asks for new keys, and starts no timer thread.

    A rekey begun by paramiko's client can deadlock with a channel that closes; connections are
    retired long before one is due. The handshake's deadline is the watchdog's.
    """

    REKEY_BYTES = _NO_REKEY
    REKEY_PACKETS = _NO_REKEY

    def start_handshake(self, timeout: float) -> None:
        return None


class CommandChannel(_Channel):  # type: ignore[misc]
    """A session channel whose events all ring one bell, so that one thread can follow them."""

    link = "the connection"

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.bell = threading.Event()
        self.arrived: deque[tuple[Stream, bytes]] = deque()
        #: Name without SIG of the signal that ended the command.
        self.signal: str | None = None
        #: The server's answer to the exec request; None while it is owed.
        self.accepted: bool | None = None
        self.status_known = False

    def _set_transport(self, transport: Any) -> None:
        self.transport = transport

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


def _of(name: str) -> Callable[[Any, Message], None]:
    return lambda channel, message: getattr(channel, name)(message)


class CommandTransport(_Transport):  # type: ignore[misc]
    """A client's transport: cheap safe algorithms first, no weak ones, nothing polled."""

    _active_check_timeout = SOCKET_TIMEOUT
    # Post-quantum first, then the cheap curves; group16 costs 80 ms and is for who has nothing else.
    _preferred_kex = tuple(
        name
        for name in (
            "mlkem768x25519-sha256",
            "curve25519-sha256",
            "curve25519-sha256@libssh.org",
            "ecdh-sha2-nistp256",
            "ecdh-sha2-nistp384",
            "ecdh-sha2-nistp521",
            "diffie-hellman-group14-sha256",
            "diffie-hellman-group-exchange-sha256",
            "diffie-hellman-group16-sha512",
        )
        if name in _Transport._kex_info or name == "curve25519-sha256"
    )
    # paramiko knows curve25519 by its old name only; it is the same exchange.
    _kex_info = {**_Transport._kex_info, "curve25519-sha256": KexCurve25519}  # noqa: RUF012
    _preferred_ciphers = (
        "aes128-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        "aes128-ctr",
        "aes192-ctr",
        "aes256-ctr",
    )
    _preferred_macs = (
        "hmac-sha2-256-etm@openssh.com",
        "hmac-sha2-512-etm@openssh.com",
        "hmac-sha2-256",
        "hmac-sha2-512",
        "hmac-sha1",
    )
    _channel_handler_table = {  # noqa: RUF012
        MSG_CHANNEL_SUCCESS: _of("_request_success"),
        MSG_CHANNEL_FAILURE: _of("_request_failed"),
        MSG_CHANNEL_DATA: _of("_feed"),
        MSG_CHANNEL_EXTENDED_DATA: _of("_feed_extended"),
        MSG_CHANNEL_WINDOW_ADJUST: _of("_window_adjust"),
        MSG_CHANNEL_REQUEST: _of("_handle_request"),
        MSG_CHANNEL_EOF: _of("_handle_eof"),
        MSG_CHANNEL_CLOSE: _of("_handle_close"),
    }

    def __init__(self, sock: WakingSocket, host_key_algorithms: tuple[str, ...] | None = None) -> None:
        self._host_key_algorithms = host_key_algorithms
        # What goes wrong is raised to who asked; paramiko's own log, with its tracebacks, is for
        # who sets this logger to DEBUG.
        self._heard = logging.getLogger("opsrunner.ssh.wire").isEnabledFor(logging.DEBUG)
        super().__init__(sock, packetizer_class=CommandPacketizer, default_window_size=WINDOW)
        self.set_log_channel("opsrunner.ssh.wire")
        self.daemon = True

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        """Host key algorithms offered: those pinned, and never a certificate that nobody checks."""
        return self._host_key_algorithms or tuple(self._preferred_keys)

    def _log(self, level: int, message: Any, *arguments: Any) -> None:
        if self._heard:
            super()._log(logging.DEBUG, message, *arguments)

    @property
    def heard_at(self) -> float:
        """When the server was last heard of, on the clock of time.monotonic."""
        return float(self.sock.heard_at)

    def ask_for_a_sign(self) -> None:
        """Ask for an answer, whatever it is: a server that lives gives one."""
        message = Message()
        message.add_byte(cMSG_GLOBAL_REQUEST)
        message.add_string("keepalive@openssh.com")
        message.add_boolean(True)
        with suppress(*ENDED):  # every channel's bell rings
            self._send_user_message(message)

    def open_command_channel(self, timeout: float) -> CommandChannel:
        """Open a session channel within ``timeout`` seconds.

        Raises ChannelRefused when the server will not have one more, ConnectionError when the
        connection is dead, TimeoutError when no answer came.
        """
        message = Message()
        message.add_byte(cMSG_CHANNEL_OPEN)
        with self.lock:
            number = self._next_channel()
            message.add_string("session")
            message.add_int(number)
            message.add_int(WINDOW)
            message.add_int(self.default_max_packet_size)
            channel = CommandChannel(number)
            self._channels.put(number, channel)
            self.channel_events[number] = opened = threading.Event()
            self.channels_seen[number] = True
            channel._set_transport(self)
            channel._set_window(WINDOW, self.default_max_packet_size)
            channel.settimeout(0.0)
        self._send_user_message(message)
        # Woken by the answer or by the end of the connection; a death between our last look and
        # the event's registration would wake nobody, so the wait is sliced.
        deadline = time.monotonic() + timeout
        while self.active and not opened.wait(min(1.0, max(0.0, deadline - time.monotonic()))):
            if time.monotonic() >= deadline:
                raise TimeoutError
        if channel.active and self.active:
            return channel
        fault = self.get_exception()
        if self.active:
            raise ChannelRefused(str(fault or "refused"))
        raise ConnectionError(str(fault or "") or "the connection was closed")
