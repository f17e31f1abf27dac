"""``group_vars/`` and ``host_vars/``: which files belong to a group or host, and what they say."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from opsrunner import yamlsource
from opsrunner.errors import InputError, raise_all
from opsrunner.inventory import sources, values
from opsrunner.inventory.document import YAML_ENDINGS, ending, kind, read_variables
from opsrunner.inventory.model import Layer, Variables
from opsrunner.inventory.reading import Reading


def read(directory: Path, groups: Collection[str], hosts: Collection[str], reading: Reading) -> Layer:
    """What the variable files in ``directory`` say about the groups and hosts named.

    Every fault in any of the files goes to ``reading``.
    """
    folder = directory.resolve()
    return Layer(
        groups=_read_folder(folder / "group_vars", groups, reading),
        hosts=_read_folder(folder / "host_vars", hosts, reading),
        folder=str(folder),
    )


def read_others(
    directory: Path, groups: Callable[[str], bool], hosts: Callable[[str], bool], reading: Reading
) -> Layer:
    """As :func:`read`, for all groups and hosts of whom there are files and who are asked for."""
    return Layer(
        groups=_read_folder(directory / "group_vars", _names_in(directory / "group_vars", groups), reading),
        hosts=_read_folder(directory / "host_vars", _names_in(directory / "host_vars", hosts), reading),
        folder=str(directory),
    )


def _names_in(folder: Path, wanted: Callable[[str], bool]) -> list[str]:
    """The names that files in the folder are for."""
    try:
        entries = sorted(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return []
    endings = [each for each in YAML_ENDINGS if each]
    stems = (next((name.removesuffix(each) for each in endings if name.endswith(each)), name) for name in entries)
    return [name for name in dict.fromkeys(stems) if not name.startswith(".") and wanted(name)]


def _read_folder(folder: Path, names: Collection[str], reading: Reading) -> dict[str, Variables]:
    if not os.path.exists(folder):  # noqa: PTH110 -- a folder that may not be looked into, where Path raises
        return {}
    if not folder.is_dir():
        reading.faults.append(InputError(f"{reading.name(folder)} is not a folder", remedy="make it one"))
        return {}
    # One look at the folder instead of four for each of 20,000 hosts.
    try:
        present = set(os.listdir(folder))  # noqa: PTH208
    except OSError as error:
        reading.faults.append(InputError(f"cannot read the folder {reading.name(folder)}", why=error.strerror))
        return {}
    found: dict[str, Variables] = {}
    for name in names:
        variables: dict[str, Any] = {}
        for path in _found(folder, name, present, reading):
            try:
                written = _read_file(path, reading)
            except InputError as error:
                reading.faults.append(error)
                continue
            if written is None:
                continue
            own = values.plain(written)
            variables.update(own)
            if reading.origins:
                reading.origins.note((folder.name, name, str(folder.parent)), own, written.key_places)
        if variables:
            found[name] = variables
    return found


def _found(folder: Path, name: str, present: Collection[str], reading: Reading) -> list[Path]:
    try:
        return list(_files_of(folder, name, present, reading))
    except InputError as error:
        reading.faults.append(error)
        return []


def _files_of(folder: Path, name: str, present: Collection[str], reading: Reading) -> Iterator[Path]:
    """The first of ``name``, ``name.yml``, ``name.yaml``, ``name.json``: the file, or the folder's files."""
    # A host that is called by a path (a chroot) has no files, and none of ours lies outside.
    nested = "/" in name
    if nested and (name.startswith("/") or ".." in Path(name).parts):
        return
    for each in YAML_ENDINGS:
        # Most of 20,000 hosts have no file: nothing but a look into the set is done for them.
        if not nested and name + each not in present:
            continue
        path = folder / (name + each)
        if os.path.exists(path):  # noqa: PTH110 -- a name too long is absent, where Path raises
            yield from _files_below(path, sources.Walk(path, reading)) if path.is_dir() else (path,)
            return


def _files_below(folder: Path, walk: sources.Walk) -> Iterator[Path]:
    for name in walk.names_in(folder):
        if name.startswith(".") or name.endswith("~"):
            continue
        path = folder / name
        # os.path has no word for what may not be looked at, where Path raises.
        if os.path.isdir(path):  # noqa: PTH112
            if not ending(path):
                yield from _files_below(path, walk)
        elif os.path.exists(path) and ending(path) in YAML_ENDINGS:  # noqa: PTH110
            yield path


def _read_file(path: Path, reading: Reading) -> yamlsource.Mapping | None:
    sources.refuse_special(path, reading)
    document = read_variables(path, reading)
    if not document.data:
        return None
    raise_all(
        document.fault(
            f"variable names are text, not {kind(key)}: {key!r}",
            document.data.key_places.get(key),
            remedy=f'quote it: "{key}"',
        )
        for key in document.data
        if not isinstance(key, str)
    )
    variables: yamlsource.Mapping = document.data
    return variables
