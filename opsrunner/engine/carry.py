"""One host through one stage: claim, carry out, record. Runs in a worker's host thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from opsrunner import executor, modules
from opsrunner.engine import stepping
from opsrunner.engine.additions import encode_additions
from opsrunner.engine.context import RunContext
from opsrunner.engine.guard import Guard, attempt_name
from opsrunner.engine.guard import wanted as guard_wanted
from opsrunner.engine.live import LiveOutput
from opsrunner.engine.questions import StepQuestions
from opsrunner.errors import InputError
from opsrunner.executor import Fenced, StepResult, Stopped, Surroundings
from opsrunner.executor.facts import cleared
from opsrunner.ledger import keys
from opsrunner.ledger.client import patiently
from opsrunner.ledger.records import Outcome, Status
from opsrunner.ledger.store import Store, pointer
from opsrunner.ledger.transitions import Budget, Claim, Finish, Start
from opsrunner.ledger.writer import Writer
from opsrunner.modules.contract import ModuleFailure
from opsrunner.plan import flow, steering
from opsrunner.plan.flow import Position
from opsrunner.plan.model import Play, Step
from opsrunner.remote import Become, Command, Completed, OnOutput, Remote
from opsrunner.templating import Scope, TemplateFailure

log = logging.getLogger("opsrunner.worker")

#: Seconds between two looks at a lease that has lapsed.
LEASE_LOOK = 0.1
#: Times a step that may be repeated is sent again after its answer was lost.
REPEATS = 2
#: Seconds between two attempts to get a slot of a budget that is used up, at first and at most.
SLOT_FIRST, SLOT_MOST = 0.02, 0.25


class Leaving(Stopped):
    """The worker was told to stop before the command was sent."""


class Bench(Protocol):
    """What carrying a host needs of its worker process."""

    name: str
    boot: str
    store: Store
    writer: Writer
    step_timeout: float
    output_limit: int
    zone_forks: int | None
    guard_patience: float

    def is_leaving(self) -> bool: ...
    def lease_stands(self) -> bool: ...
    def remote(self, context: RunContext, play: int, step: Step, target: str, scope: Scope) -> Remote: ...
    def now(self) -> float: ...
    def live_output(self, run_id: str, step: int, host: str) -> LiveOutput: ...


@dataclass(frozen=True, slots=True)
class Task:
    """One shard's words: which stage of which run, under which token."""

    context: RunContext
    play: Play
    batch: int
    cursor: str
    token: str
    #: Go on to the host's next step without waiting for other hosts.
    through: bool


def carry(bench: Bench, task: Task, host: str, claim: Claim) -> Status | None:
    """Take one claimed host through the stage; gives its last status, None when it was not ours.

    Its last outcome is stored when this returns.
    """
    status: Status | None = None
    while claim.verdict == "go":
        position = Position.decode(claim.position)
        try:
            status, following = _one_step(bench, task, host, position, claim)
        except (Fenced, Stopped):
            # Whatever the reason, nothing was sent under this claim: it must not stand as long as we live.
            hand_back(bench, task, host, position)
            return status
        if not task.through or following is None or bench.is_leaving():
            return status
        step = task.play.steps[following.next]
        if step.section == "gate":
            return status  # the whole batch meets there
        claim = _claim_next(bench, task, host, step, following)
    return status


def hand_back(bench: Bench, task: Task, host: str, position: Position) -> None:
    """Give back a claim under which nothing was sent; one that is not ours any more, or was started, stays."""
    number = task.play.steps[position.next].number
    patiently(lambda: bench.store.hand_back(task.context.run_id, number, host, task.token))


def _claim_next(bench: Bench, task: Task, host: str, step: Step, position: Position) -> Claim:
    context = task.context
    return patiently(
        lambda: bench.store.claim(
            context.run_id, task.cursor, step.number, position.next, task.token, bench.boot, [host], known=context.known
        )[host]
    )


