"""One long-lived shell on a host, over one channel of a connection: commands take turns at it.

A command costs one round trip there, and the host neither a process of sshd nor a login shell. It is a
second way only: whatever is in doubt goes over a channel of its own.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

from opsrunner.launch import Launch
from opsrunner.remote import Stream
from opsrunner.ssh.channel import DATA, MORE_DATA
from opsrunner.ssh.framing import Framing
from opsrunner.ssh.shelltext import SHELL_LINE, boot, frame, greeting, servable
from opsrunner.ssh.transport import ChannelRefused, CommandChannel, CommandTransport

#: Seconds that a shell may take to say that it is there.
GREETING_TIMEOUT = 5.0
#: Seconds since the server was last heard of after which a shell is greeted before it is given a command:
#: a command that is sent over a dead link is lost, a greeting is not.
FRESH = 2.0
#: Most commands over channels of their own between a shell that ended and the next.
LONGEST_PAUSE = 64

Streams = dict[Stream, Framing]


def _framings(nonce: str) -> Streams:
    return {"stdout": Framing(nonce), "stderr": Framing(nonce)}


def _over(framings: Streams) -> bool:
    return all(framing.over for framing in framings.values())


class Turn:
    """One command's turn at the shell: a :class:`~opsrunner.ssh.execution.Carrier`."""

    #: A shell tells 128 + N of a command that died of signal N, and no name.
    signal = None

    def __init__(
        self, channel: CommandChannel, line: bytes, nonce: str, parent: int | None, leave: Callable[[bool, bool], None]
    ) -> None:
        """``leave`` is told at the end whether the shell can go on, and whether the command left a holder."""
        self.parent = parent
        self._channel = channel
        self._line = line
        self._framings = _framings(nonce)
        #: Bytes of the messages that tell its end, at least.
        self._trailers = [around + len(f"{nonce} 0 free\n") for around in (DATA, MORE_DATA)]
        self._leave = leave
        self._strayed = False
        self.bell = channel.bell

    @property
    def transport(self) -> Any:
        return self._channel.transport

    @property
    def link(self) -> str:
        return "the shell on the host" if self.transport.is_active() else "the connection"

    @property
    def accepted(self) -> bool | None:
        """The shell answers to no request; it only tells when the host could begin no process for it."""
        return False if any(framing.unbegun for framing in self._framings.values()) else None

    @property
    def closed(self) -> bool:
        return bool(self._channel.closed)

    @property
    def left(self) -> bool:
        # Without a trailer it is the shell that has ended: nobody will tell what becomes of the command.
        return self.status_known or self._channel.status_known

    @property
    def status_known(self) -> bool:
        return _over(self._framings)

    @property
    def exit_status(self) -> int:
        return self._framings["stdout"].status or 0

    @property
    def eof_received(self) -> bool:
        return (self.status_known and not self._held) or bool(self._channel.eof_received)

    @property
    def _held(self) -> bool:
        return any(framing.held for framing in self._framings.values())

    def begin(self, launch: Launch) -> bool:
        """Send the whole line, input and all; that there is room for it was looked at before."""
        _send(self._channel, memoryview(self._line))
        self._channel.transport.expect(self._trailers)
        return True

    def take(self) -> list[tuple[Stream, bytes]]:
        """What the command has said since the last call."""
        taken: list[tuple[Stream, bytes]] = []
        known, closed = self.status_known, self.closed
        for stream, data in self._channel.take():
            framing = self._framings[stream]
            ended = framing.over
            if output := framing.feed(data):
                self._strayed = self._strayed or (ended and not framing.held)
                taken.append((stream, output))
        if closed:
            taken += [(stream, rest) for stream, framing in self._framings.items() if (rest := framing.rest())]
        if self.status_known and not known:
            self.bell.set()  # the end came with the last bytes: nothing else will ring
        return taken

    def send_some(self, data: memoryview) -> int:
        raise AssertionError("a command at a shell was given its input with its line")

    def shutdown_write(self) -> None:
        """Its input has an end already."""

    def close(self) -> None:
        """The turn is over, whatever became of the command."""
        sound = self.status_known and not self._held and not self._strayed and not self.closed
        sound = sound and self.accepted is None
        self._leave(sound, self._held)


