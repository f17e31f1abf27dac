"""What came of one host × step, as the ledger is told of it, and where the host goes from there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from opsrunner.engine.additions import encode_additions
from opsrunner.engine.context import RunContext
from opsrunner.executor import StepResult
from opsrunner.executor.facts import cleared
from opsrunner.ledger.records import Outcome
from opsrunner.ledger.transitions import Finish
from opsrunner.ledger.values import pointer
from opsrunner.plan import flow, steering
from opsrunner.plan.flow import Position
from opsrunner.plan.model import Play, Step

if TYPE_CHECKING:
    from opsrunner.engine.carry import Bench, Task


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
    finish = Finish(
        context.run_id,
        task.token,
        outcome,
        None if following is None else following.next,
        "" if following is None else following.encode(),
        ended,
        _variables(context, step, host, result) if result.values else (),
        _given(context, given) if given else (),
        once=bool(step.run_once) or context.prepared(step).once,
        # What runs once by its nature tells the others nothing, as in Ansible.
        shared=bool(step.run_once),
        additions=_sealed_additions(context, step, result),
    )
    return finish, following, result.values


def _variables(context: RunContext, step: Step, host: str, result: StepResult) -> tuple[tuple[str, bytes], ...]:
    """The variables that the step gave its host, as they are stored."""
    found = []
    for name, value in result.values.items():
        public = name in (result.registered, "ansible_failed_result") and not result.secret
        stored = pointer(step.number, host) if public else context.store.seal_value(context.run_id, value)
        found.append((name, stored))
    return tuple(found)


def _given(context: RunContext, given: Mapping[str, Mapping[str, Any]]) -> tuple[tuple[str, str, bytes], ...]:
    """Those that it gave others."""
    return tuple(
        (owner, name, context.store.seal_value(context.run_id, value))
        for owner, values in given.items()
        for name, value in values.items()
    )


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
