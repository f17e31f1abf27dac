"""Groups, hosts and the variable files that belong to them, as they were read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from msgspec import Struct, field

#: Shared by every host without variables of its own: most of 20,000 have none.
NO_VARIABLES: Mapping[str, Any] = MappingProxyType({})

Variables = Mapping[str, Any]


class Group(Struct):
    """A group as the files define it; ``depth`` is its longest way from ``all``."""

    name: str
    variables: dict[str, Any] = field(default_factory=dict)
    priority: int = 1
    depth: int = 0
    children: list[str] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)
    #: Hosts listed in this very group, in order of appearance.
    hosts: dict[str, None] = field(default_factory=dict)


class Host(Struct):
    """A host as the files define it; ``groups`` are those that list it themselves."""

    name: str
    #: The file (absolute) or host list in which it was first seen; None for one that a run has added.
    file: str | None
    #: That file's folder; None for a host list.
    directory: str | None
    variables: Variables = field(default_factory=lambda: NO_VARIABLES)
    groups: tuple[str, ...] = ()
    #: The implicit localhost, which a run has put into a group: it is in no group ``all``.
    implicit: bool = False


class Layer(Struct, frozen=True):
    """What the ``group_vars/`` and ``host_vars/`` of one folder say."""

    groups: Mapping[str, Variables]
    hosts: Mapping[str, Variables]
    #: That folder, as origins know it; empty where they are of no interest.
    folder: str = ""


def tell_hosts(groups: Mapping[str, Group], hosts: Mapping[str, Host]) -> None:
    """Set the ``groups`` of every host, in the order of the groups."""
    listed: dict[str, list[str]] = {name: [] for name in hosts}
    for group in groups.values():
        for host in group.hosts:
            listed[host].append(group.name)
    # Most hosts are listed in the same few groups: one tuple serves them all.
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}
    for name, names in listed.items():
        key = tuple(names)
        hosts[name].groups = shared.setdefault(key, key)
