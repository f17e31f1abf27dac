"""The worker itself as a host (``ansible_connection: local``): the same promises without a wire."""

from __future__ import annotations

import datetime
import os
import secrets
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import IO

from opsrunner import transfer
from opsrunner.dialogue import Dialogue, End, signal_end
from opsrunner.errors import RemoteCancelled, Unreachable
from opsrunner.launch import kill_line, prepare
from opsrunner.remote import NOT_STARTED, Become, Command, Completed, OnOutput, Stream

#: Seconds a process group has between TERM and KILL.
GRACE = 10.0
#: Seconds of silence waited for on a pipe that a background child holds open after the command.
LINGER = 2.0
_CHUNK = 65_536
#: How often ``stop``, the deadline and a vanished process are looked for, in seconds.
_TICK = 0.1


class LocalRemote:
    """A :class:`~opsrunner.remote.Remote` that runs commands here, as the worker's own user.

    ``grace`` is the seconds between TERM and KILL. Thread-safe: it keeps nothing between commands.
    """

    def __init__(
        self,
        host: str,
        *,
        grace: float = GRACE,
        monotonic: Callable[[], float] = time.monotonic,
        make_nonce: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self.host = host
        self.is_local = True
        self._grace = grace
        self._monotonic = monotonic
        self._make_nonce = make_nonce

    def connect(self) -> None:
        """Nothing to do: we are here."""

    def reset(self) -> None:
        """Nothing to do: there is no connection."""

    def exec(
        self, command: Command, *, on_output: OnOutput | None = None, stop: threading.Event | None = None
    ) -> Completed:
        """Run one command to its end; see :class:`~opsrunner.remote.Remote`. ``raw`` is run by /bin/sh."""
        if stop is not None and stop.is_set():
            raise RemoteCancelled("cancelled", host=self.host, fate=NOT_STARTED)
        launch = prepare(command, self._make_nonce())
        dialogue = Dialogue(launch, command, datetime.datetime.now(datetime.UTC), on_output)
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", launch.line],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise Unreachable("cannot start a process", host=self.host, why=str(error)) from None
        with _Pipes(process, dialogue) as pipes:
            broken_off = self._follow(pipes, dialogue, command, stop)
            if broken_off:
                fate = self._end(process, pipes, dialogue, command)
                raise dialogue.broken_off(self.host, cancelled=broken_off == "cancelled", fate=fate)
        return dialogue.completed(self.host, _end_of(process.returncode))

    def _follow(self, pipes: _Pipes, dialogue: Dialogue, command: Command, stop: threading.Event | None) -> str | None:
        """Move bytes until the command has ended (None), or ``cancelled`` or ``timed out``."""
        deadline = None if command.timeout is None else self._monotonic() + command.timeout
        while not pipes.finished(self._monotonic()):
            if stop is not None and stop.is_set():
                return "cancelled"
            if deadline is not None and self._monotonic() >= deadline:
                return "timed out"
            pipes.move(_TICK, self._monotonic)
        return None

    def _end(self, process: subprocess.Popen[bytes], pipes: _Pipes, dialogue: Dialogue, command: Command) -> str:
        """End the process group, taking what it still says; the words for what became of it."""
        if process.pid not in dialogue.groups:
            dialogue.groups.insert(0, process.pid)
        line = kill_line(tuple(dialogue.groups), grace=self._grace)
        answers: list[bytes] = []

        def kill() -> None:
            # Behind become the processes are somebody else's, so the same somebody must signal them.
            try:
                answers.append(self.exec(Command(line, become=command.become, timeout=self._grace + 15)).stdout)
            except Exception as error:
                answers.append(str(error).encode())

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        while killer.is_alive():
            pipes.move(_TICK, self._monotonic)
            process.poll()
        pipes.move(0, self._monotonic)
        try:
            process.wait(1)  # reaped here, or it would stay a zombie of ours
        except subprocess.TimeoutExpired:
            pass
        return dialogue.fate(answers[0].decode(errors="replace"))

    def put(
        self,
        data: bytes,
        path: str,
        *,
        mode: int = 0o600,
        become: Become | None = None,
        timeout: float | None = None,
    ) -> None:
        """Create or replace a file; see :func:`opsrunner.transfer.put`."""
        nonce = self._make_nonce()
        transfer.put(self.exec, self.host, data, path, nonce=nonce, mode=mode, become=become, timeout=timeout)

    def get(self, path: str, *, become: Become | None = None, timeout: float | None = None) -> bytes:
        """The content of a file; see :func:`opsrunner.transfer.get`."""
        return transfer.get(self.exec, path, become=become, timeout=timeout)


def _end_of(returncode: int | None) -> End:
    if returncode is None or returncode >= 0:
        return End(returncode or 0)
    try:
        return signal_end(signal.Signals(-returncode).name.removeprefix("SIG"))
    except ValueError:  # a real-time signal has no name
        return End(128 - returncode, str(-returncode))


class _Pipes:
    """A process's three pipes, moved without blocking by one thread."""

    def __init__(self, process: subprocess.Popen[bytes], dialogue: Dialogue) -> None:
        assert process.stdin and process.stdout and process.stderr
        self._process = process
        self._dialogue = dialogue
        self._stdin: IO[bytes] = process.stdin
        self._selector = selectors.DefaultSelector()
        self._names: dict[int, Stream] = {process.stdout.fileno(): "stdout", process.stderr.fileno(): "stderr"}
        self._unsent = memoryview(b"")
        self._quiet_since: float | None = None
        for pipe in (process.stdin, process.stdout, process.stderr):
            os.set_blocking(pipe.fileno(), False)
        for number in self._names:
            self._selector.register(number, selectors.EVENT_READ)

    def __enter__(self) -> _Pipes:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def finished(self, now: float) -> bool:
        """The process has ended and its pipes are closed, or have been silent for long enough."""
        if self._process.poll() is None:
            return False
        if self._quiet_since is None:
            self._quiet_since = now
        return not self._names or now - self._quiet_since > LINGER

    def move(self, wait: float, monotonic: Callable[[], float]) -> None:
        """Write what may be written and read what is there, waiting up to ``wait`` seconds for either."""
        self._prepare_input()
        if not self._selector.get_map():
            # Nothing left to read or write: only the end of the process is awaited.
            try:
                self._process.wait(wait)
            except subprocess.TimeoutExpired:
                pass
            return
        for key, _ in self._selector.select(wait):
            if key.fd in self._names:
                self._read(key.fd, monotonic)
            else:
                self._write()

    def _prepare_input(self) -> None:
        while not self._stdin.closed and not self._unsent:
            data = self._dialogue.next_input()
            if data == b"":
                return
            if data is None:
                self._close_stdin()
                return
            self._unsent = memoryview(data)
            self._selector.register(self._stdin.fileno(), selectors.EVENT_WRITE)

    def _write(self) -> None:
        try:
            sent = os.write(self._stdin.fileno(), self._unsent[:_CHUNK])
        except BlockingIOError:
            return
        except OSError:  # the command takes no more input, which is its right
            self._unsent = memoryview(b"")
            self._selector.unregister(self._stdin.fileno())
            self._close_stdin()
            return
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            self._selector.unregister(self._stdin.fileno())

    def _close_stdin(self) -> None:
        self._stdin.close()

    def _read(self, number: int, monotonic: Callable[[], float]) -> None:
        try:
            data = os.read(number, _CHUNK)
        except BlockingIOError:
            return
        if data:
            self._dialogue.feed(self._names[number], data)
            if self._quiet_since is not None:
                self._quiet_since = monotonic()
        else:
            self._selector.unregister(number)
            del self._names[number]
