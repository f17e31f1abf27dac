"""What ``loop_control: extended`` tells of an item's place among the others."""

from __future__ import annotations

from typing import Any


def position(items: list[Any], index: int, *, with_all: bool) -> dict[str, Any]:
    """The variable ``ansible_loop`` of the item at ``index``."""
    last = len(items) - 1
    found: dict[str, Any] = {
        "index": index + 1,
        "index0": index,
        "first": index == 0,
        "last": index == last,
        "length": len(items),
        "revindex": len(items) - index,
        "revindex0": last - index,
    }
    if with_all:
        found["allitems"] = items
    if index < last:
        found["nextitem"] = items[index + 1]
    if index:
        found["previtem"] = items[index - 1]
    return found
