"""Host patterns: ``web:&frankfurt:!web3``, wildcards, ``~regex``, ``db[0]``, and ``--limit``."""

from __future__ import annotations

import difflib
import fnmatch
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from opsrunner import yamlsource
from opsrunner.errors import InputError, raise_all
from opsrunner.inventory import addresses
from opsrunner.inventory.inventory import Inventory

#: Characters that let a pattern match hosts as well, where it matches a group already.
_SPECIAL = frozenset(".?*[")

#: ``base[3]``, ``base[-1]``, ``base[1:3]``, ``base[1:]``.
_SUBSCRIPT = re.compile(r"(.+)\[(?:(-?[0-9]{1,18})|([0-9]{1,18})([:-])([0-9]{0,18}))\]")

#: Runs of anything but blanks, colons and brackets, brackets only in pairs.
_COLON_SEPARATED = re.compile(r"(?:[^\s:\[\]]|\[[^\]]*\])+")


class PatternError(InputError):
    """A host pattern is wrong or matches nothing; ``part`` is the piece of it that is at fault."""

    def __init__(self, what: str, part: str, *, why: str | None = None, remedy: str | None = None) -> None:
        super().__init__(what, why=why, remedy=remedy)
        self.part = part


def match(
    inventory: Inventory,
    pattern: str | Sequence[str],
    *,
    limit: str | Sequence[str] | None = None,
    allow_empty: bool = False,
    base: Path | None = None,
) -> list[str]:
    """The hosts that ``pattern`` names, in Ansible's order, each once.

    Unions come first, then intersections (``&``), then exclusions (``!``), wherever they stand.
    ``limit`` keeps of them what it matches itself; ``@file`` in it holds a pattern a line
    (relative to ``base``, by default the current directory). ``localhost`` names the implicit
    localhost where no inventory lists it.

    Raises PatternError for a name that is neither group nor host and for a pattern that matches no
    host, unless ``allow_empty``; always for one that cannot be read.
    """
    evaluation = _Evaluation(inventory)
    hosts = evaluation.evaluate(split(pattern))
    shown = _shown(pattern)
    if limit is not None:
        kept = set(evaluation.evaluate(_limit_parts(limit, base)))
        if hosts and not [host for host in hosts if host in kept]:
            shown = f"{shown} limited to {_shown(limit)}"
        hosts = [host for host in hosts if host in kept]
    if not allow_empty:
        raise_all(evaluation.faults)
        if not hosts:
            raise PatternError(
                f"pattern {shown} matches no host",
                shown,
                remedy="`opsrunner inventory graph` shows what there is; --allow-empty accepts it",
            )
    return hosts


def split(pattern: str | Sequence[str]) -> list[str]:
    """The single patterns in ``pattern``: separated by commas, or by colons where there is no comma."""
    if not isinstance(pattern, str):
        return [part for one in pattern for part in split(one)]
    if "," in pattern:
        parts = pattern.split(",")
    elif addresses.parse(pattern):
        # An IPv6 address or a range has colons of its own.
        parts = [pattern]
    else:
        parts = _COLON_SEPARATED.findall(pattern)
    return [part.strip() for part in parts if part.strip()]


def _shown(pattern: str | Sequence[str]) -> str:
    return repr(pattern if isinstance(pattern, str) else ",".join(pattern))


def _limit_parts(limit: str | Sequence[str], base: Path | None) -> list[str]:
    parts: list[str] = []
    for part in split(limit):
        if not part.startswith("@"):
            parts.append(part)
            continue
        path = (base or Path()) / part[1:]
        try:
            text = yamlsource.read_file(path, name=part[1:])
        except InputError as error:
            raise PatternError(
                f"cannot read the limit file {part[1:]}",
                part,
                why=error.why or error.what,
                remedy="@ is followed by a file of patterns",
            ) from None
        parts.extend(line.strip() for line in text.split("\n") if line.strip())
    return parts


def _by_kind(parts: Iterable[str]) -> list[str]:
    """Unions, then intersections, then exclusions; all hosts where there is no union."""
    unions: list[str] = []
    intersections: list[str] = []
    exclusions: list[str] = []
    for part in parts:
        (exclusions if part[0] == "!" else intersections if part[0] == "&" else unions).append(part)
    return (unions or ["all"]) + intersections + exclusions


class _Evaluation:
    """One pattern and its limit; what they name in vain is collected in ``faults``."""

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self.faults: list[InputError] = []
        #: The name under which the implicit localhost was first asked for.
        self.implicit: str | None = None

    def evaluate(self, parts: Sequence[str]) -> list[str]:
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
        subscript = None if part.startswith("~") else _SUBSCRIPT.fullmatch(part)
        if not subscript:
            return self._named(part)
        if subscript[4] == "-":
            raise PatternError(
                f"{part}: a subscript with a dash", part, remedy=f"write {subscript[1]}[{subscript[3]}:{subscript[5]}]"
            )
        hosts = self._named(subscript[1])
        return _subscripted(hosts, subscript) if hosts else hosts

    def _named(self, part: str) -> list[str]:
        inventory = self.inventory
        matches = _matcher(part)
        groups = [name for name in inventory.groups if matches(name)]
        # A host found twice stays twice until subscripts are taken: Ansible counts so.
        found = [host for group in groups for host in inventory.hosts_of(group)]
        if not groups or part[0] == "~" or _SPECIAL.intersection(part):
            found += [name for name in inventory.hosts if matches(name)]
        if not found:
            local = self._local(part)
            if local:
                return [local]
        if not found and not groups:
            self.faults.append(self._unknown(part))
        return found

    def _local(self, name: str) -> str | None:
        host = self.inventory.local_name(name)
        if host is None or host in self.inventory.hosts:
            return host
        self.implicit = self.implicit or host
        return self.implicit

    def _unknown(self, part: str) -> PatternError:
        if part[0] == "~" or _SPECIAL.intersection(part) - {"."}:
            return PatternError(
                f"no group and no host matches {part}", part, remedy="`opsrunner inventory graph` shows what there is"
            )
        near = difflib.get_close_matches(part, [*self.inventory.groups, *self.inventory.hosts], 1)
        return PatternError(
            f"no group or host is called {part}",
            part,
            remedy=f"did you mean {near[0]}?" if near else "`opsrunner inventory graph` shows what there is",
        )


def _matcher(part: str) -> Callable[[str], object]:
    """Tells whether a name fits: a regex from its beginning, or a shell pattern as a whole."""
    if part[0] != "~":
        if not _SPECIAL.intersection(part) - {"."}:
            return part.__eq__
        return re.compile(fnmatch.translate(part)).match
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a later Python may read otherwise is no business of the operator's
            return re.compile(part[1:]).match
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternError(f"{part} is no regular expression", part, why=str(error)) from None


def _subscripted(hosts: list[str], subscript: re.Match[str]) -> list[str]:
    """One host, or the slice from first to last, both included."""
    if subscript[2]:
        first, last = int(subscript[2]), 0
    else:
        first, last = int(subscript[3]), int(subscript[5]) if subscript[5] else len(hosts) - 1
    if last or subscript[5] == "":
        return hosts[first : last + 1]
    try:
        return [hosts[first]]
    except IndexError:
        raise PatternError(
            f"{subscript[0]}: there are only {len(set(hosts))} hosts in {subscript[1]}",
            subscript[0],
            remedy=f"the last one is {subscript[1]}[-1]",
        ) from None
