"""Two inventories side by side: hosts that came and went, groups and variables that changed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from opsrunner.inventory import Inventory
from opsrunner.plan.contrast import changed_names, listed
from opsrunner.plan.model import Plan


class Difference(Struct, frozen=True):
    """One thing that changed, in words; ``hosts`` are those it is about, for whoever shows them to fold."""

    text: str
    hosts: tuple[str, ...] = ()


def inventory_differences(old: Plan, new: Plan) -> Iterator[Difference]:
    """What changed in the inventory: of variables their names only, any of them could be a secret."""
    if old.inventory == new.inventory:
        return
    before, after = Inventory.from_data(old.inventory), Inventory.from_data(new.inventory)
    gone = tuple(host for host in before.hosts if host not in after.hosts)
    if gone:
        yield Difference("gone from the inventory", gone)
    # Those that a play gained are told of there.
    targeted = {host for play in new.plays for host in play.hosts}
    came = tuple(host for host in after.hosts if host not in before.hosts and host not in targeted)
    if came:
        yield Difference("new in the inventory", came)
    both = [host for host in before.hosts if host in after.hosts]
    if both != [host for host in after.hosts if host in before.hosts]:
        yield Difference("the order of the hosts in the inventory changed")
    yield from _group_differences(before, after, both)
    own = [host for play in old.plays for host in play.hosts if host not in before.hosts and after.knows(host)]
    yield from _variable_differences(before, after, dict.fromkeys((*both, *own)))


def _group_differences(before: Inventory, after: Inventory, hosts: Iterable[str]) -> Iterator[Difference]:
    found: dict[tuple[str, ...], list[str]] = {}
    for host in hosts:
        old, new = before.groups_of(host), after.groups_of(host)
        if old != new:
            words = (*(f"+{name}" for name in new if name not in old), *(f"-{name}" for name in old if name not in new))
            found.setdefault(words, []).append(host)
    for words, members in found.items():
        yield Difference(f"groups changed: {listed(words)}", tuple(members))


def _variable_differences(before: Inventory, after: Inventory, hosts: Iterable[str]) -> Iterator[Difference]:
    found: dict[tuple[str, ...], list[str]] = {}
    for host in hosts:
        names = changed_names(before.variables(host), after.variables(host))
        if names:
            found.setdefault(tuple(sorted(names)), []).append(host)
    for names_changed, members in found.items():
        yield Difference(f"variables changed: {listed(names_changed)}", tuple(members))
