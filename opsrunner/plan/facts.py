"""Finds what needs facts: opsrunner does not gather them yet, and says so instead of failing on every host."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from opsrunner.inventory import Inventory
from opsrunner.plan import check
from opsrunner.plan.scope import PlayScope
from opsrunner.playbook import Play
from opsrunner.templating import Templar


def check_facts(
    play: Play,
    scope: PlayScope,
    inventory: Inventory,
    hosts: Sequence[str],
    templar: Templar,
    defined: Collection[str] = (),
) -> None:
    """Note every use of a fact in a play that leaves it to Ansible's default whether facts are gathered.

    A name that the playbook or the inventory defines is no fact, whatever it begins with.
    """
    if "gather_facts" in play.keywords:
        return
    own = scope.names() | defined_names(play) | set(defined)
    used = [(name, place) for name, place in check.facts_used(check.texts(play), templar) if name not in own]
    missing = {name for name, _ in used}
    for host in hosts:
        if not missing:
            break
        missing -= inventory.variables(host).keys()
    for name, place in used:
        if name in missing:
            scope.faults.add(
                f"{name} is a fact, and facts are not gathered",
                place,
                why="opsrunner does not have fact gathering yet",
                remedy="set the variable yourself, or say gather_facts: false on the play",
            )


def defined_names(play: Play) -> set[str]:
    """Names that the play's tasks and blocks give a value: vars, register, set_fact, loops."""
    found: set[str] = set()
    for entry in check.entries(play):
        found.update(entry.vars)
        if "register" in entry.keywords:
            found.add(entry.keywords["register"].value)
    for task in check.play_tasks(play):
        if task.module == "set_fact":
            found.update(task.arguments)
        if task.loop:
            found.update(name for name in (task.loop.variable, task.loop.index_variable) if name)
    return found
