"""What single host patterns name in one inventory: names, wildcards, ``~regex``, ``db[0]``, ``web[01-20,25]``."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from opsrunner.errors import InputError, did_you_mean
from opsrunner.inventory import expressions
from opsrunner.inventory.inventory import Inventory
from opsrunner.nodeset import expand_term, fold_names

#: Characters that let a pattern match hosts as well, where it matches a group already.
_SPECIAL = frozenset(".?*[")
#: Characters that make a pattern match other names than itself.
_WILD = frozenset("?*[")

#: ``base[3]``, ``base[-1]``, ``base[1:3]``, ``base[1:]``.
_SUBSCRIPT = re.compile(r"(.+)\[(?:(-?[0-9]+)|([0-9]+):([0-9]*))\]")
#: ``base[1-3]``: Ansible's subscripts were written so once; it warns of them.
_DASHED = re.compile(r"(.+)\[([0-9]+)-([0-9]*)\]")
_COMMA_IN_BRACKETS = re.compile(r"\[[^\[\],]*,[^\[\]]*\]")
#: A name with ranges of numbers in it, which may be a node set as well as a shell wildcard.
_RANGES = re.compile(r"[^\[\]*?\\]*(?:\[[0-9]+-[0-9]+(?:/[0-9]+)?\][^\[\]*?\\]*)+")
#: A range that means other names in a node set than as a wildcard's set of characters.
_WIDE_RANGE = re.compile(r"\[(?![0-9]-[0-9]\])")
_RANGE = re.compile(r"\[([0-9]+)-([0-9]+)\]")
#: What people write for a slice, and Ansible takes for a set of characters.
_NO_SLICE = re.compile(r".+\[-?[0-9]*:-?[0-9]*(?::-?[0-9]*)?\]")

#: Characters of a shell wildcard: to read one takes as long as the square of its length.
_WILDCARD_LENGTH = 4096
_REGEX_LENGTH = 16_384
#: Digits of a position in a group; more hosts there never are.
_POSITION_DIGITS = 18
#: Faults with a name that was perhaps meant: to look for one takes long among thousands of names.
_SUGGESTIONS = 5
#: Unknown names of one node set that an error tells.
_NAMED = 1000
_GRAPH = "`opsrunner inventory graph` shows what there is"


class PatternError(InputError):
    """A host pattern is wrong or matches nothing; ``part`` is the piece of it that is at fault."""

    def __init__(self, what: str, part: str, *, why: str | None = None, remedy: str | None = None) -> None:
        super().__init__(what, why=why, remedy=remedy)
        self.part = part


class Evaluation:
    """One pattern and its limit; what they name in vain is collected in ``faults``.

    ``selections`` are the hosts that ``@name`` stands for.
    """

    def __init__(self, inventory: Inventory, selections: Mapping[str, Sequence[str]]) -> None:
        self.inventory = inventory
        self.selections = selections
        self.faults: list[InputError] = []
        #: The name under which the implicit localhost was first asked for.
        self._implicit: str | None = None

    def evaluate(self, parts: Sequence[str]) -> list[str]:
        """The hosts of several single patterns: unions first, then intersections, then exclusions.

        Raises PatternError for a part that cannot be read.
        """
        hosts: dict[str, None] = {}
        for part in _by_kind(parts):
            if part in self.inventory.hosts:
                hosts[part] = None
                continue
            sign = part[0] if part[0] in "&!" else ""
            body = part[len(sign) :]
            if not body:
                raise PatternError(f"nothing follows {sign} in the pattern", part, remedy=f"write {sign}name")
            found = self._one(body)
            if sign == "!":
                for host in found:
                    hosts.pop(host, None)
            elif sign == "&":
                both = set(found)
                hosts = {host: None for host in hosts if host in both}
            else:
                hosts.update(dict.fromkeys(found))
        return list(hosts)

    def _one(self, part: str) -> list[str]:
        if part.startswith("@"):
            return self._selected(part)
        if part.startswith("~"):
            return self._matching(part)
        subscript = _SUBSCRIPT.fullmatch(part)
        if subscript:
            hosts = self._base(subscript[1])
            return _subscripted(hosts, subscript) if hosts else hosts
        dashed = _DASHED.fullmatch(part)
        if dashed and _WILD.intersection(_RANGE.sub("", _COMMA_IN_BRACKETS.sub("", dashed[1]))):
            raise PatternError(
                f"{part}: a subscript with a dash",
                part,
                why="a node set takes no wildcard",
                remedy=f"write {dashed[1]}[{dashed[2]}:{dashed[3]}]",
            )
        return self._node_set(part) if dashed else self._base(part)

    def _base(self, part: str) -> list[str]:
        """What Ansible makes of a pattern without a subscript; a node set where that is nothing."""
        if _COMMA_IN_BRACKETS.search(part):
            return self._node_set(part)
        if not _RANGES.fullmatch(part):
            return self._matching(part)
        found = self._matching_names(part)[0]
        if not found:
            return self._node_set(part)
        if _WIDE_RANGE.search(part):
            named = self._known(expand_node_set(part))[0]
            if set(named) != set(found):
                raise PatternError(
                    f"{part} may mean two things",
                    part,
                    why=f"as a wildcard, which it is to Ansible, it matches {fold_names(found)}; "
                    f"as a node set it names {fold_names(named) or 'no host'}",
                    remedy=f"write {explicit(part)} for the node set, and single characters for the wildcard: [012]",
                )
        return found

    def _node_set(self, part: str) -> list[str]:
        names = expand_node_set(part)
        found, unknown = self._known(names)
        if unknown:
            some = fold_names(unknown[:_NAMED])
            more = f" and {len(unknown) - _NAMED:,} more" if len(unknown) > _NAMED else ""
            among = f" of the node set {part}" if len(unknown) < len(names) else ""
            dashed = None if among else _DASHED.fullmatch(part)
            group = dashed[1] if dashed and dashed[1] in self.inventory.groups else None
            self.faults.append(
                PatternError(
                    f"no group or host is called {some}{more}{among}",
                    part,
                    remedy=f"positions in the group {group} are written {group}[{dashed[2]}:{dashed[3]}]"
                    if dashed and group
                    else _GRAPH,
                )
            )
        return found

    def _known(self, names: Iterable[str]) -> tuple[list[str], list[str]]:
        """The hosts that plain names stand for, each a host or a group, and the names that are neither."""
        found: list[str] = []
        unknown: list[str] = []
        for name in names:
            if name in self.inventory.hosts:
                found.append(name)
            elif name in self.inventory.groups:
                found += self.inventory.hosts_of(name)
            elif local := self._local(name):
                found.append(local)
            else:
                unknown.append(name)
        return found, unknown

    def _selected(self, part: str) -> list[str]:
        hosts = self.selections.get(part[1:])
        if hosts is None:
            raise PatternError(
                f"{part} does not stand for hosts here",
                part,
                remedy="@FILE stands in --limit and takes no sign; @failed-of-RUN stands in --limit and on the"
                " command line",
            )
        known = [host for host in hosts if self.inventory.knows(host)]
        if len(known) < len(hosts):
            gone = fold_names(set(hosts).difference(known))
            self.faults.append(PatternError(f"{gone} of {part} is in no inventory", part, remedy=_GRAPH))
        return known

    def _matching(self, part: str) -> list[str]:
        found, any_group = self._matching_names(part)
        if not found:
            local = self._local(part)
            if local:
                return [local]
            if not any_group:
                self.faults.append(self._unknown(part))
        return found

    def _matching_names(self, part: str) -> tuple[list[str], bool]:
        """The hosts of matching groups, the matching hosts, and whether a group matched."""
        inventory = self.inventory
        if part[0] != "~" and not _WILD.intersection(part):
            groups = [part] if part in inventory.groups else []
            names = [part] if part in inventory.hosts else []
        else:
            try:
                matches = _matcher(part)
                groups = [name for name in inventory.groups if matches(name)]
                names = [name for name in inventory.hosts if matches(name)]
            except InputError as error:
                raise PatternError(error.what, part, why=error.why, remedy=error.remedy) from None
        # A host found twice stays twice until subscripts are taken: Ansible counts so.
        found = [host for group in groups for host in inventory.hosts_of(group)]
        if not groups or part[0] == "~" or _SPECIAL.intersection(part):
            found += names
        return found, bool(groups)

    def _local(self, name: str) -> str | None:
        host = self.inventory.local_name(name)
        if host is None or host in self.inventory.hosts:
            return host
        self._implicit = self._implicit or host
        return self._implicit

    def _unknown(self, part: str) -> PatternError:
        if _NO_SLICE.fullmatch(part):
            return PatternError(
                f"{part} is no slice, and as a wildcard it matches nothing",
                part,
                remedy="write [0:4], both ends included, [2:] or [-1]",
            )
        if part[0] == "~" or _WILD.intersection(part):
            return PatternError(f"no group and no host matches {part}", part, remedy=_GRAPH)
        return PatternError(f"no group or host is called {part}", part, remedy=self._remedy(part))

    def _remedy(self, part: str) -> str:
        if part[0] in "&!":
            return "one sign is enough"
        if ":" in part and all(self._known([name])[0] for name in part.split(":")):
            return "where there is a comma, colons separate nothing: write commas alone"
        if part.rpartition(":")[0] in self.inventory.hosts:
            return f"write {part.rpartition(':')[0]}: a pattern has no port"
        if len(self.faults) >= _SUGGESTIONS:
            return _GRAPH
        return did_you_mean(part, [*self.inventory.groups, *self.inventory.hosts], _GRAPH)


def expand_node_set(part: str) -> list[str]:
    """The names of a node set in the order in which they are written. Raises PatternError."""
    try:
        if "*" in part or "?" in part:
            raise InputError("", why="a node set takes no wildcard")
        return expand_term(part)
    except InputError as error:
        raise PatternError(
            f"{part} is no node set",
            part,
            why=error.why,
            remedy="a comma or a range of numbers in brackets makes a node set: web[01-20,25]; a wildcard's set of"
            " characters is written [ab]",
        ) from None


def explicit(part: str) -> str:
    """The node set with a comma in its first range, so that it can mean nothing else."""

    def divided(found: re.Match[str]) -> str:
        low, high = found[1], found[2]
        before = str(int(high) - 1).zfill(len(low) if low.startswith("0") else 0)
        return f"[{low},{high}]" if before == low else f"[{low}-{before},{high}]"

    return _RANGE.sub(divided, part, count=1)


def _by_kind(parts: Iterable[str]) -> list[str]:
    """Unions, then intersections, then exclusions; all hosts where there is no union."""
    unions: list[str] = []
    intersections: list[str] = []
    exclusions: list[str] = []
    for part in parts:
        (exclusions if part[0] == "!" else intersections if part[0] == "&" else unions).append(part)
    return (unions or ["all"]) + intersections + exclusions


def _matcher(part: str) -> Callable[[str], object]:
    """Tells whether a name fits: a regex from its beginning, or a shell pattern as a whole."""
    longest = _REGEX_LENGTH if part[0] == "~" else _WILDCARD_LENGTH
    if len(part) > longest:
        raise PatternError(f"a pattern of {len(part):,} characters", part, remedy=f"at most {longest:,}: write several")
    if part[0] != "~":
        return re.compile(fnmatch.translate(part)).match
    return expressions.matcher(part[1:])


def _subscripted(hosts: list[str], subscript: re.Match[str]) -> list[str]:
    """One host, or the slice from first to last, both included."""
    if max(len(digits or "") for digits in subscript.groups()[1:]) > _POSITION_DIGITS:
        raise PatternError(f"{subscript[0]}: no group has that many hosts", subscript[0], remedy="mend the number")
    if subscript[2]:
        first, last = int(subscript[2]), 0
    else:
        first, last = int(subscript[3]), int(subscript[4]) if subscript[4] else len(hosts) - 1
    if last or subscript[4] == "":
        return hosts[first : last + 1]
    try:
        return [hosts[first]]
    except IndexError:
        raise PatternError(
            f"{subscript[0]}: there are only {len(set(hosts))} hosts in {subscript[1]}",
            subscript[0],
            remedy=f"the last one is {subscript[1]}[-1]",
        ) from None
