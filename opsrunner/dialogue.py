"""Follows one launched command: what it says, what may be written to it, and how it ended.

Does no I/O: bytes go in, bytes to be written come out. ``ssh/`` and ``local.py`` bring the wire.
"""

from __future__ import annotations

import datetime
import re
import signal as signals
import time

from msgspec import Struct

from opsrunner.errors import BecomeFailed, RemoteCancelled, RemoteTimeout, Unreachable
from opsrunner.launch import KILL_FATES, Launch
from opsrunner.remote import Capture, Command, Completed, OnOutput, Stream

#: Bytes of login noise looked through for the marker; older ones are let go.
NOISE_LIMIT = 65_536
# What sudo, su and doas say of a password that is wrong, and of one that they were not given.
_WRONG = re.compile(r"incorrect password|authentication failure|try again", re.IGNORECASE)
_MISSING = re.compile(r"password is required|authori[sz]ation required|authentication required", re.IGNORECASE)
# Compiled once and matched behind the nonce: an expression per command would cost more than the rest.
_MARKER = re.compile(rb" ([osi]) (\d+)\n")


class End(Struct, frozen=True):
    """How the process ended: a status, or the signal's name without SIG."""

    rc: int
    signal: str | None = None


def signal_end(name: str) -> End:
    """The end of a command that died of the signal ``name`` (``TERM``): rc is 128 + its number."""
    number = getattr(signals, f"SIG{name}", None)
    return End(128 + (number.value if number is not None else 0), name)


