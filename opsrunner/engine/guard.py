"""Guarded steps: commands that can be asked for again, as the host itself runs each at most once.

Why asking again gives the right answer: a module that is run again with the same arguments asks for
the same commands in the same order, as long as the answers are the same; and they are, since every
command that had begun gives its first answer (:mod:`opsrunner.attempt`). So the n-th command of a step
finds the n-th directory, and the first one without a directory is where the step goes on. A command
that turns out to be another one than the one that was begun (a template with a clock or a die in it)
is not run, and its fate is unknown.
"""

from __future__ import annotations

import datetime
import hashlib
import itertools
import re
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from opsrunner import modules
from opsrunner.attempt import cleanup_line, place
from opsrunner.errors import ConnectionLost, RemoteError, RemoteTimeout, Unreachable
from opsrunner.executor import Fenced, Stopped, flag
from opsrunner.modules.contract import ModuleFailure
from opsrunner.plan.model import Step
from opsrunner.remote import (
    GUARD_REFUSED_MESSAGE,
    GUARD_REFUSED_RC,
    GUARD_UNKNOWN_MESSAGE,
    GUARD_UNKNOWN_RC,
    NOT_STARTED,
    Become,
    Command,
    Completed,
    OnOutput,
    Remote,
    Stream,
    WrappedRemote,
)
from opsrunner.templating import Scope, Templar

Answer = TypeVar("Answer")

#: Seconds that a host which went away may take to come back, where nothing else is said.
PATIENCE = 60.0
#: Seconds between two tries to reach it: the first pause, and the longest.
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
#: Seconds that removing the directories may take.
TIDY_TIMEOUT = 30.0


def wanted(step: Step, scope: Scope, target_scope: Scope, templar: Templar) -> bool:
    """Whether the step's commands are guarded: the keyword says so, else the target's ``opsrunner_guard``.

    What only looks may be run again anyway, and raw text is sent as it is. A job always is: it outlives the link, and
    whoever began it. Raises TemplateFailure.
    """
    spec = modules.get(step.module).SPEC
    if spec.local or spec.reads_only or step.module == "raw":
        return False
    if step.async_val not in (None, 0):
        return True
    if step.guard is not None:
        return flag(step.guard, scope, templar)
    return flag(target_scope.get("opsrunner_guard"), target_scope, templar)


def attempt_name(run_id: str, step: int, host: str, attempt: int) -> str:
    """The name under which one host × step is tried, the same for whoever tries it.

    It tells inventory hosts apart: several may be one machine, or delegate to one.
    """
    told_apart = hashlib.sha256(host.encode()).hexdigest()[:8]
    readable = re.sub(r"[^A-Za-z0-9-]", "_", host)[:40]
    return f"{run_id}.{step}.{attempt}.{readable}-{told_apart}"


class Guard:
    """One attempt at one host × step: all its commands, whichever machine they go to, are counted as one row."""

    def __init__(
        self,
        attempt: str,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        *,
        patience: float = PATIENCE,
        begun: bool = False,
    ) -> None:
        """``patience``: seconds that a host which went away may take to come back.

        ``begun``: somebody else may have sent commands of this attempt. So a host that cannot be reached at once is
        one that went away: nobody knows what it has done.
        """
        self.attempt = attempt
        self.begun = begun
        self.patience = patience
        self.monotonic = monotonic
        self.sleep = sleep
        self._numbers = itertools.count()
        self._used: dict[tuple[Remote, Become | None], None] = {}
        #: Some command's fate is not known: the directories are kept, for whoever asks next.
        self.unsettled = False

    def around(self, inner: Remote) -> GuardedRemote:
        """The host with this guard before it. ``inner`` must be fenced: whoever lost the claim must not ask."""
        return GuardedRemote(inner, self)

    def next_name(self, inner: Remote, become: Become | None) -> str:
        """The name of the next command, which goes to ``inner`` as ``become``."""
        self._used[inner, become] = None
        return f"{self.attempt}.{next(self._numbers)}"

    def tidy(self) -> bool:
        """Remove the directories from the hosts; whether they are gone. Call it when the outcome is stored.

        It never raises for a host, and does nothing while some command's fate is not known.
        """
        if self.unsettled:
            return False
        for inner, become in list(self._used):
            try:
                inner.exec(Command(cleanup_line(self.attempt), become=become, timeout=TIDY_TIMEOUT))
            except (RemoteError, Fenced, Stopped):
                continue  # the end of the run removes them
            del self._used[inner, become]
        return not self._used


class _Outage(Struct, frozen=True):
    """A host that went away: how it was noticed, until when it is waited for, and the next pause in seconds."""

    lost: ConnectionLost
    deadline: float
    pause: float = FIRST_PAUSE


