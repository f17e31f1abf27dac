"""A play's hosts in their order, cut into batches. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any


def ordered(hosts: Sequence[str], order: str | None, seed: str = "") -> list[str]:
    """The hosts by the play's ``order``; ``hosts`` come in the inventory's.

    ``shuffle`` gives the same order whenever the seed is the same, also of the hosts that are left of them.
    """
    if order == "shuffle":
        return sorted(hosts, key=lambda host: hashlib.blake2b(f"{seed}:{host}".encode(errors="surrogatepass")).digest())
    if order == "sorted":
        return sorted(hosts)
    if order == "reverse_sorted":
        return sorted(hosts, reverse=True)
    return list(reversed(hosts)) if order == "reverse_inventory" else list(hosts)


def batches(hosts: Sequence[str], serial: Sequence[Any]) -> tuple[tuple[str, ...], ...]:
    """The hosts cut by ``serial``.

    Each entry is a number of hosts or a percentage of all of the play's, rounded down and at least
    one host; the last entry is used again until all hosts are placed. An entry of 0 or less, or no
    entry at all, takes all that are left. Raises ValueError for an entry that is neither.
    """
    sizes = [size(entry, len(hosts)) for entry in serial] or [0]
    found: list[tuple[str, ...]] = []
    begin = 0
    while begin < len(hosts):
        wanted = sizes[min(len(found), len(sizes) - 1)]
        end = begin + wanted if wanted > 0 else len(hosts)
        found.append(tuple(hosts[begin:end]))
        begin = end
    return tuple(found)


def size(entry: Any, hosts: int) -> int:
    """How many hosts one entry of ``serial`` means when the play has ``hosts``."""
    if isinstance(entry, bool) or not isinstance(entry, (int, str)):
        raise ValueError(f"serial takes a number of hosts or a percentage, not {entry!r}")
    if isinstance(entry, str) and entry.endswith("%"):
        # Floating point, as Ansible has it: 29 % of 100 hosts are 28.
        return int((int(entry[:-1]) / 100.0) * hosts) or 1
    return int(entry)
