"""The last thing before a command: the gate that lets a host × step send, and the remote behind it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from opsrunner import executor
from opsrunner.engine.context import RunContext
from opsrunner.engine.guard import Guard, attempt_name
from opsrunner.engine.guard import wanted as guard_wanted
from opsrunner.engine.threads import HostThreads
from opsrunner.errors import InputError
from opsrunner.executor import Fenced, Stopped
from opsrunner.ledger import keys
from opsrunner.ledger.client import patiently
from opsrunner.ledger.records import Outcome
from opsrunner.ledger.transitions import Budget, Start
from opsrunner.modules.contract import ModuleFailure
from opsrunner.plan.model import Step
from opsrunner.remote import Become, Command, Completed, OnOutput, Remote, WrappedRemote
from opsrunner.templating import Scope, TemplateFailure, is_constant

if TYPE_CHECKING:
    from opsrunner.engine.carry import Bench, Task

#: Host-steps of one process that are started ahead at most. With more the ledger is asked more rarely, and more of them
#: are lost with a process that dies.
AHEAD = 64
#: Seconds between two looks at a lease that has lapsed.
LEASE_LOOK = 0.1
#: Seconds between two attempts to get a slot of a budget that is used up, at first and at most.
SLOT_FIRST, SLOT_MOST = 0.02, 0.25


class Ahead:
    """Counts host-steps whose start is handed in before a thread is free to send their commands.

    They have been started, though nothing was sent yet: there may be few, and as many threads for them at once.
    """

    def __init__(self, threads: HostThreads, most: int = AHEAD) -> None:
        self._threads = threads
        self._most = most
        #: No lock: to append and to pop are one step each.
        self._places: list[None] = [None] * most

    def take(self) -> bool:
        """Whether there may be one more, which is counted then."""
        if self._most - len(self._places) >= self._threads.room:
            return False
        try:
            self._places.pop()
        except IndexError:
            return False
        return True

    def give(self) -> None:
        """One is ahead no longer: a thread has it, or nothing was started."""
        self._places.append(None)


class Leaving(Stopped):
    """The worker was told to stop before the command was sent."""


class Gate:
    """Lets a host × step send: its start is stored first, and the claim must still be ours every time."""

    def __init__(
        self,
        bench: Bench,
        task: Task,
        step: Step,
        host: str,
        scope: Scope,
        stop: threading.Event,
        attempt: int,
        *,
        lasting: dict[object, Any] | None = None,
    ) -> None:
        """``lasting``: see :class:`~opsrunner.engine.reaching.Reaching`."""
        self._bench = bench
        self._task = task
        self._step = step
        self._host = host
        self._scope = scope
        self._stop = stop
        self._attempt = attempt
        self._lasting = lasting
        self._guard: Guard | None = None
        self._lock = threading.Lock()
        self._open = False
        self.output_limit = bench.output_limit

    def fenced(self, inner: Remote, target_scope: Scope) -> Remote:
        """The host as the step may use it: behind this gate, and guarded where that is wanted."""
        fenced = FencedRemote(inner, self)
        if not self._guard_wanted(target_scope):
            return fenced
        if self._guard is None:
            run_id, number = self._task.context.run_id, self._step.number
            begun = patiently(lambda: self._bench.store.is_guarded(run_id, number, self._host))
            self._guard = Guard(self.attempt(), patience=self._patience(), begun=begun)
        return self._guard.around(fenced)

    def _guard_wanted(self, target_scope: Scope) -> bool:
        step, templar, lasting = self._step, self._task.context.templar, self._lasting
        if lasting is None or target_scope is not self._scope or not is_constant(step.guard):
            return guard_wanted(step, self._scope, target_scope, templar)
        key = ("guard", step.module, step.guard, step.async_val in (None, 0))
        known: bool | None = lasting.get(key)
        if known is None:
            known = lasting[key] = guard_wanted(step, self._scope, target_scope, templar)
        return known

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

    @property
    def is_limited(self) -> bool:
        """Whether some budget may be used up."""
        return bool(self._task.context.plan.options.forks or self._bench.zone_forks or self._step.throttle is not None)

    def start_ahead(self, answered: Callable[[Any], None]) -> bool:
        """Hand the start in, and go on; False where the lease does not stand. Raises Leaving.

        ``answered`` is told what :meth:`take` is to be given. The host must be connected.
        """
        if self._bench.is_leaving():
            raise Leaving
        if not self._bench.lease_stands():
            return False
        self._bench.writer.hand_in(self._transition(()).arguments(), answered)
        return True

    def take(self, answer: Any) -> None:
        """The ledger's answer to a start. Raises Stopped, Fenced, and redis' error."""
        if isinstance(answer, Exception):
            raise answer
        verdict, sequence = answer
        if verdict == b"stop":
            raise Stopped
        if verdict != b"go":
            raise Fenced
        self._task.context.learn(int(sequence))
        self._open = True

    def _start(self) -> None:
        """Store the start, as soon as the budgets have room for it."""
        budgets = self._budgets()
        delay = SLOT_FIRST
        while True:
            answer = self._bench.writer.call(self._transition(budgets).arguments())
            if answer[0] != b"full":
                break
            if self._stop.wait(delay):
                raise Stopped
            if self._bench.is_leaving():
                raise Leaving
            delay = min(SLOT_MOST, 2 * delay)
        self.take(answer)

    def _transition(self, budgets: tuple[Budget, ...]) -> Start:
        task, bench = self._task, self._bench
        return Start(
            task.context.run_id,
            self._step.number,
            self._host,
            task.token,
            bench.boot,
            bench.name,
            task.context.known,
            guarded=self.guarded,
            budgets=budgets,
        )

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