class Dialogue:
    """The talk with one command, from launch to end."""

    def __init__(
        self,
        launch: Launch,
        command: Command,
        started: datetime.datetime,
        on_output: OnOutput | None = None,
        *,
        quiet: bool = False,
    ) -> None:
        """``quiet``: the command does not say who it is, although the launch would have it say so."""
        self._launch = launch
        self._command = command
        self._on_output = on_output
        self._started = started
        self._began = time.monotonic()
        self._captured = {"stdout": Capture(command.output_limit), "stderr": Capture(command.output_limit)}
        self._become = command.become
        #: Bytes of a stream still before its marker; None once it has been seen.
        self._noise: dict[Stream, bytearray | None] = {
            "stdout": bytearray() if launch.marked and not quiet else None,
            "stderr": bytearray() if command.become is not None else None,
        }
        self._nonce = launch.nonce.encode()
        #: Process groups to signal, outermost first.
        self.groups: list[int] = []
        #: The become program is done with stdin: what is written now is the command's.
        self._ready = command.become is None
        self._prompts = 0
        self._password_sent = False
        self._payload: bytes | None = launch.input

    @property
    def started(self) -> bool:
        """The command itself has begun."""
        return self._noise["stdout"] is None

    @property
    def refused(self) -> bool:
        """A password was asked for that we do not have, or ours was not taken: stdin must be closed."""
        if self._ready or self._become is None:
            return False
        return self._prompts > (0 if self._become.password is None else 1)

    @property
    def size(self) -> int:
        """Bytes of output so far."""
        return sum(capture.size for capture in self._captured.values())

    def feed(self, stream: Stream, data: bytes) -> None:
        """Take bytes that arrived."""
        noise = self._noise[stream]
        if noise is not None:
            noise += data
            data = self._past_marker(stream, noise)
        if data:
            self._captured[stream].add(data)
            if self._on_output is not None:
                self._on_output(stream, data)

    def _past_marker(self, stream: Stream, noise: bytearray) -> bytes:
        """What follows the marker, if it has been found; notes prompts and process groups on the way."""
        if stream == "stderr":
            _, marker, rest = bytes(noise).partition(self._nonce + b" e\n")
            if marker:
                self._noise["stderr"] = None
                return rest
            self._look_for_prompt(noise)
            return self._trim(noise)
        while found := self._next_marker(noise):
            kind, group, end = found
            if group not in self.groups:
                self.groups.append(group)
            self._ready = self._ready or kind != b"o"
            rest = bytes(noise[end:])
            if kind == b"i":
                self._noise["stdout"] = None
                return rest
            noise[:] = rest
        self._look_for_prompt(noise)
        return self._trim(noise)

    @staticmethod
    def _trim(noise: bytearray) -> bytes:
        if len(noise) > 2 * NOISE_LIMIT:
            del noise[:-NOISE_LIMIT]
        return b""

    def _next_marker(self, noise: bytearray) -> tuple[bytes, int, int] | None:
        """Kind, process group and end of the first whole marker line."""
        start = noise.find(self._nonce)
        while start >= 0:
            if found := _MARKER.match(noise, start + len(self._nonce)):
                return bytes(found[1]), int(found[2]), found.end()
            start = noise.find(self._nonce, start + 1)
        return None

    def _look_for_prompt(self, noise: bytearray) -> None:
        if self._become is None:
            return
        if self._become.method == "sudo":
            pieces = noise.count(self._launch.prompt)
            if pieces:
                self._prompts += pieces
                noise[:] = noise.replace(self._launch.prompt, b"")
        elif self._become.method == "su":
            # su's prompt is translated, so it is known by its shape: a colon and no end of line.
            # Its complaints begin with its name, which may arrive on its own.
            last = bytes(noise.rpartition(b"\n")[2]).strip()
            if last.endswith((b":", "：".encode())) and last != b"su:":
                self._prompts += 1
                noise += b"\n"

    def next_input(self) -> bytes | None:
        """Bytes to write now: b"" when there are none yet, None when stdin is to be closed."""
        if self.refused or self._payload is None:
            return None
        if self._become is not None and not self._ready:
            if self._become.password is None and not self._payload:
                return None
            if self._prompts and not self._password_sent and self._become.password is not None:
                self._password_sent = True
                return self._become.password.encode() + b"\n"
            return b""
        payload, self._payload = self._payload, None
        return payload or None

    def completed(self, host: str, end: End) -> Completed:
        """The result, now that the process has ended with ``end`` and nothing more will come.

        Raises BecomeFailed or Unreachable when the command itself never began.
        """
        if not self.started:
            raise self._not_started(host, end)
        self._let_go_of_noise()
        # The node's clock may be set while the command runs.
        ended = self._started + datetime.timedelta(seconds=time.monotonic() - self._began)
        stdout, stderr = self._captured["stdout"], self._captured["stderr"]
        return Completed(
            end.rc, stdout.value(), stderr.value(), self._started, ended, stdout.size, stderr.size, signal=end.signal
        )

    def _let_go_of_noise(self) -> None:
        """Stderr without its marker (closed by the command's first act) is the command's own."""
        noise = self._noise["stderr"]
        self._noise["stderr"] = None
        if noise:
            self.feed("stderr", bytes(noise))

    def _not_started(self, host: str, end: End) -> Unreachable | BecomeFailed:
        said = self.said_before_start()
        if self._become is None or self._ready or not self.groups:
            return Unreachable(
                "the login shell did not run the command",
                host=host,
                why=said or f"it ended with rc {end.rc} and said nothing",
                remedy="check the user's shell in /etc/passwd, and its start-up files",
            )
        become = self._become
        given = become.password is not None
        if given and self._prompts and (self._prompts > 1 or _WRONG.search(said)):
            what = f"incorrect {become.method} password for becoming {become.user}"
            remedy = "set ansible_become_password to the right one"
        elif (self._prompts and not given) or _MISSING.search(said):
            what = f"missing {become.method} password for becoming {become.user}"
            remedy = "set ansible_become_password, or let the host allow it without one"
        else:
            what = f"{become.method} would not become {become.user}"
            remedy = f"try it by hand on the host: {become.method} … {become.user}"
        if become.method == "doas" and become.password is not None:
            remedy = "doas takes a password from a terminal only: permit nopass in doas.conf, or use sudo"
        return BecomeFailed(what, host=host, why=said or f"it ended with rc {end.rc}", remedy=remedy)

    def said_before_start(self) -> str:
        """What the login shell and the become program said, one line."""
        heard = [bytes(noise) for name in ("stderr", "stdout") if (noise := self._noise[name])]
        if not heard or self._become is None:
            heard += [capture.value() for capture in self._captured.values()]
        text = b"\n".join(heard).decode(errors="replace")
        return "; ".join(line.strip() for line in text.splitlines() if line.strip())[:500]

    def output(self) -> tuple[bytes, bytes]:
        """Stdout and stderr as far as they came."""
        return self._captured["stdout"].value(), self._captured["stderr"].value()

    def broken_off(self, host: str, *, cancelled: bool, fate: str) -> RemoteTimeout:
        """The error for a command that was ended by us; ``fate`` is what became of it."""
        stdout, stderr = self.output()
        if cancelled:
            return RemoteCancelled("cancelled", host=host, fate=fate, stdout=stdout, stderr=stderr)
        what = f"timed out after {self._command.timeout or 0:g} s"
        return RemoteTimeout(what, host=host, fate=fate, stdout=stdout, stderr=stderr)

    def fate(self, answer: str) -> str:
        """``killed``, ``ended by itself``, or that it could not be killed and what its pid is."""
        known = " ".join(str(group) for group in self.groups) or "unknown"
        return KILL_FATES.get(answer.strip(), f"could not be killed (pid {known})")
