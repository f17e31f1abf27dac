"""Runs one of the operator's programs on this machine for what it prints, bounded in time and in memory."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from msgspec import Struct

from opsrunner.errors import InputError

#: Bytes that a program may print; twenty thousand hosts with a page of variables each are less.
MAX_BYTES = 64 * 1024 * 1024
#: Bytes kept of what it writes to stderr: the last ones.
_KEPT = 64 * 1024
#: Lines of that, and characters of each, that messages show.
_LINES, _WIDTH = 5, 300
#: Seconds from TERM to KILL, and between two looks meanwhile.
_PATIENCE, _LOOK = 1.0, 0.02


class Printed(Struct, frozen=True):
    """What a program has printed that ended well; ``complaints`` are the last lines of its stderr on one line."""

    output: bytes
    complaints: str


def run(words: Sequence[str], shown: str, *, directory: Path, timeout: float) -> Printed:
    """Run a program in ``directory`` with our environment and without a terminal or any input.

    No shell is involved. ``shown`` is what errors call it, ``timeout`` is in seconds. Raises InputError
    when it cannot be started, ends badly, prints too much, or is not done in time; what it has started
    in its process group is killed then.
    """
    try:
        # A session of its own: it cannot ask anybody, and what it starts can be ended with it.
        process = subprocess.Popen(
            words,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise _not_started(words[0], directory, shown, error) from None
    with process:
        run = _Run(process, shown, time.monotonic() + timeout, timeout)
        try:
            run.read()
        except BaseException:
            run.kill()
            raise
    if process.returncode:
        raise run.ended_badly()
    return Printed(bytes(run.output), run.complaints())


class _Run:
    """A program under way, and what it has printed so far."""

    def __init__(self, process: subprocess.Popen[bytes], shown: str, deadline: float, timeout: float) -> None:
        self.process = process
        self.shown = shown
        self.deadline = deadline
        self.timeout = timeout
        self.output = bytearray()
        self.errors = bytearray()

    def read(self) -> None:
        """Read until both of its streams are closed and it has ended. Raises InputError."""
        with selectors.DefaultSelector() as selector:
            for stream in (self.process.stdout, self.process.stderr):
                assert stream is not None
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select(self._left()):
                    if not self._take(key.fd, key.fileobj is self.process.stderr):
                        selector.unregister(key.fd)
        while not self._has_ended():
            time.sleep(min(_LOOK, self._left()))

    def _left(self) -> float:
        left = self.deadline - time.monotonic()
        return left if left > 0 else self._late()

    def _take(self, descriptor: int, is_stderr: bool) -> bool:
        """Take what has come in; False at the stream's end."""
        data = os.read(descriptor, 65536)
        if is_stderr:
            self.errors += data
            del self.errors[:-_KEPT]
            return bool(data)
        self.output += data
        if len(self.output) > MAX_BYTES:
            raise InputError(f"{self.shown} prints more than {MAX_BYTES // 1024 // 1024} MiB", remedy="print less")
        return bool(data)

    def _late(self) -> NoReturn:
        if self._has_ended():
            raise InputError(
                f"{self.shown} has ended and its output has not, after {self.timeout:g} s",
                why="something that it started in the background keeps it open",
                remedy="start that with >/dev/null 2>&1",
            )
        raise InputError(
            f"{self.shown} was killed: not done after {self.timeout:g} s",
            why=self.complaints() or None,
            remedy="set OPSRUNNER_SCRIPT_TIMEOUT to more seconds; it is run without a terminal and cannot ask",
        )

    def _has_ended(self) -> bool:
        # Without collecting it: until then nobody else gets its number, which is that of its group.
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def kill(self) -> None:
        """End its process group: TERM, and KILL for what is left of it."""
        # Some kernels refuse to signal a group in which nobody lives any more.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGTERM)
            deadline = time.monotonic() + _PATIENCE
            while not self._has_ended() and time.monotonic() < deadline:
                time.sleep(_LOOK)
            os.killpg(self.process.pid, signal.SIGKILL)

    def ended_badly(self) -> InputError:
        """The error for a program that has ended with another status than 0."""
        status = self.process.returncode
        how = f"was ended by {_signal(-status)}" if status < 0 else f"has failed with status {status}"
        return InputError(f"{self.shown} {how}", why=self.complaints() or "it wrote nothing to stderr")

    def complaints(self) -> str:
        """The last lines of its stderr on one line, without what would move a terminal's cursor."""
        lines = [line.strip() for line in self.errors.decode("utf-8", "replace").splitlines()]
        last = [line if len(line) <= _WIDTH else f"{line[:_WIDTH]}…" for line in lines if line][-_LINES:]
        return "".join(sign if sign.isprintable() else "�" for sign in " / ".join(last))


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _not_started(program: str, directory: Path, shown: str, error: Exception) -> InputError:
    if not isinstance(error, OSError):
        return InputError(f"cannot run {shown}", why=str(error))
    if error.filename == str(directory):
        return InputError(f"cannot run {shown} in {directory}", why=error.strerror)
    if isinstance(error, FileNotFoundError) and os.path.exists(program):  # noqa: PTH110 -- a text
        # The kernel names the script where it is the interpreter that it did not find.
        return InputError(f"cannot run {shown}", why="its interpreter is not here", remedy="see its first line, #!…")
    return InputError(f"cannot run {shown}", why=error.strerror)
