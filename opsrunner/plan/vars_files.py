"""Reads a play's ``vars_files`` on the submitting machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opsrunner.errors import InputError
from opsrunner.plan import datafile
from opsrunner.plan.codec import plain
from opsrunner.plan.scope import PlayScope
from opsrunner.playbook import Keyword, Play


def read_all(play: Play, scope: PlayScope, directory: Path, warn: datafile.Warn) -> None:
    """Read every entry into ``scope``; of alternatives the first that exists.

    A file that is not there is a fault: its variables would be missed in the middle of a run.
    """
    for alternatives in play.vars_files:
        found, tried = _first(alternatives, scope, directory)
        if found is not None:
            _read(found, alternatives[0], scope, warn)
        elif tried is not None:
            first = alternatives[0]
            scope.faults.add(
                f"vars_files: {' or '.join(str(one.value) for one in alternatives)} not found",
                first.place,
                why=f"looked for {', '.join(map(str, tried))}",
            )


def candidates(directory: Path, folder: str, path: str) -> list[Path]:
    """Where Ansible looks for a file of the playbook, the first that exists is taken."""
    if path.startswith(("/", "~")):
        return [Path(os.path.expanduser(path))]  # noqa: PTH111 -- leaves ~nobody as it is, where Path raises
    places = [directory / path]
    # Who writes files/x means that folder, not files/files/x.
    if path.split("/")[0] != folder:
        places.insert(0, directory / folder / path)
    return places


def _first(
    alternatives: tuple[Keyword, ...], scope: PlayScope, directory: Path
) -> tuple[Path | None, list[Path] | None]:
    """The file to read, and where it was looked for; two Nones when a path could not be rendered."""
    tried: list[Path] = []
    for one in alternatives:
        path = scope.render(one.value, one.place, "vars_files")
        if path is None:
            return None, None
        if not isinstance(path, str) or not path:
            scope.faults.add(f"vars_files takes paths, not {path!r}", one.place)
            return None, None
        for place in candidates(directory, "vars", path):
            tried.append(place)
            if os.path.isfile(place):  # noqa: PTH113 -- a name too long is no file, where Path raises
                return place, tried
    return None, tried


def _read(path: Path, keyword: Keyword, scope: PlayScope, warn: datafile.Warn) -> None:
    try:
        data = datafile.read(path, warn)
    except InputError as error:
        scope.faults.take(error)
        return
    for entry in data if isinstance(data, list) else [{} if data is None else data]:
        problem = _problem(entry)
        if problem:
            scope.faults.add(f"vars_files: {path} {problem}", keyword.place)
            return
        scope.add_file({name: plain(value) for name, value in entry.items()})


def _problem(entry: Any) -> str | None:
    if not isinstance(entry, Mapping):
        return "holds no mapping of variables"
    strange = [key for key in entry if not isinstance(key, str)]
    return f"has {strange[0]!r}, which is no name of a variable" if strange else None
