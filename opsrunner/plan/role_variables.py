"""The variables of a play's roles: what each role's tasks have, and what all of the play has. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from opsrunner.plan.model import Role, Step
from opsrunner.plan.role_paths import collection_of
from opsrunner.playbook import Block


class Placed(Struct):
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

    def names(self) -> set[str]:
        """Names of all that some role's tasks have."""
        return {name for role in self.roles for name in (*role.defaults, *role.vars, *role.params)}

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

    def around(self, step: Step, searches: Sequence[Sequence[str]]) -> Around:
        """What there is around a step; ``searches`` is the plan's list."""
        role = self.roles[step.role] if step.role is not None else None
        return Around(
            search=searches[step.search],
            defaults={**self.defaults, **(role.defaults if role else {})},
            vars={**self.vars, **(role.vars if role else {})},
            params={**(role.params if role else {}), **step.params, **role_magic(role)},
        )

    def publish(self, number: int) -> None:
        """What the whole play has of a role."""
        below = [self.placed[one].own for one in self.placed[number].dependencies]
        own = self.placed[number].own
        self.defaults |= _merged([*(one.defaults for one in below), own.defaults])
        self.vars |= _merged([*(one.vars for one in below), own.vars])


class Around(Struct, frozen=True):
    """What a step finds around it beside the variables of the play and of hosts, and not its own ``vars``."""

    #: The folders in which it looks for files.
    search: Sequence[str] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    vars: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def layers(self) -> tuple[Mapping[str, Any], ...]:
        return self.defaults, self.vars, self.params


def role_magic(role: Role | None) -> dict[str, Any]:
    """What the tasks of a role know it by."""
    if role is None:
        return {}
    found = {"role_name": role.name, "ansible_role_name": role.name, "role_path": role.path}
    if of_collection := collection_of(Path(role.path)):
        collection, name = of_collection
        found |= {"role_name": name, "ansible_collection_name": collection}
    return found


def _merged(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for layer in layers:
        found.update(layer)
    return found
