"""From what ``-i`` names to files and host lists."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from opsrunner.errors import InputError
from opsrunner.inventory.reading import Reading

#: What a folder of inventories may hold that is no inventory, as Ansible skips it.
_PASSED_OVER = re.compile(
    r"^\.|^(?:host_vars|group_vars|vars_plugins)$"
    r"|\.(?:pyc|pyo|swp|bak|rpm|md|txt|rst|orig|cfg|retry)$|~$"
)


@dataclass(frozen=True, slots=True)
class HostList:
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


def files(path: Path, reading: Reading) -> Iterator[Path]:
    """The inventory files under ``path`` in Ansible's order; ``path`` itself when it is a file.

    Raises InputError for a folder in which there is none, one that cannot be read, and one that contains itself.
    """
    if not path.is_dir():
        yield path
        return
    found = False
    for name in names_in(path, reading):
        if not _PASSED_OVER.search(name):
            found = True
            yield from files(path / name, reading)
    if not found:
        raise InputError(
            f"no inventory in the folder {reading.name(path)}",
            remedy="put a file like hosts.yml there, or name the file itself",
        )


def names_in(folder: Path, reading: Reading) -> list[str]:
    """What is in a folder, sorted. Raises InputError when it cannot be read, or is reached through itself."""
    shown = reading.name(folder)
    try:
        real = folder.resolve()
        if folder.is_symlink() and any(parent.resolve() == real for parent in folder.parents):
            raise InputError(f"the folder {shown} contains itself", why=f"it is a link to {real}", remedy="remove it")
        return sorted(os.listdir(folder))  # noqa: PTH208
    except (OSError, RuntimeError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"cannot read the folder {shown}", why=why) from None


def refuse_special(path: Path, reading: Reading) -> None:
    """Raise InputError for a pipe, a socket or a device that lies in a folder: reading it might never end."""
    if os.path.exists(path) and not path.is_file():  # noqa: PTH110
        raise InputError(f"{reading.name(path)} is no regular file", remedy="take it out of the folder")
