"""``serial_by``: the hosts of a play by the value of a variable, or by which child of a group they are in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from opsrunner.errors import Place
from opsrunner.inventory import Inventory
from opsrunner.plan.batches import batches
from opsrunner.plan.contrast import listed
from opsrunner.plan.scope import PlayScope
from opsrunner.playbook.values import is_identifier
from opsrunner.templating import TemplateFailure

#: The hosts of each value, both in order of appearance.
Parts = Mapping[str, Sequence[str]]


class Partition:
    """Tells what the hosts of a play are taken together by; what is wrong with that is noted in the scope's faults."""

    def __init__(
        self,
        by: str,
        place: Place,
        scope: PlayScope,
        inventory: Inventory,
        known_of: Callable[[str], Mapping[str, Any]],
    ) -> None:
        self._by = by
        self._place = place
        self._scope = scope
        self._inventory = inventory
        self._known_of = known_of

    def parts(self, hosts: Iterable[str]) -> Parts:
        """The hosts by their value; nobody where a host has none, or where ``by`` names nothing."""
        group = self._inventory.groups.get(self._by)
        if group is None and not is_identifier(self._by):
            self._note(f"serial_by takes the name of a group or a variable, and {self._by!r} is neither")
            return {}
        if group is not None and not group.children:
            self._note(f"the group {self._by} has no children", remedy="name the group above the batches")
            return {}
        children = {child: frozenset(self._inventory.hosts_of(child)) for child in group.children} if group else {}
        found: dict[str, list[str]] = {}
        without: dict[str, list[str]] = {}
        for host in hosts:
            values = [child for child, members in children.items() if host in members] if group else self._value(host)
            if len(values) == 1:
                found.setdefault(values[0], []).append(host)
            else:
                without.setdefault(self._why(values), []).append(host)
        for why, names in without.items():
            self._note(f"{listed(names)}: {why}", remedy="each host must be in just one batch")
        return {} if without else found

    def _value(self, host: str) -> list[str]:
        """The variable's value as a text; none where it is not there, is empty, or is not one value."""
        try:
            value = self._scope.try_render("{{ " + self._by + " }}", lowest=self._known_of(host))
        except TemplateFailure:
            return []
        if value is None or value == "" or isinstance(value, (Mapping, list, tuple)):
            return []
        return [str(value)]

    def _why(self, values: Sequence[str]) -> str:
        if values:
            return f"in several of the children of {self._by} ({', '.join(values)}), which serial_by names"
        if self._by in self._inventory.groups:
            return f"in no child of the group {self._by}, which serial_by names"
        return f"no single value of the variable {self._by}, which serial_by names"

    def _note(self, what: str, remedy: str | None = None) -> None:
        self._scope.faults.add(what, self._place, remedy=remedy)


def cut(parts: Parts, serial: Sequence[Any]) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """Batches and what each is called: one value in each, or as many as ``serial`` says."""
    taken = batches(tuple(parts), serial or (1,))
    together = tuple(tuple(host for value in values for host in parts[value]) for values in taken)
    return together, tuple(", ".join(values) for values in taken)
