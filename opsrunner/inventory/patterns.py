"""Host patterns: ``web:&frankfurt:!web3``, ``web[01-20,25]``, and ``--limit``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from opsrunner import yamlsource
from opsrunner.errors import InputError, raise_all
from opsrunner.inventory import addresses
from opsrunner.inventory.evaluation import Evaluation, PatternError, explicit
from opsrunner.inventory.inventory import Inventory
from opsrunner.nodeset import expand_term, fold_terms

__all__ = ["PatternError", "check_limit", "folded", "limit_parts", "match", "split", "within"]

#: Runs of anything but blanks, colons and brackets, brackets only in pairs.
_COLON_SEPARATED = re.compile(r"(?:[^\s:\[\]]|\[[^\]]*\])+")
#: Pairs of brackets in one pattern; what looks for their other halves takes the square of the time.
MAX_BRACKETS = 1_000
#: Runs of anything but commas, which in a pair of brackets belong to a node set.
_COMMA_SEPARATED = re.compile(r"(?:\[[^\[\]]*\]|[^,])+")
_RANGES = re.compile(r"\[([0-9]+)[,-][0-9,/-]*\]")

_NO_SELECTIONS: Mapping[str, Sequence[str]] = {}


def match(
    inventory: Inventory,
    pattern: str | Sequence[str],
    *,
    limit: str | Sequence[str] | None = None,
    allow_empty: bool = False,
    base: Path | None = None,
    selections: Mapping[str, Sequence[str]] = _NO_SELECTIONS,
) -> list[str]:
    """The hosts that ``pattern`` names, in Ansible's order, each once.

    Unions come first, then intersections (``&``), then exclusions (``!``), wherever they stand.
    ``limit`` keeps of them what it matches itself; ``@file`` in it holds a pattern a line
    (relative to ``base``, by default the current directory). ``@name`` of ``selections`` stands for
    those hosts, in both. A pattern that says nothing names all hosts, as in Ansible, and an empty
    limit is none. ``localhost`` names the implicit localhost where no inventory lists it.

    Raises PatternError for a name that is neither group nor host and for a pattern that matches no
    host, unless ``allow_empty``; always for one that cannot be read.
    """
    evaluation = Evaluation(inventory, selections)
    parts = split(pattern)
    hosts = evaluation.evaluate(parts)
    shown = _shown(pattern)
    kept_by = limit_parts(limit, base, selections) if limit is not None else []
    if kept_by:
        kept = set(evaluation.evaluate(kept_by))
        if hosts and not kept.intersection(hosts):
            shown = f"{shown} limited to {_shown(limit or '')}"
        hosts = [host for host in hosts if host in kept]
    if not allow_empty:
        raise_all(evaluation.faults)
        if not hosts:
            raise PatternError(
                f"pattern {shown} matches no host",
                shown,
                why=_why_none((*parts, *kept_by), selections),
                remedy="`opsrunner inventory graph` shows what there is; --allow-empty accepts it",
            )
    return hosts


def within(
    inventory: Inventory,
    pattern: str | Sequence[str],
    limit: Sequence[str] | None,
    selections: Mapping[str, Sequence[str]] = _NO_SELECTIONS,
) -> list[str]:
    """The hosts that ``pattern`` names and the single patterns of a limit (:func:`limit_parts`) keep, maybe none."""
    evaluation = Evaluation(inventory, selections)
    hosts = evaluation.evaluate(split(pattern))
    if not limit:
        return hosts
    kept = set(evaluation.evaluate(limit))
    return [host for host in hosts if host in kept]


def check_limit(
    inventory: Inventory,
    limit: str | Sequence[str],
    *,
    allow_empty: bool = False,
    selections: Mapping[str, Sequence[str]] = _NO_SELECTIONS,
) -> None:
    """Raises what :func:`match` would raise for the limit alone, whatever the pattern that it limits."""
    evaluation = Evaluation(inventory, selections)
    parts = limit_parts(limit, None, selections) if isinstance(limit, str) else list(limit)
    hosts = evaluation.evaluate(parts)
    if allow_empty:
        return
    raise_all(evaluation.faults)
    if not hosts:
        raise PatternError(
            f"--limit {_shown(limit)} matches no host",
            limit if isinstance(limit, str) else ",".join(limit),
            why=_why_none(parts, selections),
            remedy="--allow-empty accepts it",
        )


def split(pattern: str | Sequence[str]) -> list[str]:
    """The single patterns in ``pattern``: separated by commas, or by colons where there is no comma.

    A comma in brackets separates nothing. Raises PatternError for half a pair of brackets.
    """
    if not isinstance(pattern, str):
        return [part for one in pattern for part in split(one)]
    parts = _COMMA_SEPARATED.findall(pattern)
    if any(part.count("[") > MAX_BRACKETS for part in parts):
        raise PatternError(f"a pattern with more than {MAX_BRACKETS:,} brackets", pattern, remedy="mend it")
    if "," not in _COMMA_SEPARATED.sub("", pattern) and not _is_address(pattern.strip()):
        # The first test is the second one's where it would take long.
        if pattern.rfind("[") > pattern.rfind("]") or re.search(r"[\[\]]", _COLON_SEPARATED.sub("", pattern)):
            raise PatternError(
                f"{pattern}: a bracket without its other half", pattern, remedy="write [ and ] in pairs, as in web[0]"
            )
        parts = _COLON_SEPARATED.findall(pattern)
    return [part.strip() for part in parts if part.strip()]


def folded(inventory: Inventory, hosts: Iterable[str]) -> str:
    """The hosts as node sets on one line; typed in again it names just these hosts in this inventory."""
    return ",".join(_unmistakable(inventory, term) for term in fold_terms(hosts))


def _unmistakable(inventory: Inventory, term: str) -> str:
    if "[" not in term:
        return term
    try:
        same = set(Evaluation(inventory, {}).evaluate([term])) == set(expand_term(term))
    except PatternError:
        same = False
    return term if same else explicit(term)


def _is_address(pattern: str) -> bool:
    """Whether the colons in ``pattern`` are those of an address, a range or a port."""
    return addresses.parse(pattern) is not None or (
        "::" in pattern and addresses.is_ipv6(_RANGES.sub(r"\1", pattern))  # a node set of addresses
    )


def _shown(pattern: str | Sequence[str]) -> str:
    return repr(pattern if isinstance(pattern, str) else ",".join(pattern))


def _why_none(parts: Iterable[str], selections: Mapping[str, Sequence[str]]) -> str | None:
    for part in parts:
        name = part.lstrip("&!").removeprefix("@")
        if name in selections and not selections[name]:
            return f"@{name} names no host"
    return None


def limit_parts(
    limit: str | Sequence[str],
    base: Path | None = None,
    selections: Mapping[str, Sequence[str]] = _NO_SELECTIONS,
) -> list[str]:
    """The single patterns of a limit, those of its files in their place. Raises PatternError for a bad file."""
    parts: list[str] = []
    for part in split(limit):
        if part.startswith("@") and part[1:] not in selections:
            parts += _file_parts(part, base)
        else:
            parts.append(part)
    return parts


def _file_parts(part: str, base: Path | None) -> list[str]:
    """The patterns in the file behind ``@``, one a line: colons and commas in it separate nothing, as in Ansible."""
    name = part[1:]
    try:
        text = yamlsource.read_file((base or Path()) / name, name=name)
    except InputError as error:
        raise PatternError(
            f"cannot read the limit file {name}",
            part,
            why=error.why or error.what,
            remedy="@ is followed by a file of patterns, or by failed-of-RUN",
        ) from None
    lines = [line.strip() for line in text.replace("\r", "\n").split("\n")]
    if not any(lines):
        raise PatternError(
            f"the limit file {name} is empty",
            part,
            why="Ansible takes that for all hosts",
            remedy="leave --limit away, or write all into it",
        )
    return [line for line in lines if line]
