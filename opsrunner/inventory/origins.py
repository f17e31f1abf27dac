"""Where variables were written, noted while an inventory is read, for whoever asks afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from opsrunner.errors import Place

#: Names one row of variables: ("group", "web"), ("host", "web1"), ("group_vars", "web", folder) …
Row = tuple[str, ...]


class Definition(NamedTuple):
    """One time that a variable was given a value.

    ``level`` is what gave it, in Ansible's words (``group web``, ``host``, ``playbook group_vars/all``);
    ``place`` is None where no file says it, as for a port in a host list.
    """

    level: str
    place: Place | None
    value: Any


class Origins:
    """Every value a variable was given, in the order in which the values were read.

    Only made when somebody wants to know: it is several times as large as the inventory.
    """

    def __init__(self) -> None:
        self._noted: dict[tuple[Row, str], list[tuple[Any, Place | None]]] = {}

    def note(self, row: Row, given: Mapping[str, Any], places: Mapping[Any, Place | None]) -> None:
        """Keep that ``row`` was given these variables, each by the key at its place."""
        for name, value in given.items():
            self._noted.setdefault((row, name), []).append((value, places.get(name)))

    def of(self, row: Row, name: str, level: str) -> list[Definition]:
        """What ``row`` was given for ``name``, the value that counts last."""
        return [Definition(level, place, value) for value, place in self._noted.get((row, name), ())]
