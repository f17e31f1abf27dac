"""Tells apart how the files of an inventory are written, and has each read by its reader."""

from __future__ import annotations

import re
from pathlib import Path

from opsrunner import yamlsource
from opsrunner.errors import InputError, Place
from opsrunner.inventory import document, script_format, yaml_format
from opsrunner.inventory.builder import Builder
from opsrunner.inventory.document import Document
from opsrunner.inventory.reading import Reading

_SECTION = re.compile(r"^\[[^\[\]]+\]\s*(?:[#;].*)?$", re.MULTILINE)
_FIRST_LINE = re.compile(r"^[ \t]*(?![#;\s]|---)(\S.*)$", re.MULTILINE)


def add_file(path: Path, builder: Builder, reading: Reading) -> None:
    """Add what an inventory file says to ``builder``; its faults go to ``reading``.

    Raises InputError when the file cannot be read at all.
    """
    shown = reading.name(path)
    if script_format.is_script(path):
        script_format.add(path, builder, reading)
        return
    script_format.refuse_unless_executable(path, shown)
    _refuse_by_name(path, shown)
    yaml_format.add(_mapping(path, reading), builder, reading)


def _mapping(path: Path, reading: Reading) -> Document:
    """The YAML document in ``path``, which must hold a mapping."""
    shown = reading.name(path)
    try:
        found = document.read(path, reading)
    except InputError:
        text = yamlsource.read_file(path, name=shown)
        if _looks_like_ini(text):
            raise _ini(shown, path) from None
        raise
    data = found.data
    if isinstance(data, (str, list)) and _looks_like_ini(found.text):
        raise _ini(shown, path)
    if not data and not isinstance(data, (int, str)):
        raise InputError(
            f"{shown}: an empty inventory",
            remedy="write the groups there, or leave the file out; a folder's own files end in .md, .txt, .cfg …",
        )
    if not isinstance(data, yamlsource.Mapping):
        place = data.place if isinstance(data, yamlsource.Sequence) else Place(shown, 1, 1)
        raise found.fault(
            "an inventory is a mapping of groups",
            place,
            why=f"this is {document.kind(data)}",
            remedy="begin with all: and put hosts:, children: and vars: below it",
        )
    if data.get("plugin"):
        raise found.fault(
            f"an inventory plugin's settings ({data['plugin']}), not an inventory",
            data.key_places["plugin"],
            remedy="write what the plugin gives to a file: ansible-inventory -i … --list --export --yaml > hosts.yml",
        )
    return found


def _refuse_by_name(path: Path, shown: str) -> None:
    ending = document.ending(path)
    if ending in document.YAML_ENDINGS:
        return
    other = {".ini": "an INI inventory", ".toml": "a TOML inventory"}.get(ending)
    raise InputError(
        f"{shown} is {other}: not supported yet" if other else f"{shown}: not the name of a YAML inventory",
        why="inventories are read from YAML only"
        if other
        else f"Ansible reads no YAML from a file that ends in {ending}",
        remedy=f"rewrite it: ansible-inventory -i {shown} --list --export --yaml > {path.stem}.yml"
        if other
        else "name it .yml, .yaml, .json or without an ending",
    )


def _looks_like_ini(text: str) -> bool:
    """``[section]`` lines, or a first line that is a bare host with or without key=value."""
    first = _FIRST_LINE.search(text)
    if not first or first[1].startswith(("- ", "{", "%YAML")):
        return False
    return bool(_SECTION.search(text)) or not re.search(r":(?:\s|$)", first[1])


def _ini(shown: str, path: Path) -> InputError:
    return InputError(
        f"{shown} is an INI inventory: not supported yet",
        why="inventories are read from YAML only",
        remedy=f"rewrite it: ansible-inventory -i {shown} --list --export --yaml > {path.stem}.yml",
    )