def _one_step(bench: Bench, task: Task, host: str, position: Position, claim: Claim) -> tuple[Status, Position | None]:
    context, play = task.context, task.play
    step = play.steps[position.next]
    context.values(host, claim.version)
    if task.through:
        context.see_additions()
    scope = context.scope(host, play, step, batch=task.batch)
    live = bench.live_output(context.run_id, step.number, host)
    stop = context.stops.begin(host, step.number)
    gate = Gate(bench, task, step, host, scope, stop, claim.attempt)
    around = Surroundings(
        files=context.files.of(step),
        reach=lambda step, target, target_scope: gate.fenced(
            bench.remote(context, play.number, step, target, target_scope), target_scope
        ),
        scope_of=lambda target: context.scope(target, play, step, batch=task.batch),
        default_timeout=bench.step_timeout,
        stop=stop,
        on_output=live.add,
        options=context.plan.options,
        facts_of=context.latest_facts,
        attempt=gate.attempt,
        questions=_questions(bench, context, step),
        left_out=stepping.is_left_out(bench.store, context, task.cursor),
        inventory=context.inventory,
        problem=context.problem_of_files(host, play, step, batch=task.batch),
    )
    started = bench.now()
    try:
        result = _run_repeatable(step, host, scope, context, around, gate)
    except (Fenced, Stopped):
        raise
    except Exception as error:  # a defect of ours: it must end as this host's failure, not as a host that hangs
        log.exception("step %s on %s", step.name, host)
        message = f"unexpected {type(error).__name__} in opsrunner: the worker's log has the traceback"
        told = {"msg": message, "failed": True, "changed": False}
        result = StepResult("failed", told, full=told)
    finally:
        context.stops.end(host, step.number)
        live.close()
    finish, following, values = conclude(task, host, position, result, started, bench, step)
    answer, sequence = bench.writer.call(finish.arguments())
    if answer in (b"fenced", b"late"):
        raise Fenced
    context.learn(int(sequence))
    gate.tidy(finish.outcome)
    if values:
        context.remember(host, claim.version + 1, values)
    for owner, _, _ in finish.given:
        context.forget(owner)
    return finish.outcome.status, following


def _questions(bench: Bench, context: RunContext, step: Step) -> StepQuestions | None:
    return StepQuestions(bench.store, context.run_id, step.number) if context.plan.options.interactive else None


def _run_repeatable(
    step: Step, host: str, scope: Scope, context: RunContext, around: Surroundings, gate: Gate
) -> StepResult:
    """Run the step; once more after a lost answer, where repeating it does no harm. A guard has asked already."""
    safe = modules.repeatable(step.module, step.rerun)
    for repeat in range(REPEATS + 1):
        result = executor.run_step(step, host, scope, context.templar, around)
        if result.status != "lost" or not safe or gate.guarded or repeat == REPEATS:
            break
    return result


def conclude(
    task: Task, host: str, position: Position, result: StepResult, started: float, bench: Bench, step: Step
) -> tuple[Finish, Position | None, Mapping[str, Any]]:
    """The record of an outcome, where the host goes from there (None: nowhere in this batch), and its new variables."""
    play, context = task.play, task.context
    result, following, ended, mark = _onward(play, position, result)
    outcome = Outcome(step.number, host, result.status, result.result, mark, started, bench.now(), bench.name)
    given = result.given
    if steering.action_of(step) == "clear_facts" and result.status == "ok":
        given = {owner: cleared() for owner in play.hosts}
    variables: list[tuple[str, bytes]] = []
    for name, value in result.values.items():
        public = name in (result.registered, "ansible_failed_result") and not result.secret
        stored = pointer(step.number, host) if public else context.store.seal_value(context.run_id, value)
        variables.append((name, stored))
    finish = Finish(
        context.run_id,
        task.token,
        outcome,
        None if following is None else following.next,
        "" if following is None else following.encode(),
        ended,
        tuple(variables),
        tuple(
            (owner, name, context.store.seal_value(context.run_id, value))
            for owner, values in given.items()
            for name, value in values.items()
        ),
        once=bool(step.run_once) or modules.get(step.module).SPEC.once,
        # What runs once by its nature tells the others nothing, as in Ansible.
        shared=bool(step.run_once),
        additions=_sealed_additions(context, step, result),
    )
    return finish, following, result.values