class Shell:
    """The shell of one connection, opened when it pays, given to one command at a time."""

    def __init__(
        self,
        transport: CommandTransport,
        *,
        after: int,
        monotonic: Callable[[], float] = time.monotonic,
        make_nonce: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        """``after``: commands that go over channels of their own before the first shell is opened.

        Commands that are still to come count, too: where they are enough it is opened at once.
        """
        self._transport = transport
        self._monotonic = monotonic
        self._make_nonce = make_nonce
        self._lock = threading.Lock()  # held for as long as a turn lasts
        self._channel: CommandChannel | None = None
        self._process = 0  # its number on the host
        self._opened = False  # once, at least
        self._owed = after
        self._pause = 1
        self._useless = False
        self._used_at = 0.0

    def begin_turn(self, launch: Launch, following: int = 0) -> Turn | None:
        """A turn for this command; None where it must go over a channel of its own. Nothing of it was sent.

        ``following`` commands are expected behind it.
        Raises what :meth:`CommandTransport.open_command_channel` does where the connection is gone.
        """
        if not servable(launch) or not self._lock.acquire(blocking=False):
            return None
        turn = None
        try:
            if channel := self._ready(following):
                nonce = self._make_nonce()
                line = frame(launch, nonce)
                if channel.out_window_size >= len(line):
                    turn = Turn(channel, line, nonce, self._process if launch.text else None, self._leave)
            return turn
        finally:
            if turn is None:
                self._lock.release()

    def _ready(self, following: int) -> CommandChannel | None:
        """The shell's channel, if it is there and nothing speaks against it; it is opened where it is due."""
        if self._useless:
            return None
        if self._channel is None:
            if self._owed > (0 if self._opened else following):
                self._owed -= 1
                return None
            self._opened = True
            self._channel = self._open()
            self._useless = self._channel is None
            return self._channel
        # Whatever came while nobody was at it is not its greeting.
        silent = not self._channel.arrived and not self._channel.closed
        fresh = time.monotonic() - self._transport.heard_at < FRESH
        if not silent or not (fresh or self._greeted(self._channel, greeting, quietly=True)):
            self._end()
        return self._channel

    def _open(self) -> CommandChannel | None:
        try:
            channel = self._transport.open_command_channel(GREETING_TIMEOUT)
        except ChannelRefused:
            return None
        channel.send_exec(SHELL_LINE.encode())
        if process := self._greeted(channel, boot, quietly=False):
            self._process = process
            return channel
        channel.close()
        return None

    def _greeted(self, channel: CommandChannel, text: Callable[[str], bytes], *, quietly: bool) -> int:
        """The shell's process number, if it answers ``text`` as a shell does; with ``quietly``, and says nothing else.

        0 where it does not.
        """
        nonce = self._make_nonce()
        framings = _framings(nonce)
        deadline = time.monotonic() + GREETING_TIMEOUT
        unsent = memoryview(text(nonce))
        while not channel.closed and channel.accepted is not False:
            channel.bell.clear()
            unsent = _send(channel, unsent)  # a new channel takes nothing before its program runs
            for stream, data in channel.take():
                over = framings[stream].over
                if framings[stream].feed(data) and (quietly or over):
                    return 0
            if _over(framings):
                return framings["stdout"].status or 0
            if not channel.bell.wait(max(0.0, deadline - time.monotonic())):
                return 0
        return 0

    def _leave(self, sound: bool, held: bool) -> None:
        if sound:
            self._pause = 1
        else:
            # A host whose commands always leave somebody behind is better off without.
            self._pause = min(LONGEST_PAUSE, 2 * self._pause) if held else 1
            self._end()
        self._used_at = self._monotonic()
        self._lock.release()

    def _end(self) -> None:
        if self._channel is not None:
            self._channel.close()
        self._channel = None
        self._owed = self._pause

    def give_up(self) -> None:
        """Make room for another channel, if nobody is at the shell; there will be none again."""
        self._useless = True
        self.close_if_idle(0.0)

    def close_if_idle(self, seconds: float) -> None:
        """End the shell if nobody has been at it for so long: it is a process on the host."""
        if self._channel is None or not self._lock.acquire(blocking=False):
            return
        try:
            if self._monotonic() - self._used_at >= seconds:
                self._end()
        finally:
            self._lock.release()


def _send(channel: CommandChannel, data: memoryview) -> memoryview:
    """Send what the window takes; gives back the rest."""
    while data and (sent := channel.send_some(data)):
        data = data[sent:]
    return data
