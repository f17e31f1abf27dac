"""One live connection: it opens channels until it is worn out."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from msgspec import Struct

from opsrunner.errors import Unreachable
from opsrunner.launch import Launch
from opsrunner.ssh.shell import Shell, Turn
from opsrunner.ssh.transport import ChannelRefused, CommandChannel, CommandTransport

#: Seconds that a channel may take to open; on a connection that was idle this is its health check.
OPEN_TIMEOUT = 5.0
#: Seconds between two tries at a server that opens no further channel.
BACK_OFF = 0.05
#: Seconds for which what was seen of a connection holds.
FRESH = 1.0


class SessionDead(Exception):
    """The connection turned out to be gone before anything was sent: take another."""


class Wear(Struct, frozen=True):
    """When a connection is retired; sizes in bytes, ages in seconds of the pool's clock."""

    bytes: int
    execs: int
    until: float


class Session:
    """An authenticated connection to one host."""

    def __init__(self, transport: CommandTransport, wear: Wear, *, channels: int, shell_after: int) -> None:
        self._transport = transport
        self.shell = Shell(transport, after=shell_after)
        self._wear = wear
        self._pid = os.getpid()
        #: Commands at once; one channel more is kept free for ending them.
        self.slots = threading.BoundedSemaphore(channels)
        self.users = 0
        self.execs = 0
        self.moved = 0
        self._seen_at = float("-inf")
        #: Takes no further command; closed when the last user has left.
        self.retired = False

    def alive(self) -> bool:
        """Whether it can be used, as far as is known without asking the server."""
        return not self.retired and self._pid == os.getpid() and self._transport.is_active()

    def look(self) -> bool:
        """Take in what the server has said meanwhile; whether the connection is still there."""
        self._seen_at = time.monotonic()
        return self._transport.look()

    def was_seen(self) -> bool:
        """Whether it was looked at a moment ago, and was there."""
        return time.monotonic() - self._seen_at < FRESH and self._transport.is_active()

    def tidy(self) -> None:
        """Send what was put off until the next message."""
        self._transport.tidy()

    def fileno(self) -> int:
        """The socket's number; -1 when it is closed."""
        return int(self._transport.sock.fileno())

    def worn(self, now: float) -> bool:
        """Whether it is due for retirement."""
        return self.moved >= self._wear.bytes or self.execs >= self._wear.execs or now >= self._wear.until

    def begin_turn(self, launch: Launch, following: int) -> Turn | None:
        """A turn at the session's shell; None where the command needs a channel of its own.

        Nothing of a command has left before this returns; SessionDead when the connection is gone.
        """
        try:
            turn = self.shell.begin_turn(launch, following)
        except Exception as error:
            raise self._dead(error) from None
        if turn is not None:
            self.execs += 1
        return turn

    def _dead(self, error: Exception) -> SessionDead:
        """What broke it; other commands may still run over it, so it is not closed under them."""
        self.retired = True
        return SessionDead(str(error) or type(error).__name__)

    def open(
        self, host: str, *, timeout: float, patience: float, stopped: Callable[[], bool] = lambda: False
    ) -> CommandChannel:
        """A new channel, opened within ``timeout`` seconds. Nothing of a command has left before this returns.

        A refusal is tried again for ``patience`` seconds, then Unreachable; SessionDead when the
        connection is gone or does not answer.
        """
        until = time.monotonic() + patience
        while True:
            try:
                channel = self._transport.open_command_channel(timeout)
                self.execs += 1
                return channel
            except ChannelRefused as error:
                self.shell.give_up()
                if time.monotonic() >= until or stopped():
                    raise Unreachable(
                        "the server opens no further session",
                        host=host,
                        why=str(error),
                        remedy="raise MaxSessions in the host's sshd_config",
                    ) from None
                time.sleep(BACK_OFF)
            except Exception as error:  # whatever broke, nothing of the command was sent
                raise self._dead(error) from None

    def close(self) -> None:
        """End the connection."""
        self._transport.close()

    def abandon(self) -> None:
        """In a forked child: let go of the socket without a word, as it is the parent's."""
        self._transport.active = False
        self._transport.sock.close()