def _sealed_additions(context: RunContext, step: Step, result: StepResult) -> bytes:
    if not result.additions:
        return b""
    return context.store.seal_value(context.run_id, encode_additions(step.number, result.additions))


def _onward(play: Play, position: Position, result: StepResult) -> tuple[StepResult, Position | None, str, Any]:
    """Where the outcome sends the host: its position, why it ended ("" when it did not), the mark."""
    mark = result.mark
    if result.status in ("ok", "changed", "skipped") or mark == "ignored":
        unknown = flow.unknown_handlers(play, result.notify)
        if unknown:
            message = f"The requested handler '{unknown[0]}' was not found in the main handlers list"
            failed = {"failed": True, "msg": message}
            result = replace(
                result, status="failed", result=result.result | failed, mark=None, notify=(), full=result.full | failed
            )
            return _onward(play, position, result)
        moved = flow.succeed(play, position, flow.notified_by(play, result.notify), result.entered)
        moved = steering.steered(play, position, moved, result.status)
    elif result.status == "failed":
        moved, rescued = flow.fail(play, position)
        mark = "rescued" if rescued else None
        if rescued:
            task = _told(play.steps[position.next], result.name)
            told = {"ansible_failed_task": task, "ansible_failed_result": result.full}
            result = replace(result, values={**result.values, **told})
    else:
        return result, None, result.status, mark
    ended = "failed" if moved.failed and not position.failed else ""
    return result, None if flow.ended(play, moved) else moved, ended, mark


def _told(step: Step, name: str | None) -> dict[str, Any]:
    """``ansible_failed_task``: the task that failed, as far as rescue parts ask for it."""
    return {
        "name": step.name if name is None else name,
        "action": step.module,
        "args": {} if step.no_log else dict(step.arguments),
        "register": step.register,
        "tags": list(step.tags),
        "vars": dict(step.vars),
        "when": list(step.when),
        "delegate_to": step.delegate_to,
        "no_log": step.no_log,
        "become": step.become,
        "become_user": step.become_user,
    }


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
        #: The name of this try.
        self.attempt = attempt_name(task.context.run_id, step.number, host, attempt)
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
            self._guard = Guard(self.attempt, patience=self._patience())
        return self._guard.around(fenced)

    def _patience(self) -> float:
        """Seconds that a host which went away may take to come back: a job may take its time."""
        try:
            job = executor.async_seconds(self._step, self._scope, self._task.context.templar)
        except (TemplateFailure, ModuleFailure):
            job = 0  # known at the items of a loop only
        return max(self._bench.guard_patience, job)

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
        context, number = self._task.context, self._step.number
        limits = {
            keys.run_slots(context.run_id): context.plan.options.forks,
            keys.step_slots(context.run_id, number): throttle_of(context, self._step, self._scope),
            keys.zone_slots(context.zone_of.get(self._host, "default")): self._bench.zone_forks,
        }
        return tuple(Budget(key, limit) for key, limit in limits.items() if limit)


def throttle_of(context: RunContext, step: Step, scope: Scope) -> int:
    """Hosts that may be at that step at once, 0 for no limit."""
    if step.throttle is None:
        return 0
    rendered = context.templar.render(step.throttle, scope)
    try:
        return max(0, int(rendered or 0))
    except (TypeError, ValueError):
        raise InputError(f"throttle takes a whole number, not {rendered!r}") from None


class FencedRemote:
    """A Remote behind a gate."""

    def __init__(self, inner: Remote, gate: Gate) -> None:
        self._inner = inner
        self._gate = gate
        self.host = inner.host
        self.is_local = inner.is_local

    def connect(self) -> None:
        self._inner.connect()

    def reset(self) -> None:
        self._inner.reset()

    def exec(
        self, command: Command, *, on_output: OnOutput | None = None, stop: threading.Event | None = None
    ) -> Completed:
        self._gate.enter(self._inner.connect)
        limited = replace(command, output_limit=self._gate.output_limit)
        return self._inner.exec(limited, on_output=on_output, stop=stop)

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
