"""The variables of a play's roles: what each role's tasks have, and what all of the play has. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from opsrunner.plan.model import Role
from opsrunner.playbook import Block


@dataclass(slots=True)
class Placed:
    """One role where it stands in the play, with what is its own and not merged with other roles'."""

    name: str
    path: Path
    own: Role
    dependencies: list[int]
    handlers: tuple[Block, ...] = ()


class RoleVariables:
    """The roles of one play by their numbers, and the variables that are public."""

    def __init__(self) -> None:
        self.placed: list[Placed] = []
        #: The roles as steps need them, by the same numbers.
        self.roles: list[Role] = []
        self.defaults: dict[str, Any] = {}
        self.vars: dict[str, Any] = {}

    def merge(self, number: int, chain: tuple[int, ...]) -> None:
        """The role's variables as its tasks have them, in Ansible's order."""
        below = [self.placed[one].own for one in self.placed[number].dependencies]
        above = [self.roles[one] for one in chain]
        own, role = self.placed[number].own, self.roles[number]
        self.roles[number] = replace(
            role,
            defaults=_merged(
                [*(one.defaults for one in below), *(self.placed[one].own.defaults for one in chain), own.defaults]
            ),
            vars=_merged([*(one.vars for one in above), *(one.vars for one in below), role.vars]),
            params=_merged([*(one.params for one in above), role.params]),
        )

    def publish(self, number: int) -> None:
        """What the whole play has of a role."""
        below = [self.placed[one].own for one in self.placed[number].dependencies]
        own = self.placed[number].own
        self.defaults |= _merged([*(one.defaults for one in below), own.defaults])
        self.vars |= _merged([*(one.vars for one in below), own.vars])


def role_magic(role: Role | None) -> dict[str, Any]:
    """What the tasks of a role know it by."""
    return {"role_name": role.name, "ansible_role_name": role.name, "role_path": role.path} if role else {}


def _merged(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for layer in layers:
        found.update(layer)
    return found
