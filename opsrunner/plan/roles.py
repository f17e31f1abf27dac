"""Finds roles and reads what lies in them. Touches files, knows nothing of hosts."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from opsrunner import yamlsource
from opsrunner.errors import InputError, Place
from opsrunner.modules.validate_argument_spec import wrong_in
from opsrunner.plan import datafile
from opsrunner.plan.catalogue import Registry
from opsrunner.plan.codec import plain
from opsrunner.plan.role_paths import RolePaths
from opsrunner.playbook import Entry, Faults, Meta, parse_meta, parse_tasks

_ENDINGS = (".yml", ".yaml", ".json")
_MAIN = "main"


class Reader(Struct):
    """Reads files of tasks, of handlers and of variables, each once."""

    faults: Faults
    warnings: list[str]
    #: How a path is told to the operator.
    shown: Callable[[Path], Path]
    #: Where roles lie besides those of the playbook.
    elsewhere: RolePaths = field(default_factory=RolePaths)
    _tasks: dict[tuple[Path, bool, str], tuple[Entry, ...]] = field(default_factory=dict)

    def tasks(
        self, path: Path, place: Place, around: Mapping[str, Any], *, handlers: bool = False
    ) -> tuple[Entry, ...]:
        """The entries of a file inside the module_defaults ``around`` it.

        ``place`` names it, for a fault of the whole file.
        """
        key = (path, handlers, repr(around) if around else "")
        if key not in self._tasks:
            self._tasks[key] = ()
            try:
                text = yamlsource.read_file(path, name=str(self.shown(path)))
                parsed = parse_tasks(self.faults, text, self.shown(path), Registry(), handlers=handlers, around=around)
            except InputError as error:
                self._take(error, place)
            else:
                self._tasks[key] = parsed.entries
                self.warnings += parsed.warnings
        return self._tasks[key]

    def meta(self, role: Path, place: Place, around: Mapping[str, Any]) -> Meta:
        """What a role's meta/main.yml says."""
        found = located(role / "meta", _MAIN)
        if found is None:
            return Meta()
        try:
            text = yamlsource.read_file(found, name=str(self.shown(found)))
            return parse_meta(self.faults, text, self.shown(found), Registry(), around)
        except InputError as error:
            self._take(error, place)
            return Meta()

    def argument_spec(self, role: Path, entry_point: str, place: Place) -> Mapping[str, Any] | None:
        """What a role's argument specs say of one of its files of tasks; None where they say nothing."""
        own = located(role / "meta", "argument_specs")
        found = own or located(role / "meta", _MAIN)
        if found is None:
            return None
        try:
            text = yamlsource.read_file(found, name=str(self.shown(found)))
            document = yamlsource.load(text, str(self.shown(found)))
        except InputError as error:
            if own:  # of main.yml it was told before
                self._take(error, place)
            return None
        specs = document.get("argument_specs") if isinstance(document, Mapping) else None
        spec = specs.get(entry_point) if isinstance(specs, Mapping) else None
        if spec is None:
            return None
        at = getattr(spec, "place", Place(str(self.shown(found)), 1, 1))
        if not isinstance(spec, Mapping) or not isinstance(spec.get("options") or {}, Mapping):
            self.faults.add(f"the argument spec of {entry_point} is no mapping with options", at)
            return None
        known = dict(plain(spec))
        self.faults.know(str(self.shown(found)), text)
        for wrong in wrong_in(known.get("options") or {}):
            self.faults.add(f"argument spec of {entry_point}: {wrong}", at)
        return known

    def variables(self, role: Path, folder: str, name: str, place: Place) -> dict[str, Any]:
        """The variables in a role's ``defaults`` or ``vars``: a file, or all files of a folder of that name."""
        merged: dict[str, Any] = {}
        for path in _variable_files(role / folder, name):
            try:
                data = datafile.read(path, self._warn, name=str(self.shown(path)))
            except InputError as error:
                self._take(error, place)
                continue
            if data is None:
                continue
            if not isinstance(data, Mapping) or any(not isinstance(key, str) for key in data):
                self.faults.add(
                    "a role's variables are a mapping of names to values", Place(str(self.shown(path)), 1, 1)
                )
                continue
            merged.update({key: plain(value) for key, value in data.items()})
        return merged

    def _warn(self, warning: InputError) -> None:
        self.warnings.append(str(warning))

    def _take(self, error: InputError, place: Place) -> None:
        if error.place is not None:
            self.faults.take(error)
        else:
            self.faults.add(error.what, place, why=error.why, remedy=error.remedy)


def located(folder: Path, name: str) -> Path | None:
    """A file of a role by its name with or without its ending."""
    endings = ("",) if name.endswith(_ENDINGS) else (*_ENDINGS, "")
    return next((path for ending in endings if _is_file(path := folder / f"{name}{ending}")), None)


def _variable_files(folder: Path, name: str) -> Iterator[Path]:
    whole = folder / name
    if whole.is_dir():
        for path in sorted(whole.rglob("*")):
            if path.is_file() and path.suffix in (*_ENDINGS, "") and not path.name.startswith("."):
                yield path
    elif found := located(folder, name):
        yield found


def has_part(role: Path, folder: str, name: str) -> bool:
    """Whether a role has that file, or folder of variables."""
    return located(role / folder, name) is not None or (
        folder in ("vars", "defaults") and (role / folder / name).is_dir()
    )


def found_role(name: str, folders: list[Path]) -> Path | None:
    """The folder of a role: the first that is there, else the name as a path."""
    if name.startswith(("/", "~")):
        folders = [Path("/")]
        name = os.path.expanduser(name)  # noqa: PTH111 -- leaves ~nobody as it is, where Path raises
    return next((path for folder in folders if _is_folder(path := _normal(folder / name))), None)


def is_of_collection(name: str) -> bool:
    """Whether a name has the form NAMESPACE.COLLECTION.ROLE."""
    return re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*){2,}", name) is not None


def of_collection(name: str, folders: Iterable[Path]) -> list[Path]:
    """Where the role NAMESPACE.COLLECTION.ROLE may lie; further dots are folders."""
    namespace, collection, *role = name.split(".")
    return [folder / "ansible_collections" / namespace / collection / "roles" / Path(*role) for folder in folders]


def _normal(path: Path) -> Path:
    return Path(os.path.normpath(path))


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 -- a name too long is no file, where Path raises


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 -- as above
