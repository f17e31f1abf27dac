"""Plays that are for hosts and groups which the run adds: which plays these may be, and who they are then. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from opsrunner.inventory import Inventory, patterns
from opsrunner.plan.batches import batches, ordered
from opsrunner.plan.check import play_tasks
from opsrunner.plan.model import Plan, Play
from opsrunner.plan.zones import zones_of
from opsrunner.playbook import Faults, Task
from opsrunner.playbook import Play as WrittenPlay
from opsrunner.templating import Templar

#: Modules that add to the inventory of a run.
ADDING = frozenset(("add_host", "group_by"))
_NAMES, _GROUPS = ("name", "hostname", "host"), ("groupname", "groups", "group")
_TEMPLATE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_ANYTHING = "*"
_WILD = frozenset("*?[")


class Makes(Struct, frozen=True):
    """Names of hosts and groups that a run may add to, each with ``*`` for what a template in it comes to."""

    hosts: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.hosts or self.groups)

    def __or__(self, other: Makes) -> Makes:
        return Makes(self.hosts | other.hosts, self.groups | other.groups)

    def may_make_group(self, name: str) -> bool:
        return any(fnmatchcase(name, made) for made in self.groups)

    def may_make_host(self, name: str) -> bool:
        return any(fnmatchcase(name, made) for made in self.hosts)

    def may_touch(self, parts: Iterable[str], inventory: Inventory) -> bool:
        """Whether what these single patterns name may be another thing then than it is in the inventory."""
        return bool(self) and any(self._touches(part, inventory) for part in parts)

    def _touches(self, part: str, inventory: Inventory) -> bool:
        word = part.lstrip("&!")
        if word.startswith("@"):
            return False
        if word.startswith("~"):
            return True
        if "[" in word:  # a position in a group, or a node set
            word = word[: word.index("[")] + _ANYTHING
        if any(_meet(word, name) for name in self._groups_with_others(inventory)):
            return True
        if word in inventory.groups or word in inventory.hosts:
            return False  # nobody gives a new host the name of a group
        return any(_meet(word, name) for name in self.hosts)

    def _groups_with_others(self, inventory: Inventory) -> Iterator[str]:
        """Groups that may have other hosts then: those that are added to, and those above."""
        yield from self.groups
        above = [name for name in inventory.groups if name != "all" and self.may_make_group(name)]
        while above:
            name = above.pop()
            yield name
            above += [parent for parent in inventory.groups[name].parents if parent != "all"]
        yield "ungrouped"
        if any(name not in inventory.hosts for name in self.hosts):
            yield "all"


def _meet(one: str, other: str) -> bool:
    """Whether two names that may hold wildcards can be the same."""
    if _WILD.intersection(one) and _WILD.intersection(other):
        begins, other_begins = (re.split(r"[*?\[]", name, maxsplit=1)[0] for name in (one, other))
        return begins.startswith(other_begins) or other_begins.startswith(begins)
    return fnmatchcase(one, other) or fnmatchcase(other, one)


def check_play(play: WrittenPlay, faults: Faults) -> None:
    """Note what adds a host once for a batch in a play of which no host waits for the others."""
    strategy = play.keywords.get("strategy")
    if strategy is None or strategy.value == "linear":
        return
    for task in play_tasks(play):
        if task.module == "add_host":
            faults.add(
                "add_host needs strategy: linear",
                task.place,
                why="it runs once for a batch, and under other strategies no host waits for the others",
                remedy="add the hosts in a play of their own",
            )


def made_by(tasks: Iterable[Task]) -> Makes:
    """What the tasks of a play may add."""
    found = Makes()
    for task in tasks:
        if task.module == "add_host":
            names = _said(task.arguments, _NAMES, [_ANYTHING])
            found |= Makes(frozenset(name.partition(":")[0] or name for name in names), _groups(task, _GROUPS))
        elif task.module == "group_by":
            names = [*_said(task.arguments, ("key",), []), *_groups(task, ("parents",))]
            found |= Makes(groups=frozenset(name.replace(" ", "-") for name in names) - {"all"})
    return found


def _groups(task: Task, arguments: Sequence[str]) -> frozenset[str]:
    return frozenset(part.strip() for name in _said(task.arguments, arguments, []) for part in name.split(","))


def _said(arguments: Mapping[str, Any], names: Sequence[str], default: list[str]) -> list[str]:
    """The texts of the first of these arguments that is there."""
    value = next((arguments[name] for name in names if arguments.get(name) is not None), None)
    if value is None:
        return default
    return [_wildcard(str(one)) for one in (value if isinstance(value, (list, tuple)) else [value])]


def _wildcard(text: str) -> str:
    return _ANYTHING if "{%" in text else _TEMPLATE.sub(_ANYTHING, text)


# ---------------------------------------------------------------------- when it is time
def next_undecided(plan: Plan, walk: int) -> Play | None:
    """The first play whose hosts are not decided in that walk of the run."""
    return next((play for play in plan.plays if play.late is not None and play.late.walk != walk), None)


def is_settled(plan: Plan, number: int) -> bool:
    """Whether all plays behind that one have their hosts."""
    return not any(play.is_undecided for play in plan.plays[number + 1 :])


def decided(plan: Plan, play: Play, inventory: Inventory, templar: Templar, walk: int) -> Plan:
    """The plan with the hosts and batches of that late play as ``inventory`` has them now.

    Who was in it keeps the batch: hosts that have come since are put behind. Raises InputError when the zone of a
    host cannot be rendered.
    """
    late, selections = play.late, plan.options.selections
    assert late is not None
    found = patterns.within(inventory, late.patterns, late.limit, selections)
    known = () if late.walk is None else play.hosts
    new = [host for host in found if host not in set(known)]
    more = batches(ordered(new, late.order, late.seed), late.serial)
    now = replace(play, hosts=(*known, *new), batches=(*play.batches, *more), late=replace(late, walk=walk))
    zones = {zone: list(hosts) for zone, hosts in plan.zones.items()}
    placed = {host for hosts in zones.values() for host in hosts}
    unplaced = [host for host in new if host not in placed]
    for zone, hosts in zones_of(inventory, unplaced, templar, plan.extra_vars).items():
        zones.setdefault(zone, []).extend(hosts)
    plays = tuple(now if one.number == play.number else one for one in plan.plays)
    return replace(plan, plays=plays, zones={zone: tuple(hosts) for zone, hosts in zones.items()})