class GuardedRemote(WrappedRemote):
    """A Remote whose commands are guarded, and which asks again by itself when the link is lost."""

    def __init__(self, inner: Remote, guard: Guard) -> None:
        super().__init__(inner)
        self._guard = guard

    def exec(
        self, command: Command, *, on_output: OnOutput | None = None, stop: threading.Event | None = None
    ) -> Completed:
        """Run the command at most once; see :class:`~opsrunner.remote.Remote`.

        Raises ConnectionLost when nobody knows how it ended, or the host does not come back within
        the guard's patience, and ModuleFailure when the host cannot guard: then nothing was run. Its
        deadline counts from the first time it was asked for.
        """
        if command.raw:
            return self._inner.exec(command, on_output=on_output, stop=stop)
        name = self._guard.next_name(self._inner, command.become)
        told = _ToldOnce(on_output) if on_output is not None else None
        began, began_at = datetime.datetime.now(datetime.UTC), self._guard.monotonic()

        def ask(again: bool) -> Completed:
            timeout = command.timeout
            if again and timeout is not None:
                timeout = max(1.0, timeout - (self._guard.monotonic() - began_at))
            if told is not None:
                told.from_the_start()
            return self._inner.exec(replace(command, guard=name, timeout=timeout), on_output=told, stop=stop)

        completed = self._until_answered(ask, stop, place(name))
        return replace(self._judged(completed), started=began)

    def put(
        self,
        data: bytes,
        path: str,
        *,
        mode: int = 0o600,
        become: Become | None = None,
        timeout: float | None = None,
    ) -> None:
        """Doing it twice does no harm, so it needs no directory."""
        self._until_answered(
            lambda again: self._inner.put(data, path, mode=mode, become=become, timeout=timeout), None, path
        )

    def get(self, path: str, *, become: Become | None = None, timeout: float | None = None) -> bytes:
        return self._until_answered(lambda again: self._inner.get(path, become=become, timeout=timeout), None, path)

    def _until_answered(self, ask: Callable[[bool], Answer], stop: threading.Event | None, where: str) -> Answer:
        """What ``ask`` gives, asked again while the link is down. ``where`` is what an operator would look at."""
        guard = self._guard
        outage: _Outage | None = None
        while True:
            asked_at = guard.monotonic()
            try:
                return ask(outage is not None)
            except (RemoteError, Stopped) as error:
                if isinstance(error, Unreachable) and outage is None and guard.begun:
                    error = ConnectionLost(error.what, host=self.host, why=error.why)
                if outage is None and not isinstance(error, ConnectionLost):
                    raise  # nothing was sent, or we ended it ourselves
                if isinstance(error, RemoteTimeout) and error.fate != NOT_STARTED:
                    raise
                now = guard.monotonic()
                if isinstance(error, ConnectionLost):
                    # A host that was back for a while has gone away anew.
                    anew = outage is None or now - asked_at > LONGEST_PAUSE
                    outage = (
                        _Outage(error, now + guard.patience) if anew or outage is None else replace(outage, lost=error)
                    )
                assert outage is not None
                cancelled = isinstance(error, (Stopped, RemoteTimeout)) or (stop is not None and stop.is_set())
            if cancelled or now >= outage.deadline:
                guard.unsettled = True
                raise self._gave_up(outage.lost, where)
            outage = self._wait(outage, now, stop)

    def _wait(self, outage: _Outage, now: float, stop: threading.Event | None) -> _Outage:
        """Pause before the next try, and longer before the one after it."""
        seconds = min(outage.pause, outage.deadline - now)
        if stop is not None:
            stop.wait(seconds)
        else:
            self._guard.sleep(seconds)
        return replace(outage, pause=min(LONGEST_PAUSE, 2 * outage.pause))

    def _gave_up(self, lost: ConnectionLost, where: str) -> ConnectionLost:
        return ConnectionLost(
            "the connection was lost, and the host could not be asked how the command ended",
            host=self.host,
            why=lost.why or lost.what,
            remedy=f"resume the run when the host is back, and it is asked; what it knows is in {where}",
            stdout=lost.stdout,
            stderr=lost.stderr,
        )

    def _judged(self, completed: Completed) -> Completed:
        """The completion, unless it is the guard's own. Raises ConnectionLost and ModuleFailure."""
        if completed.rc == GUARD_REFUSED_RC and (said := _last_words(completed, GUARD_REFUSED_MESSAGE)):
            raise ModuleFailure(said)
        if completed.rc == GUARD_UNKNOWN_RC and (said := _last_words(completed, GUARD_UNKNOWN_MESSAGE)):
            self._guard.unsettled = True
            raise ConnectionLost(
                "the command was begun, and nobody knows how it ended",
                host=self.host,
                why=said.partition(": ")[2].partition(": ")[2],
                stdout=completed.stdout,
                stderr=completed.stderr.rpartition(GUARD_UNKNOWN_MESSAGE.encode())[0],
            )
        return completed


def _last_words(completed: Completed, message: str) -> str | None:
    """The end of stderr from ``message`` on, when that is one whole line; the command may not have ended its own."""
    at = completed.stderr.rfind(message.encode())
    said = completed.stderr[at:].decode(errors="replace") if at >= 0 else ""
    return said.rstrip("\n") if said.count("\n") == 1 and said.endswith("\n") else None


class _ToldOnce:
    """Passes output on, each byte once, however often it is told from the start."""

    def __init__(self, on_output: OnOutput) -> None:
        self._on_output = on_output
        self._told: dict[Stream, int] = {"stdout": 0, "stderr": 0}
        self._position: dict[Stream, int] = {"stdout": 0, "stderr": 0}

    def from_the_start(self) -> None:
        """Output begins anew."""
        self._position = {"stdout": 0, "stderr": 0}

    def __call__(self, stream: Stream, data: bytes) -> None:
        known = max(0, self._told[stream] - self._position[stream])
        self._position[stream] += len(data)
        self._told[stream] = max(self._told[stream], self._position[stream])
        if data[known:]:
            self._on_output(stream, data[known:])
