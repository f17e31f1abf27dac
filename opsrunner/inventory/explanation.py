"""What each variable of a host is, where that was written, and what it overrode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from opsrunner.inventory.inventory import Inventory
from opsrunner.inventory.listing import INTERNAL, on_one_line
from opsrunner.inventory.model import Variables
from opsrunner.inventory.origins import Definition, Origins, Row

#: Columns for the places; longer ones push what follows to the right.
_PLACE_WIDTH = 40


class Explanation(Struct, frozen=True):
    """Why the variables of ``host`` are what they are.

    ``groups`` are name, depth below ``all`` and ``ansible_group_priority``, lowest first;
    ``variables``, sorted by name, are every value each was given, first the one that counts.
    """

    host: str
    groups: tuple[tuple[str, int, int], ...]
    variables: Mapping[str, tuple[Definition, ...]]


def explain(inventory: Inventory, origins: Origins, host: str) -> Explanation:
    """Explain a known ``host`` of an inventory that was loaded with ``origins``."""
    groups = inventory.groups
    rows: dict[Row, tuple[str, Variables]] = {}
    for level, row, variables in inventory.rows(host):
        # A folder that several sources lie in counts anew after each of them; told is the last time.
        rows.pop(row, None)
        rows[row] = (level, variables)
    found: dict[str, list[Definition]] = {}
    for row, (level, variables) in rows.items():
        for name, value in variables.items():
            if name not in INTERNAL:
                given = origins.of(row, name, level) or [Definition(level, None, value)]
                found.setdefault(name, []).extend(_with_host_list(one, inventory, host) for one in given)
    return Explanation(
        host,
        tuple((name, groups[name].depth, groups[name].priority) for name in ("all", *inventory.lineage(host))),
        {name: tuple(reversed(found[name])) for name in sorted(found)},
    )


def _with_host_list(definition: Definition, inventory: Inventory, host: str) -> Definition:
    """A port that a host list gives stands in no file: the list itself is named."""
    listed = inventory.hosts.get(host)
    if definition.level == "host" and definition.place is None and listed and listed.directory is None:
        return definition._replace(level=f"host list {listed.file}")
    return definition


def as_data(explanation: Explanation) -> dict[str, Any]:
    """The explanation for JSON or YAML; ``overrode`` begins with what would count else."""
    return {
        "host": explanation.host,
        "groups": [
            {"name": name, "depth": depth, "ansible_group_priority": priority}
            for name, depth, priority in explanation.groups
        ],
        "variables": {
            name: {**_data(counts), "overrode": [_data(one) for one in overridden]}
            for name, (counts, *overridden) in explanation.variables.items()
        },
    }


def _data(definition: Definition) -> dict[str, Any]:
    file, line, column = definition.place or (None, None, None)
    return {"value": definition.value, "level": definition.level, "file": file, "line": line, "column": column}


def as_text(explanation: Explanation, width: int | None) -> Iterator[str]:
    """The explanation for people, a line each, values cut so that lines fit ``width`` columns."""
    yield f"groups of {explanation.host}, later ones win:"
    widest = max(len(name) for name, _, _ in explanation.groups)
    for name, depth, priority in explanation.groups:
        yield f"  {name:{widest}}  depth {depth}" + (f", priority {priority}" if priority != 1 else "")
    places = [len(str(one.place or "")) for given in explanation.variables.values() for one in given]
    column = min(max(places, default=0), _PLACE_WIDTH)
    for name, (counts, *overridden) in explanation.variables.items():
        yield ""
        yield _with_value(name, counts.value, width)
        yield f"  from {_where(counts, column)}"
        for one in overridden:
            yield _with_value(f"  over {_where(one, column)}", one.value, width)


def _where(definition: Definition, column: int) -> str:
    return f"{definition.place or '-'!s:{column}}  {definition.level}"


def _with_value(head: str, value: Any, width: int | None) -> str:
    text = on_one_line(value)
    # Of a value some is shown even where the line gets longer than the terminal.
    room = len(text) if width is None else max(width - len(head) - 3, 12)
    return f"{head} = {text if len(text) <= room else text[: room - 1] + '…'}"
