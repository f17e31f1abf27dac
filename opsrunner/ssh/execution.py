"""One command over one channel: both streams, its input and its end, followed by a single thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from opsrunner.dialogue import Dialogue, End, signal_end
from opsrunner.errors import ConnectionLost, Unreachable
from opsrunner.launch import Launch
from opsrunner.remote import Stream
from opsrunner.ssh.channel import Bell
from opsrunner.ssh.pulse import Pulse

#: Seconds of silence waited for after the exit status: a background child may hold the streams open.
LINGER = 2.0
#: The same in all, for a child that goes on talking.
LINGER_MOST = 10.0
#: How often a cancellation, the deadline and a silent server are looked for, in seconds.
TICK = 0.25
#: Packets written before the output is looked at again.
BURST = 32


class Carrier(Protocol):
    """What a command is sent over and answers by: a channel of its own, or its turn at a shell."""

    #: Set whenever there is something to be looked at.
    bell: Bell
    #: The process on the host whose one child the command is; None where the command says itself who it is.
    parent: int | None

    @property
    def link(self) -> str:
        """What is lost when it is closed before the command's end, for people."""
        ...

    @property
    def transport(self) -> Any: ...
    @property
    def accepted(self) -> bool | None:
        """The server's answer to the request; None while it is owed, or where there is none."""
        ...

    @property
    def closed(self) -> bool: ...
    @property
    def left(self) -> bool:
        """Whoever would tell more has ended: what still comes is said by processes that were left behind."""
        ...

    @property
    def status_known(self) -> bool: ...
    @property
    def exit_status(self) -> int: ...
    @property
    def signal(self) -> str | None: ...
    @property
    def eof_received(self) -> bool:
        """No more output can come."""
        ...

    def begin(self, launch: Launch) -> bool:
        """Send the command; True when nothing is to be written to it any more."""
        ...

    def take(self) -> Sequence[tuple[Stream, bytes]]: ...
    def send_some(self, data: memoryview) -> int: ...
    def shutdown_write(self) -> None: ...
    def close(self) -> None: ...


class Execution:
    """Sends a command and follows it to its end."""

    def __init__(
        self, host: str, channel: Carrier, dialogue: Dialogue, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._host = host
        self._channel = channel
        self._dialogue = dialogue
        self._monotonic = monotonic
        transport = channel.transport
        self._pulse = Pulse(lambda: float(transport.heard_at), transport.ask_for_a_sign, monotonic)
        self._unsent = memoryview(b"")
        self._input_closed = False
        self._ended_at: float | None = None
        self._last_heard = 0.0
        #: Bytes written to the command.
        self.sent = 0

    def send(self, launch: Launch) -> None:
        """Ask for the command to be run. From here on a lost connection means that it may have run."""
        self._input_closed = self._channel.begin(launch)
        self._write()

    def follow(self, until: Callable[[], bool], *, tick: float = TICK) -> End | None:
        """Move bytes until the command has ended; None when ``until`` became true first.

        ``until`` is asked at least every ``tick`` seconds.
        Raises ConnectionLost, and Unreachable when the server refuses to run anything.
        """
        while True:
            self._channel.bell.clear()
            # Looked at before the bytes are taken: what came before the end is then among them.
            over = self._over()
            for stream, data in self._channel.take():
                self._dialogue.feed(stream, data)
                self._last_heard = self._monotonic()
            if over:
                return self._end()
            more = self._write()
            if until():
                return None
            if not self._pulse.there():
                raise self._lost(f"the host has not answered for {self._pulse.silence:.0f} s")
            if not more:
                self._channel.bell.wait(tick)

    def _over(self) -> bool:
        channel = self._channel
        if channel.closed or (channel.left and channel.eof_received):
            return True
        if not channel.left:
            return channel.accepted is False
        now = self._monotonic()
        if self._ended_at is None:
            self._ended_at = self._last_heard = now
        return now - self._last_heard > LINGER or now - self._ended_at > LINGER_MOST

    def _end(self) -> End:
        channel = self._channel
        if channel.accepted is False:
            remedy = "check the user's rights in sshd_config, and how many processes it may have"
            raise Unreachable("the server refuses to run commands", host=self._host, remedy=remedy)
        if channel.signal is not None:
            return signal_end(channel.signal)
        if channel.status_known:
            return End(channel.exit_status)
        raise self._lost()

    def _lost(self, cause: str = "") -> ConnectionLost:
        stdout, stderr = self._dialogue.output()
        known = self._channel.accepted or self._dialogue.groups or self._dialogue.size
        what = f"{self._channel.link} was lost" + (" while the command ran" if known else "")
        why = (
            "it was started and may still be running"
            if known
            else "the command was sent; whether it was started is not known"
        )
        why = f"{cause}; {why}" if cause else why
        remedy = "find out on the host what came of it before it is run again"
        return ConnectionLost(what, host=self._host, why=why, remedy=remedy, stdout=stdout, stderr=stderr)

    def _write(self) -> bool:
        """Write what may be written; True when there is more and the command takes it."""
        for _ in range(BURST):
            if not self._unsent:
                if self._input_closed:
                    return False
                data = self._dialogue.next_input()
                if data == b"":
                    return False
                if data is None:
                    self.close_input()
                    return False
                self._unsent = memoryview(data)
            sent = self._channel.send_some(self._unsent)
            if sent == 0:
                return False
            self.sent += sent
            self._unsent = self._unsent[sent:]
        return True

    def close_input(self) -> None:
        """The command reads the end of its stdin."""
        if not self._input_closed:
            self._input_closed = True
            self._unsent = memoryview(b"")
            self._channel.shutdown_write()
