"""Handlers: which of them can be notified, and whether everything that is notified exists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from msgspec.structs import replace

from opsrunner.errors import did_you_mean
from opsrunner.plan.check import entries
from opsrunner.plan.model import Step
from opsrunner.plan.scope import PlayScope
from opsrunner.playbook import Play, Task
from opsrunner.playbook.values import is_template
from opsrunner.templating import TemplateFailure


class _Made(Protocol):
    """What a step was made of."""

    @property
    def task(self) -> Task: ...


_M = TypeVar("_M", bound=_Made)
_List = list[tuple[_M, Step]]


def answering(lists: Sequence[_List[_M]], scope: PlayScope) -> list[_List[_M]]:
    """The handlers of each list (a role's, the play's), as far as they answer to anything, their names rendered.

    As in Ansible a name is answered by the last list that has it, and there by the first; a topic by all that
    listen to it, of those with one name again by that one only.
    """
    names: set[str] = set()
    heard: set[tuple[str, str]] = set()
    places: set[str] = set()
    found = []
    for one in reversed(lists):
        first: dict[str, Task] = {}
        kept: _List[_M] = []
        in_this: set[str] = set()
        for made, step in one:
            if not step.handler:
                kept.append((made, step))
                continue
            rendered = _rendered(made.task, step, scope)
            if rendered is None or step.place in places:
                continue
            bare, step = rendered
            in_this.add(step.place)
            if bare is not None and bare in first:
                _check_shadowed(made.task, first[bare], bare, scope)
                continue
            if bare is not None:
                first[bare] = made.task
            known_as = tuple(dict.fromkeys(name for name in (bare, step.name) if bare and name and name not in names))
            topics = tuple(topic for topic in step.listen if bare is None or (bare, topic) not in heard)
            names.update(known_as)
            heard.update((bare, topic) for topic in topics if bare is not None)
            kept.append((made, replace(step, known_as=known_as, listen=topics)))
        places |= in_this
        found.append(kept)
    return found[::-1]


def _rendered(task: Task, step: Step, scope: PlayScope) -> tuple[str | None, Step] | None:
    """The handler's own name and the step with its whole one; None when nobody can notify it."""
    name = _rendered_name(task, scope)
    if name is None:
        # Nothing can be told of a name that is a template of hosts' variables, but topics may be listened to.
        return (None, step) if task.name is None or "listen" in task.keywords else None
    head = step.name[: len(step.name) - len(task.name or "")]
    return name, replace(step, name=head + name)


def check_notified(play: Play, handlers: Iterable[Step], scope: PlayScope) -> None:
    """Note every name that is notified and that no handler answers to, as far as it is no template."""
    known = {name for handler in handlers for name in (*handler.known_as, *handler.listen)}
    for keyword in (entry.keywords["notify"] for entry in entries(play) if "notify" in entry.keywords):
        for name in keyword.value:
            if not is_template(name) and name not in known:
                scope.faults.add(
                    f"no handler is named {name!r} or listens to it",
                    keyword.place,
                    remedy=did_you_mean(name, sorted(known), "write it under handlers"),
                )


def _rendered_name(handler: Task, scope: PlayScope) -> str | None:
    if handler.name is None or not is_template(handler.name):
        return handler.name
    try:
        return str(scope.try_render(handler.name, handler.vars))
    except TemplateFailure as failure:
        if "listen" not in handler.keywords and not scope.is_broken(handler.name):
            scope.faults.add(
                f"the handler's name cannot be rendered: {failure.message}",
                handler.place,
                why="no variable of a host may stand in it, and it listens to nothing else",
            )
        return None


def _check_shadowed(handler: Task, winner: Task, name: str, scope: PlayScope) -> None:
    """A handler that another one of its name replaces may listen to nothing that the other does not."""
    topics = set(handler.keywords["listen"].value) if "listen" in handler.keywords else set()
    winning = set(winner.keywords["listen"].value) if "listen" in winner.keywords else set()
    if topics - winning:
        scope.faults.add(
            f"two handlers are named {name!r}, and this one listens to what the first does not",
            handler.place,
            remedy="give it a name of its own",
        )
