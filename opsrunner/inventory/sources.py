"""From what ``-i`` names to files and host lists."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from opsrunner.errors import InputError
from opsrunner.inventory.reading import Reading

#: Folders below one source, or below one group's or host's folder of variables.
MAX_FOLDERS = 5_000
#: What a folder of inventories may hold that is no inventory, as Ansible skips it.
_PASSED_OVER = re.compile(
    r"^\.|^(?:host_vars|group_vars|vars_plugins)$"
    r"|\.(?:pyc|pyo|swp|bak|rpm|md|txt|rst|orig|cfg|retry)$|~$"
)


class HostList(Struct, frozen=True):
    """``h1,h2`` given in place of a file."""

    text: str

    @property
    def names(self) -> list[str]:
        return [name.strip() for name in self.text.split(",") if name.strip()]


def resolve(source: str, base: Path) -> Path | HostList:
    """What one ``-i`` means: an existing path (relative ones against ``base``) or a host list."""
    if "," in source and not os.path.lexists(base / source):
        return HostList(source)
    path = expanded(source, base)
    if not os.path.exists(path):  # noqa: PTH110
        raise InputError(
            f"no inventory at {source}",
            why="there is no such file or folder",
            remedy=f"check the path, or write {source},  with a comma to name hosts",
        )
    return path


def expanded(source: str, base: Path) -> Path:
    """The absolute path that a text names, ``~`` and environment variables in it replaced."""
    # Kept as it is written, apart from . and ..: Ansible follows no symbolic link here either.
    # os.path leaves ~nobody as it is and calls a name too long absent, where Path raises.
    return Path(os.path.abspath(base / os.path.expanduser(os.path.expandvars(source))))  # noqa: PTH100, PTH111


def of_setting(text: str) -> list[str]:
    """The sources that the setting ``inventory`` names: paths with commas between, as in Ansible's, or a host
    list, which ends with a comma.
    """
    if text.endswith(",") or os.path.lexists(text):
        return [text]
    return [part.strip() for part in text.split(",") if part.strip()]


def files(path: Path, reading: Reading, walk: Walk | None = None) -> Iterator[Path]:
    """The inventory files under ``path`` in Ansible's order; ``path`` itself when it is a file.

    Raises InputError for a folder in which there is none, one that cannot be read, one that contains itself, and
    where links lead into folders over and over.
    """
    if not os.path.isdir(path):  # noqa: PTH112 -- what may not be looked at is none, where Path raises
        yield path
        return
    walk = walk or Walk(path, reading)
    found = False
    for name in walk.names_in(path):
        if not _PASSED_OVER.search(name):
            found = True
            yield from files(path / name, reading, walk)
    if not found:
        raise InputError(
            f"no inventory in the folder {reading.name(path)}",
            remedy="put a file like hosts.yml there, or name the file itself",
        )


class Walk:
    """Looks into folders from ``start`` on, into so many at most: links may lead to each in thousands of ways."""

    def __init__(self, start: Path, reading: Reading) -> None:
        self.start = start
        self.reading = reading
        #: Each folder that was looked into, and those above the first: the paths that links lead to.
        self.real: dict[Path, str] = {parent: os.path.realpath(parent) for parent in start.parents}
        self.most = len(self.real) + MAX_FOLDERS

    def names_in(self, folder: Path) -> list[str]:
        """What is in a folder, sorted.

        Raises InputError when it cannot be read, is reached through itself, or is one too many.
        """
        shown = self.reading.name(folder)
        real = self.real[folder] = os.path.realpath(folder)
        if len(self.real) > self.most:
            raise InputError(
                f"{self.reading.name(self.start)} has more than {MAX_FOLDERS:,} folders",
                why="links lead to some of them in many ways",
                remedy="remove the links",
            )
        if folder.is_symlink() and any(self.real[parent] == real for parent in folder.parents):
            raise InputError(f"the folder {shown} contains itself", why=f"it is a link to {real}", remedy="remove it")
        try:
            return sorted(os.listdir(folder))  # noqa: PTH208
        except OSError as error:
            raise InputError(f"cannot read the folder {shown}", why=error.strerror) from None


def refuse_special(path: Path, reading: Reading) -> None:
    """Raise InputError for a pipe, a socket or a device that lies in a folder: reading it might never end."""
    if not path.is_file() and os.path.exists(path):  # noqa: PTH110
        raise InputError(f"{reading.name(path)} is no regular file", remedy="take it out of the folder")
