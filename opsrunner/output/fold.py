"""Outputs of thousands of hosts in a few lines: hosts that printed the same stand together."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

from opsrunner.nodeset import fold_names, natural_key

Key = TypeVar("Key", bound=Hashable)


def label(hosts: Iterable[str]) -> str:
    """Names as people are shown them: folded, with their count when there are several."""
    unique = set(hosts)
    folded = fold_names(unique)
    return f"{folded} ({len(unique)})" if len(unique) > 1 else folded


def group_by_text(items: Iterable[tuple[str, str]]) -> list[tuple[list[str], str]]:
    """Hosts that have the same text, together: the biggest group first, hosts in natural order.

    Only one copy of each different text is kept, so that ``items`` may be a stream of far more
    than fits into memory.
    """
    groups: Groups[str] = Groups()
    for host, text in items:
        groups.add(host, text)
    return groups.biggest_first()


class Groups(Generic[Key]):
    """Hosts gathered under equal keys. A dict compares by hash first: equal megabytes stay cheap."""

    def __init__(self) -> None:
        self._hosts: dict[Key, list[str]] = {}

    def __len__(self) -> int:
        return len(self._hosts)

    def add(self, host: str, key: Key) -> None:
        self._hosts.setdefault(key, []).append(host)

    def biggest_first(self) -> list[tuple[list[str], Key]]:
        """``(hosts, key)`` for each key; groups of one size stand in the order of their first host."""
        rows = [(sorted(hosts, key=natural_key), key) for key, hosts in self._hosts.items()]
        rows.sort(key=lambda row: (-len(row[0]), natural_key(row[0][0])))
        return rows
