"""Puts an inventory together from any number of sources, by Ansible's rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from opsrunner import yamlsource
from opsrunner.errors import InputError, Place, raise_all
from opsrunner.inventory import values
from opsrunner.inventory.inventory import Inventory
from opsrunner.inventory.model import NO_VARIABLES, Group, Host, Variables, tell_hosts
from opsrunner.inventory.origins import Origins, Row

#: Places that hosts may have in groups, all sources together: each host as often as a group lists it.
MAX_LISTED = 1_000_000
#: Values that all sources give to hosts; those of a range count for each of its hosts.
MAX_VALUES = 10_000_000


class TooManyHosts(InputError):
    """The sources list more hosts, or give more to them, than one inventory may: there is no use in reading on."""


class Builder:
    """Collects groups and hosts in order of appearance.

    Its methods raise InputError without a place: who reads the source knows the place.
    """

    def __init__(self, origins: Origins | None = None) -> None:
        self.origins = origins
        self.groups: dict[str, Group] = {"all": Group("all"), "ungrouped": Group("ungrouped")}
        self.hosts: dict[str, Host] = {}
        self._listed = 0
        self._values = 0
        #: The variables given last, and how many values they are: those of a range are given to each of its hosts.
        self._given: tuple[yamlsource.Mapping | None, int] = (None, 0)
        self._links: set[tuple[str, str]] = set()
        self.add_child("all", "ungrouped")

    @classmethod
    def continued(cls, groups: Mapping[str, Group], hosts: Mapping[str, Host]) -> Builder:
        """Goes on from groups and hosts that are settled, and leaves them as they are."""
        builder = cls()
        builder.groups = {
            name: replace(
                group,
                variables=dict(group.variables),
                children=list(group.children),
                parents=list(group.parents),
                hosts=dict(group.hosts),
            )
            for name, group in groups.items()
        }
        builder.hosts = {name: replace(host) for name, host in hosts.items()}
        builder._links = {(name, child) for name, group in groups.items() for child in group.children}
        return builder

    def add_group(self, name: str) -> Group:
        """The group ``name``, made when it is new."""
        return self.groups.setdefault(name, Group(name))

    def add_child(self, parent: str, child: str) -> bool:
        """Put one known group into another; whether it was not there. InputError when that would close a circle."""
        if (parent, child) in self._links:
            return False
        if child == parent:
            raise InputError(f"group {parent} cannot be its own child", remedy="take it out of its children")
        if child == "all" or (child == "ungrouped" and parent != "all"):
            why = "every group is below all already" if child == "all" else "what is in a group is not ungrouped"
            raise InputError(
                f"group {parent} cannot have the child {child}", why=why, remedy="take it out of the children"
            )
        circle = self._way_up(parent, child) if self.groups[child].children else []
        if circle:
            raise InputError(
                f"groups contain each other in a circle: {' > '.join([*circle, child])}",
                remedy="take one of them out of the other's children",
            )
        self._links.add((parent, child))
        self.groups[parent].children.append(child)
        self.groups[child].parents.append(parent)
        return True

    def has(self, group: str, host: str) -> bool:
        """Whether the host is in the group, or in one below it."""
        found = self.groups[group]
        return host in found.hosts or any(self.has(child, host) for child in found.children)

    def _way_up(self, start: str, goal: str) -> list[str]:
        """The names from ``goal`` down to ``start`` when the former is above the latter, else none."""
        came_from: dict[str, str] = {start: ""}
        waiting = [start]
        while waiting:
            name = waiting.pop()
            if name == goal:
                way = [name]
                while came_from[way[-1]]:
                    way.append(came_from[way[-1]])
                return way
            for parent in self.groups[name].parents:
                if parent not in came_from:
                    came_from[parent] = name
                    waiting.append(parent)
        return []

    def add_host(
        self, name: str, group: str, file: str, directory: str | None, port: int | None, place: Place | None = None
    ) -> None:
        """List ``name`` in ``group``. The first source that names a host is the one it came from.

        ``place`` is where the name stands, and with it the port. Raises TooManyHosts.
        """
        if name not in self.hosts:
            variables: Any = {"ansible_port": port} if port else NO_VARIABLES
            self.hosts[name] = Host(name, file, directory, variables)
            self._note(("host", name), variables, dict.fromkeys(variables, place))
        members = self.groups[group].hosts
        if name not in members:
            self._listed += 1
            if self._listed > MAX_LISTED:
                raise TooManyHosts(
                    f"more than {MAX_LISTED:,} hosts, each counted as often as a group lists it",
                    remedy="mend the ranges, or put groups into groups",
                )
            members[name] = None

    def set_host_variables(self, name: str, variables: yamlsource.Mapping) -> None:
        """Variables given with a host. As in Ansible they go to a group of the same name, if there is one.

        Raises TooManyHosts for too many of them.
        """
        if not variables:
            return
        group = self.groups.get(name)
        if group is not None:
            self.set_group_variables(name, variables)
        else:
            host = self.hosts[name]
            self._count(variables)
            own = values.plain(variables)
            host.variables = {**host.variables, **own} if host.variables else own
            self._note(("host", name), own, variables.key_places)

    def _count(self, variables: yamlsource.Mapping) -> None:
        if self._given[0] is not variables:
            self._given = (variables, values.count(variables))
        self._values += self._given[1]
        if self._values > MAX_VALUES:
            raise TooManyHosts(
                f"hosts have more than {MAX_VALUES:,} values", remedy="give variables to the group, not to each host"
            )

    def set_group_variables(self, name: str, variables: yamlsource.Mapping) -> None:
        """Variables of a group; ``ansible_group_priority`` orders it among its equals."""
        group = self.groups[name]
        for key, value in variables.items():
            if key == "ansible_group_priority":
                group.priority = _priority(value)
            else:
                group.variables[key] = values.plain(value)
                self._note(("group", name), {key: group.variables[key]}, variables.key_places)

    def _note(self, row: Row, given: Variables, places: Mapping[Any, Place | None]) -> None:
        if self.origins:
            self.origins.note(row, given, places)

    def finish(self) -> Inventory:
        """The inventory: every group below ``all``, hosts of no group in ``ungrouped``, depths known.

        Raises InputError for a host without a group that has the name of a group (Ansible would put
        the group into ``ungrouped`` in its place), and for a host both in ``ungrouped`` and below it.
        """
        self._put_below_all()
        inventory = Inventory(self.groups, self.hosts)
        faults = [self._settle(host, set(inventory.lineage(host.name))) for host in self.hosts.values()]
        raise_all(fault for fault in faults if fault)
        self._measure_depths()
        # A new one: the first was asked before hosts were settled and depths were known.
        return Inventory(self.groups, self.hosts)

    def _put_below_all(self) -> None:
        for name, group in self.groups.items():
            if name != "all" and not group.parents:
                self.add_child("all", name)
        tell_hosts(self.groups, self.hosts)

    def settled(self) -> tuple[dict[str, Group], dict[str, Host]]:
        """As :meth:`finish`, for what is added while a run goes on: there, too, ``ungrouped`` has whom no group has."""
        self._put_below_all()
        inventory = Inventory(self.groups, self.hosts)
        ungrouped = self.groups["ungrouped"].hosts
        for host in self.hosts.values():
            names = set(inventory.lineage(host.name))
            if names > {"ungrouped"}:
                ungrouped.pop(host.name, None)
            elif not names and not host.implicit:
                ungrouped[host.name] = None
        tell_hosts(self.groups, self.hosts)
        self._measure_depths()
        return self.groups, self.hosts

    def _settle(self, host: Host, names: set[str]) -> InputError | None:
        ungrouped = self.groups["ungrouped"]
        if "ungrouped" in names:
            if names != {"ungrouped"} and host.name in ungrouped.hosts:
                del ungrouped.hosts[host.name]
                host.groups = tuple(name for name in host.groups if name != "ungrouped")
                if any(self._way_up(name, "ungrouped") for name in host.groups):
                    return InputError(
                        f"{host.name} is in ungrouped itself and in a group below it",
                        why="Ansible takes it out of ungrouped, and then contradicts itself",
                        remedy="take it out of the hosts of ungrouped",
                    )
        elif not names and host.name in self.groups:
            return InputError(
                f"{host.name} is a host without a group and the name of a group",
                why=f"it is in {host.file}",
                remedy="put the host into a group, or give one of the two another name",
            )
        elif not names:
            ungrouped.hosts[host.name] = None
            host.groups += ("ungrouped",)
        return None

    def _measure_depths(self) -> None:
        """Longest way from ``all``: a group's parents come before it."""
        waiting = {name: len(group.parents) for name, group in self.groups.items()}
        ready = [name for name, count in waiting.items() if not count]
        while ready:
            group = self.groups[ready.pop()]
            for child in group.children:
                self.groups[child].depth = max(self.groups[child].depth, group.depth + 1)
                waiting[child] -= 1
                if not waiting[child]:
                    ready.append(child)


def _priority(value: Any) -> int:
    whole = isinstance(value, (int, str)) or (isinstance(value, float) and value.is_integer())
    try:
        if whole:
            return int(value)
    except ValueError:
        pass
    raise InputError(f"ansible_group_priority is {value!r}, not a whole number", remedy="give a number such as 10")
