"""One host through one stage: claim, carry out, record. Runs in a worker's host thread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from opsrunner import executor, modules
from opsrunner.engine import stepping
from opsrunner.engine.additions import encode_additions
from opsrunner.engine.context import RunContext
from opsrunner.engine.gate import Gate
from opsrunner.engine.live import LiveOutput
from opsrunner.engine.questions import StepQuestions
from opsrunner.executor import Fenced, StepResult, Stopped, Surroundings
from opsrunner.executor.facts import cleared
from opsrunner.ledger.client import patiently
from opsrunner.ledger.records import Outcome, Status
from opsrunner.ledger.store import Store, pointer
from opsrunner.ledger.transitions import Claim, Finish
from opsrunner.ledger.writer import Writer
from opsrunner.plan import flow, steering
from opsrunner.plan.flow import Position
from opsrunner.plan.model import Play, Step
from opsrunner.remote import Remote
from opsrunner.templating import Scope

log = logging.getLogger("opsrunner.worker")

#: Times a step that may be repeated is sent again after its answer was lost.
REPEATS = 2


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


#: Told of the last status of a host, None when it was not ours, or of the error that kept it from being stored.
Settled = Callable[[Status | Exception | None], None]


def carry(bench: Bench, task: Task, host: str, claim: Claim, settled: Settled) -> None:
    """Take one claimed host through the stage.

    ``settled`` is called once, as soon as its last outcome is stored: on a thread that must not be kept waiting.
    """
    status: Status | None = None
    while claim.verdict == "go":
        position = Position.decode(claim.position)
        try:
            concluded = _one_step(bench, task, host, position, claim)
            if not task.through and not concluded.gate.guarded:
                # Nothing here depends on the answer: the thread goes on to the next host.
                bench.writer.hand_in(concluded.finish.arguments(), partial(_stored, task, concluded, settled))
                return
            _learn(task, concluded, bench.writer.call(concluded.finish.arguments()))
            concluded.gate.tidy(concluded.finish.outcome)
        except (Fenced, Stopped):
            # Whatever the reason, nothing was sent under this claim: it must not stand as long as we live.
            hand_back(bench, task, host, position)
            break
        status, following = concluded.finish.outcome.status, concluded.following
        if not task.through or following is None or bench.is_leaving():
            break
        step = task.play.steps[following.next]
        if step.section == "gate":
            break  # the whole batch meets there
        claim = _claim_next(bench, task, host, step, following)
    settled(status)


@dataclass(frozen=True, slots=True)
class Concluded:
    """What came of one host × step, before it is stored."""

    gate: Gate
    finish: Finish
    #: Where the host goes on in this batch, None when it does not.
    following: Position | None
    #: The variables that the step gave the host, and which version of them it knew.
    values: Mapping[str, Any]
    version: int


def _stored(task: Task, concluded: Concluded, settled: Settled, answer: Any) -> None:
    try:
        if isinstance(answer, Exception):
            raise answer
        _learn(task, concluded, answer)
    except Fenced:
        settled(None)
    except Exception as error:  # the shard tells of it
        settled(error)
    else:
        settled(concluded.finish.outcome.status)


def _learn(task: Task, concluded: Concluded, answer: Any) -> None:
    """Take in what the ledger says to an outcome. Raises Fenced."""
    verdict, sequence = answer
    if verdict in (b"fenced", b"late"):
        raise Fenced
    context, finish = task.context, concluded.finish
    context.learn(int(sequence))
    if concluded.values:
        context.remember(finish.outcome.host, concluded.version + 1, concluded.values)
    for owner, _, _ in finish.given:
        context.forget(owner)


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


def _one_step(bench: Bench, task: Task, host: str, position: Position, claim: Claim) -> Concluded:
    """Carry out the host's next step. Raises Fenced and Stopped."""
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
    return Concluded(gate, finish, following, values, claim.version)


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
