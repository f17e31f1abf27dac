"""The one tree of errors.

::

    OpsrunnerError                 exit 1   anything unexpected but known by name
    ├── UsageError                 exit 64  the command line itself is wrong
    ├── InputError                 exit 65  inventory, playbook, schedule, key or file is wrong
    │   └── InputErrors            exit 65  several of them, reported together
    ├── BrokerUnavailable          exit 69  no Redis, wrong password, no embedded server
    ├── NoWorker                   exit 69  a zone that nobody serves
    ├── RunNotFound                exit 65  no run of that id or prefix
    ├── LedgerDamaged              exit 65  a record in Redis that cannot be read
    ├── LedgerLost                 exit 1   Redis is there and knows nothing of a run that is under way
    ├── RunRefused                 exit 65  a task asked for a run that was not started
    ├── RunFailed                  exit 1   a run has ended and not every host came through
    ├── RunInterrupted             exit 99  cancelled, or the operator pressed ^C
    ├── NotificationFailed         exit 1   a message was not taken: a value of that notification, never the run's
    └── RemoteError                         one host's trouble: a value of that host's step, never the run's
        ├── Unreachable                     nothing was sent: safe to try again
        ├── BecomeFailed                    sudo, su or doas refused: the command was not run
        ├── ConnectionLost                  the command was sent and nobody knows what came of it
        ├── RemoteTimeout                   the step's deadline passed and its process group was killed
        └── RemoteCancelled                 an operator cancelled and the process group was killed

Every error says *what* is wrong, *where* (``place``), *why*, and what to do (``remedy``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, overload

#: How like a known name another is that may have been meant by it, from 0 to 1.
_LIKE = 0.65


class Place(NamedTuple):
    """A position in a file; ``line`` and ``column`` count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class OpsrunnerError(Exception):
    """An error an operator is shown without a traceback.

    ``excerpt`` is the offending source line; the command line prints it with a caret under
    ``place.column``.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        place: Place | None = None,
        why: str | None = None,
        remedy: str | None = None,
        excerpt: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.place = place
        self.why = why
        self.remedy = remedy
        self.excerpt = excerpt

    def __str__(self) -> str:
        """One line: place, what and why; the remedy is left to :meth:`lines`."""
        head = f"{self.place}: {self.what}" if self.place else self.what
        return f"{head} ({self.why})" if self.why else head

    def lines(self) -> list[str]:
        """Everything there is to say, a line each, ready for stderr."""
        shown = [f"{self.place}: {self.what}" if self.place else self.what]
        if self.excerpt is not None:
            shown.append(f"    {self.excerpt}")
            if self.place:
                shown.append("    " + " " * (self.place.column - 1) + "^")
        if self.why:
            shown.append(f"  why: {self.why}")
        if self.remedy:
            shown.append(f"  try: {self.remedy}")
        return shown


class UsageError(OpsrunnerError):
    """The command line does not make sense."""

    exit_code = 64


class InputError(OpsrunnerError):
    """A file, a name or a value that was given to us is wrong; no host was touched."""

    exit_code = 65


class InputErrors(InputError):
    """Several faults found in one visit, so that they can be mended in one."""

    def __init__(self, errors: Sequence[InputError]) -> None:
        super().__init__(f"{len(errors)} errors")
        self.errors = tuple(errors)

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)

    def lines(self) -> list[str]:
        return [line for error in self.errors for line in error.lines()]


class BrokerUnavailable(OpsrunnerError):
    """Redis (ledger or broker) cannot be used."""

    exit_code = 69


class NoWorker(OpsrunnerError):
    """Hosts of a zone were targeted and no live worker serves it."""

    exit_code = 69


class RunNotFound(InputError):
    """No run has that id, or several begin with it."""


class LedgerDamaged(InputError):
    """A record in Redis is not what was written there."""


class LedgerLost(OpsrunnerError):
    """A run that was under way is gone from Redis: its memory was lost."""


class RunRefused(InputError):
    """A task ``opsrunner.run_playbook`` started nothing. Made of one text, so that Celery can carry it as JSON."""


class RunFailed(OpsrunnerError):
    """A run has ended, and not every host came through."""

    @classmethod
    def of(cls, run: str, status: str, stats: Mapping[str, Mapping[str, int]], reason: str | None) -> RunFailed:
        """With how many hosts met what, by the counts of the recap."""
        met = {name: sum(bool(counts[name]) for counts in stats.values()) for name in _BAD}
        told = ", ".join(f"{hosts} {_BAD[name]}" for name, hosts in met.items() if hosts) or reason
        return cls(f"run {run} {status}" + (f": {told}" if told else ""))


#: Counts of the recap that are not good, as they are told.
_BAD = {"failures": "failed", "unreachable": "unreachable", "lost": "lost", "cancelled": "cancelled"}


class RunInterrupted(OpsrunnerError):
    """The run was cancelled, or the operator stopped looking at it."""

    exit_code = 99


class NotificationFailed(OpsrunnerError):
    """A message was not taken. ``final``: nor would it be another time; ``wait``: seconds that were asked for."""

    def __init__(self, what: str, *, final: bool = False, wait: float | None = None) -> None:
        super().__init__(what)
        self.final = final
        self.wait = wait


class RemoteError(OpsrunnerError):
    """Something between a worker and one host went wrong."""

    def __init__(
        self,
        what: str,
        *,
        host: str,
        why: str | None = None,
        remedy: str | None = None,
        stdout: bytes = b"",
        stderr: bytes = b"",
    ) -> None:
        super().__init__(what, why=why, remedy=remedy)
        self.host = host
        #: What had arrived before the trouble.
        self.stdout = stdout
        self.stderr = stderr


class Unreachable(RemoteError):
    """The command was not sent: connect, host key, authentication or channel failed."""


class BecomeFailed(RemoteError):
    """sudo, su or doas refused (no password, a wrong one, not allowed): the command was not run."""


class ConnectionLost(RemoteError):
    """The command was sent; whether it ran to its end is unknown. Never retried by itself."""


class RemoteTimeout(RemoteError):
    """The deadline passed. ``fate`` says ``killed``, ``ended`` or ``could not be killed (pid N)``."""

    def __init__(self, what: str, *, host: str, fate: str, stdout: bytes = b"", stderr: bytes = b"") -> None:
        super().__init__(what, host=host, why=fate, stdout=stdout, stderr=stderr)
        self.fate = fate


class RemoteCancelled(RemoteTimeout):
    """An operator cancelled; ``fate`` as in :class:`RemoteTimeout`."""


@overload
def did_you_mean(name: object, known: Iterable[str]) -> str | None: ...


@overload
def did_you_mean(name: object, known: Iterable[str], otherwise: str) -> str: ...


def did_you_mean(name: object, known: Iterable[str], otherwise: str | None = None) -> str | None:
    """A remedy that names what is most like ``name``; ``otherwise`` where nothing is like it."""
    import difflib  # needed by nobody who makes no mistake

    near = difflib.get_close_matches(str(name), list(known), 1, _LIKE)
    return f"did you mean {near[0]}?" if near else otherwise


def raise_all(errors: Iterable[InputError]) -> None:
    """Raise nothing, the one error, or all of them as :class:`InputErrors`.

    Errors that are groups already are flattened and twins are dropped, so that one fault seen
    from two sides is told once.
    """
    flat: dict[str, InputError] = {}
    for error in errors:
        for single in error.errors if isinstance(error, InputErrors) else (error,):
            flat.setdefault(str(single), single)
    if len(flat) == 1:
        raise next(iter(flat.values()))
    if flat:
        raise InputErrors(tuple(flat.values()))
