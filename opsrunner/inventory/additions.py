"""What a run adds to its inventory in memory (add_host, group_by), by Ansible's rules. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any

from msgspec import Struct, field
from msgspec.structs import asdict

from opsrunner.errors import InputError
from opsrunner.inventory.builder import Builder
from opsrunner.inventory.inventory import LOCAL_NAMES, Inventory, of_implicit_localhost
from opsrunner.inventory.model import Host
from opsrunner.tagged import Verbatim


class AddedHost(Struct, frozen=True):
    """A host, made where there is none of that name, with variables that join its own, put into groups."""

    host: str
    groups: tuple[str, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)


class AddedMember(Struct, frozen=True):
    """A host that is there, put into one group, which is put below others."""

    host: str
    group: str
    parents: tuple[str, ...] = ("all",)


Addition = AddedHost | AddedMember


class Added(Struct, frozen=True):
    """An addition, and the number of the step that made it."""

    step: int
    addition: Addition


class Grown:
    """An inventory that is added to; the one that it began with stays as it is."""

    def __init__(self, inventory: Inventory) -> None:
        self._base = inventory
        self._builder = Builder.continued(inventory.groups, inventory.hosts)

    def add(self, addition: Addition) -> bool:
        """Whether anything has changed by it. Raises InputError for what cannot be."""
        return self._add_host(addition) if isinstance(addition, AddedHost) else self._add_member(addition)

    def inventory(self) -> Inventory:
        """All as it is now."""
        groups, hosts = self._builder.settled()
        return Inventory(groups, hosts, self._base.layers, self._base.playbook_layer, self._base.warnings)

    def _add_host(self, one: AddedHost) -> bool:
        builder = self._builder
        for name in (one.host, *one.groups):
            if not name:
                what = "group" if one.host else "host"
                raise InputError(f"Invalid empty/false {what} name provided: {name}")
        changed = one.host not in builder.hosts
        if changed:
            if one.host in builder.groups and not one.groups:
                raise InputError(f"{one.host} is the name of a group: a host of that name must be put into a group")
            builder.hosts[one.host] = Host(one.host, None, None)
            builder.groups["all"].hosts[one.host] = None
        host = builder.hosts[one.host]
        own = {name: _verbatim(value) for name, value in one.variables.items()}
        if any(name not in host.variables or host.variables[name] != value for name, value in own.items()):
            host.variables = {**host.variables, **own}
            changed = True
        for name in one.groups:
            changed = changed or name not in builder.groups
            members = builder.add_group(name).hosts
            changed = changed or one.host not in members
            members[one.host] = None
        return changed

    def _add_member(self, one: AddedMember) -> bool:
        builder = self._builder
        if not one.group or not all(one.parents):
            raise InputError("Invalid empty/false group name provided")
        group = builder.add_group(one.group)
        changed = any(name not in builder.groups for name in one.parents)
        for name in one.parents:
            builder.add_group(name)
            changed = builder.add_child(name, one.group) or changed
        if one.host not in builder.hosts and one.host in LOCAL_NAMES:
            builder.hosts[one.host] = Host(one.host, None, None, of_implicit_localhost(), implicit=True)
        if not builder.has(one.group, one.host):
            group.hosts[one.host] = None
            changed = True
        return changed


def is_new(inventory: Inventory, addition: Addition) -> bool | None:
    """Whether it would change the inventory, where that is told without trying it; None where it is not."""
    if not isinstance(addition, AddedMember) or not addition.group or not all(addition.parents):
        return None
    group = inventory.groups.get(addition.group)
    if group is None:
        return True if addition.group not in addition.parents else None
    if addition.host not in inventory.hosts or not set(addition.parents) <= set(group.parents):
        return None
    return addition.group not in inventory.lineage(addition.host)


def grown(inventory: Inventory, added: Sequence[Added]) -> Inventory:
    """The inventory with all that was added, in the order in which it was; the hosts of one step in their own.

    What cannot stand beside an earlier addition, groups in a circle that two hosts have made at once, is passed over.
    """
    if not added:
        return inventory
    found = Grown(inventory)
    position = {host: number for number, host in enumerate(inventory.hosts)}
    for _, some in groupby(added, key=lambda one: one.step):
        for one in sorted(some, key=lambda one: _place(one.addition, position)):
            with suppress(InputError):
                found.add(one.addition)
    return found.inventory()


def _place(addition: Addition, position: Mapping[str, int]) -> int:
    """Members join in the inventory's order, whichever host was first; hosts are made in the order of their loop."""
    return position.get(addition.host, len(position)) if isinstance(addition, AddedMember) else -1


def to_data(additions: Iterable[Addition]) -> list[dict[str, Any]]:
    """Additions as JSON values; :func:`from_data` reads them."""
    return [asdict(one) for one in additions]


def from_data(data: Iterable[Mapping[str, Any]]) -> list[Addition]:
    """What :func:`to_data` was given."""
    return [
        AddedMember(one["host"], one["group"], tuple(one["parents"]))
        if "group" in one
        else AddedHost(one["host"], tuple(one["groups"]), one["variables"])
        for one in data
    ]


def _verbatim(value: Any) -> Any:
    """A value that was rendered, so that it is not rendered again."""
    if isinstance(value, str):
        return Verbatim(value) if "{" in value else value
    if isinstance(value, Mapping):
        return {key: _verbatim(content) for key, content in value.items()}
    return [_verbatim(one) for one in value] if isinstance(value, (list, tuple)) else value
