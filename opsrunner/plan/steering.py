"""What ``meta`` means for where hosts go: which of its words there are, and what follows from each. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeGuard

from msgspec.structs import replace

from opsrunner.errors import did_you_mean
from opsrunner.ledger.records import Status
from opsrunner.modules.meta import ACTIONS
from opsrunner.plan import flow
from opsrunner.plan.check import entries, handler_tasks, play_tasks
from opsrunner.plan.flow import Position
from opsrunner.plan.model import Play, Step
from opsrunner.playbook import Block, Entry, Faults, Task
from opsrunner.playbook import Play as WrittenPlay

#: What Ansible has beyond these, each with the reason why opsrunner has not.
REFUSED = {
    "clear_host_errors": "a host that failed is let in again by opsrunner resume",
    "refresh_inventory": "the sources of an inventory are read when a run is started; add_host and group_by add to it",
}
#: They end the play for a whole batch, or for all of it.
ENDS_ALL = frozenset(("end_batch", "end_play"))
#: Decided by one host for all.
_FOR_ALL = ENDS_ALL | {"clear_facts"}
#: Their conditions have no effect, in Ansible as here.
_UNCONDITIONAL = frozenset(("noop", "reset_connection"))


def action_of(step: Step) -> str:
    """The word behind ``meta``, "" for a step of any other module."""
    return str(step.arguments.get("_raw_params", "")) if step.module == "meta" else ""


def check_play(play: WrittenPlay, faults: Faults) -> None:
    """Note every meta task of a resolved play that cannot do what it says."""
    handlers = [id(task) for task in handler_tasks(play)]
    in_roles = {id(task) for block in entries(play) if _is_of_role(block) for task in _ends_role(block)}
    for task in play_tasks(play):
        if task.module == "meta":
            _check(task, play, faults, handler=id(task) in handlers)
            if _action(task) == "end_role" and id(task) not in in_roles and id(task) not in handlers:
                faults.add("meta: end_role stands outside of a role", task.place)


def ends_early(block: Block) -> bool:
    """Whether some task of the block says ``meta: end_role``."""
    return any(True for _ in _ends_role(block))


def _ends_role(entry: Entry) -> Iterator[Task]:
    if isinstance(entry, Block):
        for inner in (*entry.block, *entry.rescue, *entry.always):
            yield from _ends_role(inner)
    elif isinstance(entry, Task) and entry.module == "meta" and _action(entry) == "end_role":
        yield entry


def _is_of_role(entry: Task | Block) -> TypeGuard[Block]:
    return isinstance(entry, Block) and entry.origin is not None and entry.origin.role is not None


def _action(task: Task) -> str:
    return str(task.arguments.get("_raw_params", ""))


def _check(task: Task, play: WrittenPlay, faults: Faults, *, handler: bool) -> None:
    action = _action(task)
    place = task.argument_places.get("_raw_params", task.place)
    if action in ("flush_handlers", "end_role") and handler:
        faults.add(f"{action} cannot be used as a handler", place)
    elif action in REFUSED:
        faults.add(f"meta: {action} is Ansible's, opsrunner does not have it: {REFUSED[action]}", place)
    elif action not in ACTIONS:
        why = f"there are {', '.join(sorted((*ACTIONS, *REFUSED)))}"
        faults.add(f"meta has no action {action!r}", place, why=why, remedy=did_you_mean(action, ACTIONS))
    strategy = play.keywords.get("strategy")
    if task.loop is not None:
        faults.add("meta takes no loop", task.loop.over.place, remedy="take the loop out")
    if action in ENDS_ALL and strategy is not None and strategy.value != "linear":
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
    return replace(step, when=when, run_once=action in _FOR_ALL)


def steered(play: Play, position: Position, moved: Position, status: Status) -> Position:
    """Where the outcome of a meta step at ``position`` sends the host; ``moved`` is where any other step would."""
    action = action_of(play.steps[position.next])
    if action == "flush_handlers" and status == "skipped":
        return flow.go_to(play, position, _behind_flush(play, position.next))
    if action in ("end_host", *ENDS_ALL) and status == "ok":
        return end(play, position, action)
    if action == "end_role" and status == "ok":
        return flow.go_to(play, position, _behind_role(play, position.next))
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


def _behind_role(play: Play, index: int) -> int:
    """The first step behind the role that the step at ``index`` stands in."""
    role = next(one for one in reversed(play.steps[index].path) if one[1] == "role")
    return max(number for number, step in enumerate(play.steps) if role in step.path) + 1


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
