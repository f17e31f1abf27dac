"""The last thing before a command: the gate that lets a host × step send, and the remote behind it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from opsrunner import executor
from opsrunner.engine.context import RunContext
from opsrunner.engine.guard import Guard, attempt_name
from opsrunner.engine.guard import wanted as guard_wanted
from opsrunner.errors import InputError
from opsrunner.executor import Fenced, Stopped
from opsrunner.ledger import keys
from opsrunner.ledger.client import patiently
from opsrunner.ledger.records import Outcome
from opsrunner.ledger.transitions import Budget, Start
from opsrunner.modules.contract import ModuleFailure
from opsrunner.plan.model import Step
from opsrunner.remote import Become, Command, Completed, OnOutput, Remote, WrappedRemote
from opsrunner.templating import Scope, TemplateFailure

if TYPE_CHECKING:
    from opsrunner.engine.carry import Bench, Task

#: Seconds between two looks at a lease that has lapsed.
LEASE_LOOK = 0.1
#: Seconds between two attempts to get a slot of a budget that is used up, at first and at most.
SLOT_FIRST, SLOT_MOST = 0.02, 0.25


class Leaving(Stopped):
    """The worker was told to stop before the command was sent."""


class Gate:
    """Lets a host × step send: its start is stored first, and the claim must still be ours every time."""

    def __init__(
        self, bench: Bench, task: Task, step: Step, host: str, scope: Scope, stop: threading.Event, attempt: int
    ) -> None:
        self._bench = bench
        self._task = task
        self._step = step
        self._host = host
        self._scope = scope
        self._stop = stop
        self._attempt = attempt
        self._guard: Guard | None = None
        self._lock = threading.Lock()
        self._open = False
        self.output_limit = bench.output_limit

    def fenced(self, inner: Remote, target_scope: Scope) -> Remote:
        """The host as the step may use it: behind this gate, and guarded where that is wanted."""
        fenced = FencedRemote(inner, self)
        if not guard_wanted(self._step, self._scope, target_scope, self._task.context.templar):
            return fenced
        if self._guard is None:
            self._guard = Guard(self.attempt(), patience=self._patience())
        return self._guard.around(fenced)

    def _patience(self) -> float:
        """Seconds that a host which went away may take to come back: a job may take its time."""
        try:
            job = executor.async_seconds(self._step, self._scope, self._task.context.templar)
        except (TemplateFailure, ModuleFailure):
            job = 0  # known at the items of a loop only
        return max(self._bench.guard_patience, job)

    def attempt(self) -> str:
        """The name of this try."""
        return attempt_name(self._task.context.run_id, self._step.number, self._host, self._attempt)

    @property
    def guarded(self) -> bool:
        """Whether some command of the step leaves an attempt on its host."""
        return self._guard is not None

    def tidy(self, outcome: Outcome) -> None:
        """The outcome is stored: the host need not remember it any more, unless nobody knows what came of it."""
        if self._guard is None or not self._open or outcome.status == "lost":
            return
        if self._guard.tidy():
            patiently(lambda: self._bench.store.unguard(self._task.context.run_id, self._step.number, self._host))

    def enter(self, connect: Callable[[], None]) -> None:
        """Raise Fenced or Stopped unless a command may be sent now."""
        with self._lock:
            while not self._bench.lease_stands():
                # Redis is away, or we were paused: nothing is sent until the lease is ours again, and
                # then the ledger is asked anew whether the claim still is.
                self._open = False
                time.sleep(LEASE_LOOK)
            if self._open:
                return
            if self._bench.is_leaving():
                raise Leaving
            # A host that cannot be reached has been sent nothing: connect before the start is stored.
            connect()
            self._start()
            self._open = True

    def _start(self) -> None:
        """Store the start, as soon as the budgets have room for it."""
        task, bench = self._task, self._bench
        context = task.context
        budgets = self._budgets()
        delay = SLOT_FIRST
        while True:
            start = Start(
                context.run_id,
                self._step.number,
                self._host,
                task.token,
                bench.boot,
                bench.name,
                context.known,
                guarded=self.guarded,
                budgets=budgets,
            )
            answer, sequence = bench.writer.call(start.arguments())
            if answer != b"full":
                break
            if self._stop.wait(delay):
                raise Stopped
            if bench.is_leaving():
                raise Leaving
            delay = min(SLOT_MOST, 2 * delay)
        if answer == b"stop":
            raise Stopped
        if answer != b"go":
            raise Fenced
        context.learn(int(sequence))

    def _budgets(self) -> tuple[Budget, ...]:
        """How many host-steps may be at work at once: in the run, at this step, in the zone."""
        context, step = self._task.context, self._step
        forks, throttle = context.plan.options.forks, throttle_of(context, step, self._scope)
        found = []
        if forks:
            found.append(Budget(keys.run_slots(context.run_id), forks))
        if throttle:
            found.append(Budget(keys.step_slots(context.run_id, step.number), throttle))
        if self._bench.zone_forks:
            zone = context.zone_of.get(self._host, "default")
            found.append(Budget(keys.zone_slots(zone), self._bench.zone_forks))
        return tuple(found)


def throttle_of(context: RunContext, step: Step, scope: Scope) -> int:
    """Hosts that may be at that step at once, 0 for no limit."""
    if step.throttle is None:
        return 0
    rendered = context.templar.render(step.throttle, scope)
    try:
        return max(0, int(rendered or 0))
    except (TypeError, ValueError):
        raise InputError(f"throttle takes a whole number, not {rendered!r}") from None


class FencedRemote(WrappedRemote):
    """A Remote behind a gate."""

    def __init__(self, inner: Remote, gate: Gate) -> None:
        super().__init__(inner)
        self._gate = gate

    def exec(
        self, command: Command, *, on_output: OnOutput | None = None, stop: threading.Event | None = None
    ) -> Completed:
        self._gate.enter(self._inner.connect)
        if command.output_limit != self._gate.output_limit:
            command = replace(command, output_limit=self._gate.output_limit)
        return self._inner.exec(command, on_output=on_output, stop=stop)

    def put(
        self,
        data: bytes,
        path: str,
        *,
        mode: int = 0o600,
        become: Become | None = None,
        timeout: float | None = None,
    ) -> None:
        self._gate.enter(self._inner.connect)
        self._inner.put(data, path, mode=mode, become=become, timeout=timeout)

    def get(self, path: str, *, become: Become | None = None, timeout: float | None = None) -> bytes:
        self._gate.enter(self._inner.connect)
        return self._inner.get(path, become=become, timeout=timeout)
