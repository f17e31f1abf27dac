"""Reads a playbook with all that it imports: a flat list of plays, each knowing its file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from opsrunner import yamlsource
from opsrunner.errors import InputError, Place
from opsrunner.inventory import Inventory
from opsrunner.plan.catalogue import Registry
from opsrunner.plan.scope import PlayScope
from opsrunner.playbook import Faults, ImportedPlaybook, Keyword, Play, parse_into
from opsrunner.templating import Templar


class Imported(Struct, frozen=True):
    """A play, the playbook it stands in, and where that is imported (None: nowhere, it is the one that was named)."""

    play: Play
    path: Path
    place: Place | None = None


def read(
    path: Path, faults: Faults, warnings: list[str], extra_vars: Mapping[str, Any], templar: Templar
) -> list[Imported]:
    """Every play of the playbook in ``path``, in order; faults and warnings are noted.

    Raises InputError where the playbook itself cannot be read.
    """
    reading = _Reading(faults, warnings, extra_vars, templar)
    return list(reading.plays(path, (), None))


def check_variables(
    found: Iterable[Imported],
    as_loaded: Inventory,
    inventory: Inventory,
    directory: Path,
    targeted: Sequence[str],
    faults: Faults,
) -> None:
    """A play from another folder would have the variables that lie there, and a run has one inventory.

    ``inventory`` is ``as_loaded`` with the variables in ``directory``, that of the playbook.
    """
    for one in found:
        beside = _whole(one.path).parent
        if beside == directory or one.place is None:
            continue
        try:
            other = as_loaded.with_playbook_vars(beside, base=Path.cwd())
        except InputError as error:
            faults.take(error)
            continue
        if any(other.variables(host) != inventory.variables(host) for host in targeted):
            faults.add(
                f"group_vars and host_vars beside {one.path} are not those beside {directory}",
                one.place,
                why="opsrunner has one set of variables for a run",
                remedy="put them beside the inventory",
            )


class _Reading:
    def __init__(self, faults: Faults, warnings: list[str], extra_vars: Mapping[str, Any], templar: Templar) -> None:
        self._faults = faults
        self._warnings = warnings
        self._extra_vars = extra_vars
        self._templar = templar

    def plays(self, path: Path, stack: tuple[Path, ...], place: Place | None) -> Iterator[Imported]:
        playbook = parse_into(self._faults, yamlsource.read_file(path), path, Registry())
        self._warnings += playbook.warnings
        for entry in playbook.plays:
            if isinstance(entry, ImportedPlaybook):
                yield from self._imported(entry, path, (*stack, _whole(path)))
            else:
                yield Imported(entry, path, place)

    def _imported(self, entry: ImportedPlaybook, path: Path, stack: tuple[Path, ...]) -> Iterator[Imported]:
        directory = path.parent
        scope = PlayScope(
            self._templar,
            self._faults,
            play_vars=entry.vars,
            extra_vars=self._extra_vars,
            magic={"playbook_dir": str(_whole(path).parent)},
        )
        name = scope.render(entry.path.value, entry.path.place, "the playbook's name")
        if not isinstance(name, str):
            return
        found = directory / os.path.expanduser(name)  # noqa: PTH111 -- leaves ~nobody as it is, where Path raises
        if _whole(found) in stack:
            self._faults.add(f"{name} imports itself", entry.path.place, why=" → ".join(map(str, stack)))
            return
        if not os.path.isfile(found):  # noqa: PTH113 -- a name too long is no file, where Path raises
            self._faults.add(f"{name} not found", entry.path.place, why=f"looked for {found}")
            return
        try:
            for one in self.plays(found, stack, entry.path.place):
                yield replace(one, play=_with(one.play, entry))
        except InputError as error:
            self._faults.take(error)


def _whole(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 -- links stay as the operator wrote them


def _with(play: Play, entry: ImportedPlaybook) -> Play:
    """The play with what its import hands on: conditions, tags, and variables that win over its own."""
    keywords = dict(play.keywords)
    for name, outer in entry.keywords.items():
        own = keywords.get(name)
        whole = (*outer.value, *(own.value if own else ()))
        keywords[name] = Keyword(whole, own.place if own else outer.place, list(whole))
    return replace(play, keywords=keywords, vars={**play.vars, **entry.vars} if entry.vars else play.vars)
