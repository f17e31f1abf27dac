"""The inventory as the rest of opsrunner sees it: hosts, groups, and what they know."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from opsrunner.errors import InputError, raise_all
from opsrunner.inventory import addresses, snapshot, variable_files
from opsrunner.inventory.model import Group, Host, Layer, Variables
from opsrunner.inventory.origins import Row
from opsrunner.inventory.reading import Reading

#: Names that reach this machine even when no inventory lists them.
LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")

#: What gives variables, in Ansible's words; under which name its origins are kept; the variables.
VariableRow = tuple[str, Row, Variables]


class Inventory:
    """Hosts and groups in order of appearance; variables are merged when they are asked for.

    ``layers`` are the variable files beside the sources, in the order of the sources;
    ``playbook_layer`` those beside the playbook.
    """

    def __init__(
        self,
        groups: Mapping[str, Group],
        hosts: Mapping[str, Host],
        layers: Iterable[Layer] = (),
        playbook_layer: Layer | None = None,
        warnings: Iterable[InputError] = (),
    ) -> None:
        self.groups = groups
        self.hosts = hosts
        self.layers = tuple(layers)
        self.playbook_layer = playbook_layer
        #: What was read as Ansible reads it, with a warning.
        self.warnings = tuple(warnings)
        self._layers = [("", layer) for layer in self.layers]
        if playbook_layer:
            beside_source = any(layer is playbook_layer for layer in self.layers)
            self._layers.append(("" if beside_source else "playbook ", playbook_layer))
        self._listed_local_name = next((host for host in hosts if host in LOCAL_NAMES), None)
        # Deliberate caches: the groups never change once the inventory is made.
        self._members: dict[str, tuple[str, ...]] = {}
        self._lineages: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._group_variables: dict[tuple[str, ...], dict[str, Any]] = {}
        self._groups_variable: dict[str, list[str]] | None = None

    def hosts_of(self, group: str) -> tuple[str, ...]:
        """The hosts of ``group`` and of all groups below it, level by level.

        Raises KeyError for an unknown group.
        """
        members = self._members.get(group)
        if members is None:
            names = (host for name in self._downwards(group) for host in self.groups[name].hosts)
            # As in Ansible, the implicit localhost is never one of all.
            of_all = (host for host in names if not self.hosts[host].implicit)
            members = self._members[group] = tuple(dict.fromkeys(of_all if group == "all" else names))
        return members

    def _downwards(self, group: str) -> list[str]:
        found = {group: None}
        level = [group]
        while level:
            below = dict.fromkeys(child for name in level for child in self.groups[name].children)
            level = [name for name in below if name not in found]
            found.update(dict.fromkeys(level))
        return list(found)

    def lineage(self, host: str) -> tuple[str, ...]:
        """All groups of ``host`` but ``all``, parents before children: by depth, priority, name."""
        host = self._listed(host)
        direct = self.hosts[host].groups if host in self.hosts else ()
        lineage = self._lineages.get(direct)
        if lineage is None:
            names = self._upwards(direct) - {"all"}
            lineage = tuple(sorted(names, key=self._rank))
            self._lineages[direct] = lineage
        return lineage

    def _upwards(self, names: Iterable[str]) -> set[str]:
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting.extend(self.groups[name].parents)
        return found

    def _rank(self, name: str) -> tuple[int, int, str]:
        group = self.groups[name]
        return group.depth, group.priority, name

    def groups_of(self, host: str) -> list[str]:
        """``group_names``: the groups of ``host`` and their parents, sorted, without ``all``."""
        return sorted(self.lineage(host))

    def local_name(self, name: str) -> str | None:
        """The host that ``localhost`` (or another name of this machine) means here.

        The first listed host with such a name, else ``name`` itself, which then is implicit; None
        when ``name`` does not name this machine.
        """
        if name not in LOCAL_NAMES:
            return None
        return self._listed_local_name or name

    def _listed(self, name: str) -> str:
        """``name``, or the listed host that this machine's other names stand for."""
        return name if name in self.hosts else self.local_name(name) or name

    def knows(self, host: str) -> bool:
        """Whether ``host`` is listed or is the implicit localhost."""
        return host in self.hosts or host in LOCAL_NAMES

    def group_variables(self, group: str) -> dict[str, Any]:
        """What ``group`` itself says: in the inventory, then in the files beside it and beside the playbook."""
        return _merged((("", ("group", group), self.groups[group].variables), *self._file_rows((group,))))

    def own_variables(self, host: str) -> dict[str, Any]:
        """What ``host`` itself says: in the inventory, then in the files beside it and beside the playbook."""
        return _merged(self._host_rows(self._listed(host)))

    def variables(self, host: str) -> dict[str, Any]:
        """The variables of ``host`` by Ansible's precedence, unrendered; a new dict at each call.

        Of the magic variables only ``inventory_file`` and ``inventory_dir`` are there. Raises
        KeyError for an unknown host; the implicit localhost is known.
        """
        if not self.knows(host):
            raise KeyError(host)
        lineage = self.lineage(host)
        merged = self._group_variables.get(lineage)
        if merged is None:
            merged = self._group_variables[lineage] = _merged(self._group_rows(lineage))
        return merged | self.own_variables(host)

    def rows(self, host: str) -> Iterator[VariableRow]:
        """All that is said of a known ``host``, lowest first: :meth:`variables` in its parts."""
        yield from self._group_rows(self.lineage(host))
        yield from self._host_rows(self._listed(host))

    def _group_rows(self, lineage: tuple[str, ...]) -> Iterator[VariableRow]:
        for name in ("all", *lineage):
            yield f"group {name}", ("group", name), self.groups[name].variables
        # Files say more than the inventory, and `all` less than any other group, whatever
        # the folder: Ansible's default order of precedence.
        yield from self._file_rows(("all",))
        yield from self._file_rows(lineage)

    def _file_rows(self, groups: Iterable[str]) -> Iterator[VariableRow]:
        for beside, layer in self._layers:
            for name in groups:
                if name in layer.groups:
                    yield f"{beside}group_vars/{name}", ("group_vars", name, layer.folder), layer.groups[name]

    def _host_rows(self, name: str) -> Iterator[VariableRow]:
        host = self.hosts.get(name)
        if host is None:
            yield "implicit localhost", (), of_implicit_localhost()
        else:
            yield "inventory", (), {"inventory_file": host.file, "inventory_dir": host.directory}
            yield "host", ("host", name), host.variables
        for beside, layer in self._layers:
            if name in layer.hosts:
                yield f"{beside}host_vars/{name}", ("host_vars", name, layer.folder), layer.hosts[name]

    def magic(self, host: str) -> dict[str, Any]:
        """What Ansible itself says of ``host``, as far as nothing of more weight in the inventory says otherwise.

        It stands above the groups' variables and those in the inventory's files, and below ``host_vars/``.
        """
        if not self.knows(host):
            raise KeyError(host)
        host = self._listed(host)
        magic: dict[str, Any] = {
            "inventory_hostname": host,
            "inventory_hostname_short": addresses.short_name(host),
            "group_names": self.groups_of(host),
        }
        if host in self.hosts:
            listed = self.hosts[host]
            for name, value in (("inventory_file", listed.file), ("inventory_dir", listed.directory)):
                if name not in listed.variables:
                    magic[name] = value
        for _, layer in self._layers:
            for name in magic.keys() & layer.hosts.get(host, {}).keys():
                del magic[name]
        return magic

    def groups_variable(self) -> dict[str, list[str]]:
        """``groups``: every group's hosts, those of its children included."""
        if self._groups_variable is None:
            self._groups_variable = {name: list(self.hosts_of(name)) for name in self.groups}
        return self._groups_variable

    def with_playbook_vars(self, directory: Path, *, base: Path) -> Inventory:
        """This inventory with ``group_vars/`` and ``host_vars/`` of the playbook's folder above its own.

        Messages name files relative to ``base`` where they lie below it. Raises InputError
        for a file there that cannot be read.
        """
        reading = Reading(base)
        layer = variable_files.read(directory, self.groups, (*self.hosts, *LOCAL_NAMES), reading)
        raise_all(reading.faults)
        return Inventory(self.groups, self.hosts, self.layers, layer, (*self.warnings, *reading.warnings))

    def with_files_of_others(
        self, groups: Callable[[str], bool], hosts: Callable[[str], bool], *, base: Path
    ) -> Inventory:
        """This inventory with what its variable files say of groups and hosts that are not there, and may be added.

        Raises InputError for a file that cannot be read.
        """
        reading = Reading(base)
        read: dict[int, Layer] = {}
        for layer in self.all_layers:
            if id(layer) not in read:
                more = variable_files.read_others(
                    Path(layer.folder),
                    lambda name: name not in self.groups and groups(name),
                    lambda name: not self.knows(name) and hosts(name),
                    reading,
                )
                read[id(layer)] = replace(
                    layer, groups={**layer.groups, **more.groups}, hosts={**layer.hosts, **more.hosts}
                )
        raise_all(reading.faults)
        layers = [read[id(layer)] for layer in self.layers]
        playbook_layer = read[id(self.playbook_layer)] if self.playbook_layer else None
        return Inventory(self.groups, self.hosts, layers, playbook_layer, (*self.warnings, *reading.warnings))

    @property
    def all_layers(self) -> tuple[Layer, ...]:
        """The variable files beside the sources, then those beside the playbook."""
        return (*self.layers, self.playbook_layer) if self.playbook_layer else self.layers

    def to_data(self) -> dict[str, Any]:
        """Everything as JSON-able data; :meth:`from_data` reads it."""
        return snapshot.to_data(self.groups, self.hosts, self.layers, self.playbook_layer)

    @staticmethod
    def from_data(data: Mapping[str, Any]) -> Inventory:
        """The inventory that :meth:`to_data` described."""
        return Inventory(*snapshot.from_data(data))


def of_implicit_localhost() -> dict[str, Any]:
    """The variables of a localhost that no inventory lists."""
    return {"ansible_python_interpreter": sys.executable, "ansible_connection": "local"}


def _merged(rows: Iterable[VariableRow]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for _, _, variables in rows:
        merged.update(variables)
    return merged
