"""Handlers: which of them can be notified, and whether everything that is notified exists."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from opsrunner.plan.check import entries
from opsrunner.plan.model import Step
from opsrunner.plan.scope import PlayScope
from opsrunner.playbook import Play, Task, nearest
from opsrunner.playbook.values import is_template
from opsrunner.templating import TemplateFailure


def handler_steps(play: Play, scope: PlayScope, make: Callable[[Task], Step]) -> list[Step]:
    """The play's handlers as steps, in order of definition, their names rendered.

    Of several with one name in one list the first wins, as in Ansible.
    """
    first: dict[str, Task] = {}
    names: list[str | None] = []
    for handler in play.handlers:
        name = _rendered_name(handler, scope)
        names.append(name)
        if name is not None:
            first.setdefault(name, handler)
    found = []
    for handler, name in zip(play.handlers, names, strict=True):
        if name is not None and first[name] is not handler:
            _check_shadowed(handler, first[name], name, scope)
            continue
        step = make(handler)
        found.append(step if name is None else replace(step, name=name))
    return found


def check_notified(play: Play, handlers: Iterable[Step], scope: PlayScope) -> None:
    """Note every name that is notified and that no handler answers to, as far as it is no template."""
    nameless = {str(handler.place) for handler in play.handlers if handler.name is None}
    known = {handler.name for handler in handlers if handler.place not in nameless}
    known.update(topic for handler in handlers for topic in handler.listen)
    for keyword in (entry.keywords["notify"] for entry in entries(play) if "notify" in entry.keywords):
        for name in keyword.value:
            if not is_template(name) and name not in known:
                scope.faults.add(
                    f"no handler is named {name!r} or listens to it",
                    keyword.place,
                    remedy=nearest(name, sorted(known)) or "write it under handlers",
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
