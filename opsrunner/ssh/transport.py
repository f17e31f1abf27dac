"""paramiko's transport, tuned: no thread, nothing polled.

What reaches into paramiko's inside stands in this file, ``packets.py`` and ``login.py``, so that a new paramiko is
checked in one place.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import paramiko
from paramiko.common import (
    MSG_DEBUG,
    MSG_DISCONNECT,
    MSG_IGNORE,
    MSG_KEXINIT,
    MSG_UNIMPLEMENTED,
    cMSG_GLOBAL_REQUEST,
    cMSG_UNIMPLEMENTED,
)
from paramiko.kex_curve25519 import KexCurve25519
from paramiko.message import Message

from opsrunner.ssh.channel import ENDED, OF_A_CHANNEL, WINDOW, Bell, CommandChannel
from opsrunner.ssh.login import Login
from opsrunner.ssh.packets import CommandPacketizer
from opsrunner.ssh.wire import Wire

#: Seconds between two looks whether the handshake's connection is still there.
HANDSHAKE_LOOK = 60.0
_LOW = frozenset((MSG_DISCONNECT, MSG_IGNORE, MSG_DEBUG))
_KEX = range(30, 42)
_Transport: Any = paramiko.Transport


__all__ = ["WINDOW", "ChannelRefused", "CommandChannel", "CommandTransport"]


class ChannelRefused(Exception):
    """The server opens no further channel now (MaxSessions); nothing ran."""


class CommandTransport(_Transport):  # type: ignore[misc]
    """A client's transport: cheap safe algorithms first, no weak ones, nothing polled."""

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

    active: bool
    saved_exception: Exception | None
    _expected_packet: tuple[int, ...]

    def __init__(self, sock: Wire, host_key_algorithms: tuple[str, ...] | None = None) -> None:
        self._host_key_algorithms = host_key_algorithms
        # What goes wrong is raised to who asked; paramiko's own log, with its tracebacks, is for
        # who sets this logger to DEBUG.
        self._heard = logging.getLogger("opsrunner.ssh.wire").isEnabledFor(logging.DEBUG)
        super().__init__(sock, packetizer_class=CommandPacketizer, default_window_size=WINDOW)
        self.set_log_channel("opsrunner.ssh.wire")
        self._service_asked = False
        #: By number, until the server has closed them.
        self._open: dict[int, CommandChannel] = {}
        self._asked = 0
        #: A server was at its limit: what is done with is given back at once.
        self._hurried = False

    # What paramiko filters anew each time: nothing is ever switched off here.
    preferred_kex = _preferred_kex
    preferred_ciphers = _preferred_ciphers
    preferred_macs = _preferred_macs

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

    # ------------------------------------------------------------------ reading
    def wait_for(self, done: Callable[[], bool], timeout: float) -> bool:
        """Read the connection, or let somebody else read it, until ``done``; False when that took too long.

        It returns early when the connection ends.
        """
        deadline = time.monotonic() + timeout
        while self.active and not done():
            left = max(0.0, deadline - time.monotonic())
            if self.sock.take_turn():
                try:
                    self._read(done, deadline)
                finally:
                    self.sock.give_turn()
            else:
                self.sock.await_turn(done, left)
            if not left:
                break
        return done()

    def look(self) -> bool:
        """Take in what has come, without waiting; whether the connection is still there."""
        self.wait_for(_never, 0.0)
        return bool(self.active)

    def _read(self, done: Callable[[], bool], deadline: float) -> None:
        """With the turn to read: take packets until ``done``, the deadline or the end of the connection."""
        try:
            late = False
            while self.active:
                # Everything that is here first: what came together is looked at together.
                if self.packetizer.whole():
                    self._take_packet()
                    self.sock.tell_waiting()
                    continue
                if late or done():
                    return
                left = deadline - time.monotonic()
                late = left <= 0
                self.sock.fill(max(0.0, left))
        except Exception as error:  # whatever a server sends, it ends its own connection only
            self._log(logging.ERROR, f"the connection ends: {error!r}")
            self._end(error)

    def _take_packet(self) -> None:
        kind, body = self.packetizer.read_body()
        if self._expected_packet or kind not in OF_A_CHANNEL:
            self._take_other(kind, body)
            return
        number = int.from_bytes(body[:4], "big")
        channel = self._open.get(number)
        if channel is not None:
            if not channel.take_in(kind, body):
                self._open.pop(number, None)
        elif number >= self._asked:
            raise paramiko.SSHException(f"a message for channel {number}, which was never opened")

    def _take_other(self, kind: int, body: bytes) -> None:
        message = Message(body)
        message.seqno = self.packetizer.count_in
        if self._expected_packet or kind in _LOW:
            self._take_early(kind, message)
        else:
            self._dispatch(kind, message)

    def _take_early(self, kind: int, message: Message) -> None:
        """What may come at any time, and what comes while keys are exchanged."""
        if kind == MSG_DISCONNECT:
            self._parse_disconnect(message)
            raise EOFError
        if kind in (MSG_IGNORE, MSG_DEBUG):
            self._enforce_strict_kex(kind)
            return
        if self._expected_packet:
            if kind not in self._expected_packet:
                fault = paramiko.ssh_exception.MessageOrderError if self.agreed_on_strict_kex else paramiko.SSHException
                raise fault(f"expecting packet {self._expected_packet!r}, got {kind}")
            self._expected_packet = ()
            if kind in _KEX:
                self.kex_engine.parse_next(kind, message)
                return
        self._dispatch(kind, message)

    def _dispatch(self, kind: int, message: Message) -> None:
        if kind in self._handler_table:
            self._handler_table[kind](message)
        elif self.auth_handler is not None and kind in (table := self.auth_handler._handler_table):
            table[kind](message)
        elif kind != MSG_UNIMPLEMENTED:
            answer = Message()
            answer.add_byte(cMSG_UNIMPLEMENTED)
            answer.add_int(message.seqno)
            self._send_message(answer)

    def _end(self, error: Exception | None = None) -> None:
        """The connection is over: whoever waits for something from it is told."""
        with self.lock:
            if not self.active:
                return
            self.saved_exception = error or self.saved_exception
            self.active = False
        self.packetizer.close()
        for number in list(self._open):
            self._open.pop(number).cut()
        if self.auth_handler is not None:
            self.auth_handler.abort()
        self.sock.tell_waiting()

    def close(self) -> None:
        """End the connection."""
        self._end()
        self.sock.close()

    # ------------------------------------------------------------------ the way in
    def start_client(self) -> None:
        """Exchange keys. Raises what went wrong: SSHException, EOFError or OSError."""
        self.active = True
        try:
            self.packetizer.write_all(f"{self.local_version}\r\n".encode())
            self._check_banner()
            self._send_kex_init()
        except Exception as error:
            self._end(error)
            raise
        self._expect_packet(MSG_KEXINIT)
        while self.active and not self.initial_kex_done:
            self.wait_for(lambda: self.initial_kex_done, HANDSHAKE_LOOK)
        if not self.active:
            raise self.get_exception() or EOFError()

    def auth_publickey(self, username: str, key: Any) -> list[str]:
        """What else the server wants to see, usually nothing; raises as paramiko does."""
        return self._log_in(lambda login, event: login.auth_publickey(username, key, event))

    def auth_password(self, username: str, password: str) -> list[str]:
        """The same with a password, which some servers only take as the answer to a question."""
        try:
            return self._log_in(lambda login, event: login.auth_password(username, password, event))
        except paramiko.BadAuthenticationType as error:
            if "keyboard-interactive" not in error.allowed_types:
                raise

        def answer(title: str, instructions: str, questions: list[Any]) -> list[str]:
            if len(questions) > 1:
                raise paramiko.SSHException("the server asks for more than a password")
            return [password] * len(questions)

        return self._log_in(lambda login, event: login.auth_interactive(username, answer, event))

    def _log_in(self, ask: Callable[[Login, Bell], None]) -> list[str]:
        self.auth_handler = login = Login(self, first=not self._service_asked)
        self._service_asked = True
        event = Bell(self)
        ask(login, event)
        return login.wait_for_response(event)

    def send(self, payload: bytes, *, later: bool = False) -> None:
        """Send it, after a key exchange that the server may have begun. Nothing happens when the connection is over.

        With ``later`` it goes with what is sent next, or when the connection is tidied.
        """
        later = later and not self._hurried
        until = 0.0
        while self.active:
            with self.clear_to_send_lock:
                if self.clear_to_send.is_set():
                    self.packetizer.send_payload(payload, later=later)
                    return
            until = until or time.monotonic() + self.clear_to_send_timeout
            if time.monotonic() >= until:
                raise paramiko.SSHException("the server began to exchange keys and did not finish")
            self.wait_for(self.clear_to_send.is_set, 1.0)

    def tidy(self) -> None:
        """Nobody has used it for a while: what waits for the next message is sent without one."""
        with suppress(*ENDED), self.clear_to_send_lock:
            self.packetizer.flush()

    def expect(self, answers: Iterable[int]) -> None:
        """What was just sent is answered by messages of at least so many bytes: nobody is woken before the last."""
        self.sock.be_patient(sum(map(self.packetizer.size_of, answers)))

    def ask_for_a_sign(self) -> None:
        """Ask for an answer, whatever it is: a server that lives gives one."""
        message = Message()
        message.add_byte(cMSG_GLOBAL_REQUEST)
        message.add_string("keepalive@openssh.com")
        message.add_boolean(True)
        with suppress(*ENDED):  # every channel's bell rings
            self.send(message.asbytes())

    def open_command_channel(self, timeout: float) -> CommandChannel:
        """Open a session channel within ``timeout`` seconds.

        Raises ChannelRefused when the server will not have one more, ConnectionError when the
        connection is dead, TimeoutError when no answer came.
        """
        with self.lock:
            channel = CommandChannel(self._asked, self)
            self._asked += 1
            self._open[channel.number] = channel
        channel.ask_to_open()
        if not channel.bell.wait(timeout) and self.active:
            raise TimeoutError
        if channel.opened and self.active:
            return channel
        if self.active:
            self._hurried = True
            raise ChannelRefused(channel.refusal)
        raise ConnectionError(str(self.get_exception() or "") or "the connection was closed")


def _never() -> bool:
    return False
