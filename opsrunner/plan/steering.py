"""What ``meta`` means for where hosts go: which of its words there are, and what follows from each. Pure."""

from __future__ import annotations

from dataclasses import replace

from opsrunner.ledger.records import Status
from opsrunner.modules.meta import ACTIONS
from opsrunner.plan import flow
from opsrunner.plan.check import handler_tasks, play_tasks
from opsrunner.plan.flow import Position
from opsrunner.plan.model import Play, Step
from opsrunner.playbook import Faults, Task, nearest
from opsrunner.playbook import Play as WrittenPlay

#: What Ansible has beyond these, each with the reason why opsrunner has not.
REFUSED = {
    "clear_facts": "facts cannot be forgotten yet",
    "clear_host_errors": "a host that failed is let in again by opsrunner resume",
    "end_role": "it is not there yet",
    "refresh_inventory": "the sources of an inventory are read when a run is started; add_host and group_by add to it",
}
#: Decided by one host for its whole batch, or for all of the play.
FOR_ALL = frozenset(("end_batch", "end_play"))
#: Their conditions have no effect, in Ansible as here.
_UNCONDITIONAL = frozenset(("noop", "reset_connection"))


def action_of(step: Step) -> str:
    """The word behind ``meta``, "" for a step of any other module."""
    return str(step.arguments.get("_raw_params", "")) if step.module == "meta" else ""


def check_play(play: WrittenPlay, faults: Faults) -> None:
    """Note every meta task of a resolved play that cannot do what it says."""
    handlers = [id(task) for task in handler_tasks(play)]
    for task in play_tasks(play):
        if task.module == "meta":
            _check(task, play, faults, handler=id(task) in handlers)


def _check(task: Task, play: WrittenPlay, faults: Faults, *, handler: bool) -> None:
    action = str(task.arguments.get("_raw_params", ""))
    place = task.argument_places.get("_raw_params", task.place)
    if action == "flush_handlers" and handler:
        faults.add("flush_handlers cannot be used as a handler", place)
    elif action in REFUSED:
        faults.add(f"meta: {action} is Ansible's, opsrunner does not have it: {REFUSED[action]}", place)
    elif action not in ACTIONS:
        why = f"there are {', '.join(sorted((*ACTIONS, *REFUSED)))}"
        faults.add(f"meta has no action {action!r}", place, why=why, remedy=nearest(action, ACTIONS))
    strategy = play.keywords.get("strategy")
    if task.loop is not None:
        faults.add("meta takes no loop", task.loop.over.place, remedy="take the loop out")
    if action in FOR_ALL and strategy is not None and strategy.value != "linear":
        faults.add(
            f"meta: {action} needs strategy: linear",
            task.place,
            why="under other strategies no host waits for the others, so that there is nothing to end for all",
            remedy="end_host ends the play for one host",
        )


def adapted(step: Step) -> Step:
    """A meta step as it is carried out: what speaks for all is decided once."""
    action = action_of(step)
    if not action:
        return step
    when = () if action in _UNCONDITIONAL else step.when
    return replace(step, when=when, run_once=action in FOR_ALL)


def steered(play: Play, position: Position, moved: Position, status: Status) -> Position:
    """Where the outcome of a meta step at ``position`` sends the host; ``moved`` is where any other step would."""
    action = action_of(play.steps[position.next])
    if action == "flush_handlers" and status == "skipped":
        return flow.go_to(play, position, _behind_flush(play, position.next))
    if action in ("end_host", *FOR_ALL) and status == "ok":
        return end(play, position, action)
    return moved


def end(play: Play, position: Position, action: str) -> Position:
    """Nothing more of the play for the host, not even handlers; a failure that was on its way outward stands.

    The gate is no part of what a task can end, unless it ends the play and with it the batches that the gate guards.
    """
    failed = position.failed or bool(position.pending)
    behind = len(play.steps)
    if not failed and action != "end_play":
        behind = next((index for index, step in enumerate(play.steps) if step.section == "gate"), behind)
    return Position(behind if behind > position.next else len(play.steps), failed=failed)


def _behind_flush(play: Play, index: int) -> int:
    """The first step behind the handlers that belong to the flush at ``index``."""
    steps, behind = play.steps, index + 1
    #: Blocks of tasks that those handlers include.
    blocks: set[int] = set()
    while behind < len(steps):
        step = steps[behind]
        is_handler = step.handler and step.section != "handlers"
        if not is_handler and not any(block in blocks for block, _ in step.path):
            break
        blocks.update(one.block for one in step.inclusions or ())
        behind += 1
    return behind
