"""A folder that travels with the run: what lies in it, as ``copy`` puts it on a host."""

from __future__ import annotations

import json
import os
from pathlib import Path

#: Ends the name by which a folder's listing goes in the plan, where a file's name has no slash.
SLASH = "/"

Listing = dict[str, list[str] | dict[str, str]]


def listing(root: Path) -> Listing:
    """Paths below ``root``, sorted: its files, its folders, and links that lead nowhere or back, with their targets.

    All other links are followed, as Ansible follows them.
    """
    files: list[str] = []
    folders: list[str] = []
    links: dict[str, str] = {}

    def walk(folder: Path, relative: str, above: frozenset[str]) -> None:
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
        for entry in entries:
            path = f"{relative}{entry.name}"
            if entry.is_dir():
                real = os.path.realpath(entry.path)
                if real in above:
                    links[path] = os.readlink(entry.path)  # noqa: PTH115 -- as it is written
                else:
                    folders.append(path)
                    walk(Path(entry.path), f"{path}/", above | {real})
            elif entry.is_file():
                files.append(path)
            elif entry.is_symlink():
                links[path] = os.readlink(entry.path)  # noqa: PTH115

    walk(root, "", frozenset((os.path.realpath(root),)))
    return {"files": files, "folders": folders, "links": links}


def encoded(found: Listing) -> bytes:
    """As it travels; :mod:`opsrunner.modules.trees` reads it."""
    return json.dumps(found).encode()
