"""The narrow seam between a step and a host: run a command, put a file, get a file.

Everything above this file is written against :class:`Remote`; ``ssh/`` and ``local.py`` satisfy it,
and :class:`FakeRemote` stands in where a test wants a host that answers at once.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal, Protocol

from msgspec import Struct, field

from opsrunner.redacted import Redacted

#: Bytes of one stream kept by default: half from its head, half from its tail.
OUTPUT_LIMIT = 4 * 1024 * 1024
#: Bytes below which pieces of a stream are put together: each object costs as much as a few dozen.
SMALL_PIECE = 4096

#: How a command ends that could not enter ``Command.directory``: it was not run, its rc is this and
#: its stderr begins with the message (both, as a command of its own may end with 125).
NO_DIRECTORY_RC = 125
NO_DIRECTORY_MESSAGE = "opsrunner: cannot enter directory"

#: How a guarded command ends that the host would not begin (it was not run), and one that was begun
#: and ended without leaving a rc: nobody knows what came of it. The last line of stderr begins with
#: the message; before it comes what the command said.
GUARD_REFUSED_RC = 125
GUARD_REFUSED_MESSAGE = "opsrunner: the guard did not run the command"
GUARD_UNKNOWN_RC = 125
GUARD_UNKNOWN_MESSAGE = "opsrunner: nobody knows how the command ended"

#: ``RemoteCancelled.fate`` where the command was never sent.
NOT_STARTED = "not started"

Stream = Literal["stdout", "stderr"]
OnOutput = Callable[[Stream, bytes], None]


class Become(Redacted, frozen=True):
    """Run as somebody else. ``password`` is kept out of ``repr`` so that no log can show it."""

    HIDDEN: ClassVar = frozenset(("password",))

    method: Literal["sudo", "su", "doas"] = "sudo"
    user: str = "root"
    flags: str | None = None
    password: str | None = None


class Command(Redacted, frozen=True):
    """What is to be run.

    ``line`` is POSIX sh text, run by ``/bin/sh -c`` in a process group of its own (with
    ``executable`` set, by that shell). With ``raw`` it goes to the login shell as it is: no
    environment, no directory, no process-group marker.
    """

    HIDDEN: ClassVar = frozenset(("stdin", "environment"))

    line: str
    stdin: bytes = b""
    environment: Mapping[str, str] = field(default_factory=dict)
    #: Entered first, a leading ``~`` resolved by the host; where that fails see NO_DIRECTORY_RC.
    directory: str | None = None
    become: Become | None = None
    executable: str | None = None
    raw: bool = False
    #: ``line`` is ``exec`` and the words of one program, no more: where a shell is there already, none is begun for it.
    program: bool = False
    #: Name of the attempt (letters, digits and ``._-``) under which the host runs this at most once: whoever
    #: asks again gets what became of it (:mod:`opsrunner.attempt`). Not together with ``raw``.
    guard: str | None = None
    #: Seconds until the process group is killed and RemoteTimeout raised; None waits for ever.
    timeout: float | None = None
    #: Bytes kept of each stream, see :class:`Capture`.
    output_limit: int = OUTPUT_LIMIT


class Completed(Struct, frozen=True):
    """What came of a command. ``rc`` is 128 + N for a command that died of signal N."""

    rc: int
    stdout: bytes
    stderr: bytes
    #: Aware UTC times on the worker's clock.
    started: datetime.datetime
    ended: datetime.datetime
    #: True sizes in bytes; larger than ``len(stdout)`` where the capture was capped.
    stdout_size: int
    stderr_size: int
    #: Name of the signal without SIG (``TERM``), when one ended the command and the host told its name.
    signal: str | None = None


class Remote(Protocol):
    """A host that a worker can reach.

    Every method raises :class:`~opsrunner.errors.Unreachable` when nothing was sent,
    :class:`~opsrunner.errors.ConnectionLost` when it was and the answer never came,
    :class:`~opsrunner.errors.RemoteTimeout` past the deadline, and
    :class:`~opsrunner.errors.RemoteCancelled` once ``stop`` is set.
    """

    #: The host's inventory name.
    host: str
    #: Whether commands run on the worker's own node.
    is_local: bool

    def exec(
        self,
        command: Command,
        *,
        on_output: OnOutput | None = None,
        stop: threading.Event | None = None,
    ) -> Completed:
        """Run one command to its end; ``on_output`` is called from this thread as bytes arrive."""
        ...

    def put(
        self,
        data: bytes,
        path: str,
        *,
        mode: int = 0o600,
        become: Become | None = None,
        timeout: float | None = None,
    ) -> None:
        """Create or replace ``path`` with ``data``: written beside it, then renamed over it."""
        ...

    def get(self, path: str, *, become: Become | None = None, timeout: float | None = None) -> bytes:
        """The whole content of ``path``; FileNotFoundError or PermissionError as the host says."""
        ...

    def connect(self) -> None:
        """Make sure that a connection is there; raises only Unreachable."""
        ...

    def reset(self) -> None:
        """Give up the connection, if there is one: the next command makes a new one."""
        ...


class WrappedRemote:
    """What classes around another :class:`Remote` share: it stands for the same host, and the same connection."""

    def __init__(self, inner: Remote) -> None:
        self._inner = inner
        self.host = inner.host
        self.is_local = inner.is_local

    def connect(self) -> None:
        self._inner.connect()

    def reset(self) -> None:
        self._inner.reset()


class Capture:
    """Keeps the head and the tail of a stream of bytes and counts all of it."""

    def __init__(self, limit: int = OUTPUT_LIMIT) -> None:
        self._half = max(1, limit // 2)
        #: All of it as it came, as long as all of it is kept: large pieces are not copied.
        self._pieces: list[bytes] = []
        #: Small pieces that came last.
        self._small = bytearray()
        self._head = b""
        self._tail = bytearray()
        self.size = 0

    def add(self, data: bytes) -> None:
        self.size += len(data)
        if self._head:
            self._add_to_tail(data)
        elif self.size > 2 * self._half:
            whole = self._whole() + data
            self._pieces, self._head = [], whole[: self._half]
            self._add_to_tail(whole[self._half :])
        elif len(data) < SMALL_PIECE and len(self._small) < SMALL_PIECE:
            self._small += data
        else:
            self._gather()
            self._pieces.append(data)

    def _add_to_tail(self, data: bytes) -> None:
        self._tail += data
        # Trim rarely: cutting the front of a bytearray on every chunk would be quadratic.
        if len(self._tail) > 2 * self._half:
            del self._tail[: len(self._tail) - self._half]

    def _gather(self) -> None:
        if self._small:
            self._pieces.append(bytes(self._small))
            self._small.clear()

    def _whole(self) -> bytes:
        self._gather()
        if len(self._pieces) > 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0] if self._pieces else b""

    def value(self) -> bytes:
        """All of it, or head, a line that tells how much is missing, and tail."""
        if not self._head:
            return self._whole()
        tail = bytes(self._tail[-self._half :])
        missing = self.size - len(self._head) - len(tail)
        return self._head + f"\n[... {missing} bytes not kept ...]\n".encode() + tail


class FakeRemote:
    """A host that answers at once from a function; for tests and for measuring what is ours.

    ``answer`` maps a :class:`Command` to ``(rc, stdout, stderr)`` or raises. What was asked is in
    ``commands``; ``files`` is what ``put`` wrote and ``get`` reads.
    """

    def __init__(
        self,
        host: str,
        answer: Callable[[Command], tuple[int, bytes, bytes]] = lambda command: (0, b"", b""),
    ) -> None:
        self.host = host
        self.is_local = False
        self.answer = answer
        self.commands: list[Command] = []
        self.files: dict[str, bytes] = {}

    def exec(
        self,
        command: Command,
        *,
        on_output: OnOutput | None = None,
        stop: threading.Event | None = None,
    ) -> Completed:
        self.commands.append(command)
        started = datetime.datetime.now(datetime.UTC)
        rc, stdout, stderr = self.answer(command)
        if on_output and stdout:
            on_output("stdout", stdout)
        if on_output and stderr:
            on_output("stderr", stderr)
        ended = datetime.datetime.now(datetime.UTC)
        return Completed(rc, stdout, stderr, started, ended, len(stdout), len(stderr))

    def put(
        self,
        data: bytes,
        path: str,
        *,
        mode: int = 0o600,
        become: Become | None = None,
        timeout: float | None = None,
    ) -> None:
        self.files[path] = data

    def get(self, path: str, *, become: Become | None = None, timeout: float | None = None) -> bytes:
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path]

    def connect(self) -> None:
        return None

    def reset(self) -> None:
        return None
