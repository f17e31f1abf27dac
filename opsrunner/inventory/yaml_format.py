"""Reads a YAML inventory into a builder; whatever Ansible would skip or guess is an error."""

from __future__ import annotations

import difflib
from typing import Any

from opsrunner import yamlsource
from opsrunner.errors import InputError, Place
from opsrunner.inventory import ranges
from opsrunner.inventory.builder import Builder, TooManyHosts
from opsrunner.inventory.document import Document, kind
from opsrunner.inventory.reading import Reading

_SECTIONS = ("hosts", "children", "vars")


def add(document: Document, builder: Builder, reading: Reading) -> None:
    """Add every group of a document that holds a mapping to ``builder``; faults go to ``reading``."""
    _Walk(document, builder, reading).groups(document.data)


class _Walk:
    """Walks over one document; faults are collected so that one visit tells them all."""

    def __init__(self, document: Document, builder: Builder, reading: Reading) -> None:
        self.document = document
        self.builder = builder
        self.reading = reading

    def _fault(self, what: str, place: Place | None, **said: str | None) -> None:
        self.reading.faults.append(self.document.fault(what, place, **said))

    def _placed(self, error: InputError, place: Place | None) -> None:
        self._fault(error.what, place, why=error.why, remedy=error.remedy)

    def groups(self, groups: Any, parent: str | None = None) -> None:
        for name, body in groups.items():
            place = yamlsource.place_of_key(groups, name)
            if not self._group(name, body, place) or parent is None:
                continue
            try:
                self.builder.add_child(parent, name)
            except InputError as error:
                self._placed(error, place)

    def _group(self, name: Any, body: Any, place: Place | None) -> bool:
        """Read one group; False when it is no group at all."""
        if not isinstance(name, str) or not name:
            what = f"{name!r} is {kind(name)}" if name != "" else "it is empty"
            self._fault("a group's name must be text", place, why=what, remedy=f'quote it: "{name}"' if name else None)
            return False
        if body is not None and not isinstance(body, yamlsource.Mapping):
            self._fault(
                f"group {name} is {kind(body)}, not a mapping",
                place,
                why="a group holds hosts:, children: and vars:",
                remedy=f"put its hosts below {name}: hosts:, each with a colon after its name",
            )
            return False
        self.builder.add_group(name)
        for key, section in (body or {}).items():
            self._section(name, body, key, section)
        return True

    def _section(self, group: str, body: Any, key: Any, section: Any) -> None:
        place = yamlsource.place_of_key(body, key)
        if key not in _SECTIONS:
            self._unknown_key(group, key, place)
            return
        if isinstance(section, str):
            # As Ansible has it: `hosts: web1` is short for a mapping with this one key.
            short = yamlsource.Mapping(place or Place(self.document.shown, 1, 1))
            short[section] = None
            value_place = yamlsource.place_of_value(body, key)
            if value_place:
                short.key_places[section] = value_place
            section = short
        if section is None:
            return
        if not isinstance(section, yamlsource.Mapping):
            self._fault(
                f"{key}: of group {group} is {kind(section)}, not a mapping",
                yamlsource.place_of_value(body, key),
                remedy="write each on a line of its own with a colon after it and no dash before it",
            )
            return
        {"hosts": self._hosts, "children": self._children, "vars": self._variables}[key](group, section)

    def _unknown_key(self, group: str, key: Any, place: Place | None) -> None:
        near = difflib.get_close_matches(str(key), _SECTIONS, 1)
        if group in _SECTIONS:
            remedy = f"{group}: stands where a group's name is expected; put it below all: or another group"
        elif near:
            remedy = f"did you mean {near[0]}:?"
        else:
            remedy = f"a host goes below {group}: hosts:, a group below {group}: children:, a variable below vars:"
        self._fault(
            f"unknown key {key!r} in group {group}",
            place,
            why="a group holds hosts:, children: and vars:",
            remedy=remedy,
        )

    def _children(self, group: str, section: yamlsource.Mapping) -> None:
        self.groups(section, group)

    def _variables(self, group: str, section: yamlsource.Mapping) -> None:
        self._set(group, section, self.builder.set_group_variables)

    def _hosts(self, group: str, section: yamlsource.Mapping) -> None:
        file, directory = str(self.document.path), str(self.document.path.parent)
        for entry, variables in section.items():
            place = yamlsource.place_of_key(section, entry)
            names, port = self._names(entry, place)
            if variables and not isinstance(variables, yamlsource.Mapping):
                self._fault(
                    f"host {entry} has {kind(variables)} where its variables belong",
                    yamlsource.place_of_value(section, entry, place),
                    remedy="write variables as name: value, one a line, below the host",
                )
                continue
            try:
                for name in names:
                    self.builder.add_host(name, group, file, directory, port, place)
                    if variables:
                        self._set(name, variables, self.builder.set_host_variables)
            except TooManyHosts as error:
                raise self.document.fault(error.what, place, remedy=error.remedy) from None

    def _names(self, entry: Any, place: Place | None) -> tuple[list[str], int | None]:
        if not isinstance(entry, str) or not entry:
            why = f"{entry!r} is {kind(entry)}" if entry != "" else "it is empty"
            self._fault("a host's name must be text", place, why=why, remedy=f'quote it: "{entry}"' if entry else None)
            return [], None
        try:
            return ranges.expand(entry)
        except InputError as error:
            self._placed(error, place)
            return [], None

    def _set(self, name: str, section: yamlsource.Mapping, setter: Any) -> None:
        """Give ``section`` to ``setter`` when every name in it is text."""
        for key in section:
            if not isinstance(key, str):
                self._fault(
                    f"variable names are text, not {kind(key)}: {key!r}",
                    yamlsource.place_of_key(section, key),
                    remedy=f'quote it: "{key}"',
                )
                return
        try:
            setter(name, section)
        except TooManyHosts:
            raise
        except InputError as error:
            self._placed(error, yamlsource.place_of_key(section, "ansible_group_priority"))
