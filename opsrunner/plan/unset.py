"""Finds variables that Ansible would set and opsrunner does not: said at once instead of failing on every host."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from opsrunner.inventory import Inventory
from opsrunner.plan import check
from opsrunner.plan.check import Text
from opsrunner.plan.scope import PlayScope
from opsrunner.playbook import Play
from opsrunner.templating import Templar

_UNDOCUMENTED = "it is none of Ansible's documented variables"
#: What Ansible sets and opsrunner does not: why, and what to do.
_NEVER_SET = {
    "ansible_forks": ("without --forks there is no limit", "give --forks N, or -e ansible_forks=N"),
    "ansible_delegated_vars": ("the other host's variables are in hostvars", "use hostvars[HOST]"),
    "ansible_current_hosts": (_UNDOCUMENTED, "use ansible_play_hosts"),
    "ansible_failed_hosts": (_UNDOCUMENTED, "use ansible_play_hosts_all | difference(ansible_play_hosts)"),
    **dict.fromkeys(
        (
            *("ansible_timeout", "ansible_ssh_timeout", "ansible_shell_executable"),
            *("ansible_pipelining", "ansible_ssh_pipelining", "ansible_module_compression"),
        ),
        ("where nobody sets it Ansible has a default of its own", "set it in the inventory or the playbook"),
    ),
}
#: What ``ansible_failed_task`` tells of the task.
_KNOWN_OF_TASK = (
    *("name", "action", "args", "register", "tags", "vars", "when", "delegate_to", "no_log", "become", "become_user"),
)
#: Parts of ``ansible_failed_task`` that are read.
_PART_OF_TASK = re.compile(r"\bansible_failed_task\s*(?:\.\s*(\w+)|\[\s*['\"](\w+)['\"])")


def check_set(
    play: Play,
    scope: PlayScope,
    inventory: Inventory,
    hosts: Sequence[str],
    templar: Templar,
    defined: Collection[str] = (),
) -> None:
    """Note every use of a variable that would be there under Ansible, and is not here.

    A name that the playbook or the inventory defines is none of them, whatever it begins with.
    """
    own = scope.names() | defined_names(play) | set(defined)
    used = [(name, text) for name, text in check.names_used(check.texts(play), templar) if name not in own]
    missing = {name for name, _ in used if name in _NEVER_SET}
    for host in hosts:
        if not missing:
            break
        missing -= inventory.variables(host).keys()
    for name, text in used:
        if name in missing:
            why, remedy = _NEVER_SET[name]
            scope.faults.add(f"{name} is not set", text.place, why=why, remedy=remedy)
        for part in _parts_of_task(name, text):
            scope.faults.add(
                f"ansible_failed_task.{part} is not known",
                text.place,
                why=f"of the task that failed these are: {', '.join(_KNOWN_OF_TASK)}",
                remedy="ansible_failed_result has what it returned",
            )


def _parts_of_task(name: str, text: Text) -> Iterator[str]:
    if name == "ansible_failed_task":
        found = (match[1] or match[2] for match in _PART_OF_TASK.finditer(text.text))
        yield from (part for part in dict.fromkeys(found) if part not in _KNOWN_OF_TASK)


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
