"""From what ``-i`` names to files and host lists; tells apart what is YAML and what is not."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opsrunner import yamlsource
from opsrunner.errors import InputError, Place
from opsrunner.inventory import values

#: Endings of files that may hold YAML; in this order ``group_vars/`` and ``host_vars/`` are searched.
YAML_ENDINGS = ("", ".yml", ".yaml", ".json")

#: What a folder of inventories may hold that is no inventory, as Ansible skips it.
_PASSED_OVER = re.compile(
    r"^\.|^(?:host_vars|group_vars|vars_plugins)$"
    r"|\.(?:pyc|pyo|swp|bak|rpm|md|txt|rst|orig|cfg|retry)$|~$"
)

_SECTION = re.compile(r"^\[[^\[\]]+\]\s*(?:[#;].*)?$", re.MULTILINE)
_FIRST_LINE = re.compile(r"^[ \t]*(?![#;\s]|---)(\S.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML text that was read: ``data`` with places, ``text`` for excerpts."""

    path: Path
    shown: str
    text: str
    data: Any

    def fault(self, what: str, place: Place | None, *, why: str | None = None, remedy: str | None = None) -> InputError:
        """An error at ``place`` with the line it stands on."""
        line = yamlsource.excerpt(self.text, place) if place else None
        return InputError(what, place=place, why=why, remedy=remedy, excerpt=line)


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
    # Kept as it is written, apart from . and ..: Ansible follows no symbolic link here either.
    # os.path leaves ~nobody as it is and calls a name too long absent, where Path raises.
    path = Path(os.path.abspath(base / os.path.expandvars(os.path.expanduser(source))))  # noqa: PTH100, PTH111
    if not os.path.exists(path):  # noqa: PTH110
        raise InputError(
            f"no inventory at {source}",
            why="there is no such file or folder",
            remedy=f"check the path, or write {source},  with a comma to name hosts",
        )
    return path


def files(path: Path, base: Path) -> Iterator[Path]:
    """The inventory files under ``path`` in Ansible's order; ``path`` itself when it is a file.

    Raises InputError for a folder in which there is none, one that cannot be read, and one that contains itself.
    """
    if not path.is_dir():
        yield path
        return
    found = False
    for name in names_in(path, base):
        if not _PASSED_OVER.search(name):
            found = True
            yield from files(path / name, base)
    if not found:
        raise InputError(
            f"no inventory in the folder {shown_name(path, base)}",
            remedy="put a file like hosts.yml there, or name the file itself",
        )


def names_in(folder: Path, base: Path) -> list[str]:
    """What is in a folder, sorted. Raises InputError when it cannot be read, or is reached through itself."""
    shown = shown_name(folder, base)
    try:
        real = folder.resolve()
        if folder.is_symlink() and any(parent.resolve() == real for parent in folder.parents):
            raise InputError(f"the folder {shown} contains itself", why=f"it is a link to {real}", remedy="remove it")
        return sorted(os.listdir(folder))  # noqa: PTH208
    except (OSError, RuntimeError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"cannot read the folder {shown}", why=why) from None


def refuse_special(path: Path, base: Path) -> None:
    """Raise InputError for a pipe, a socket or a device that lies in a folder: reading it might never end."""
    if os.path.exists(path) and not path.is_file():  # noqa: PTH110
        raise InputError(f"{shown_name(path, base)} is no regular file", remedy="take it out of the folder")


def shown_name(path: Path, base: Path) -> str:
    """What messages call ``path``: relative to ``base`` where it lies below."""
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)


def read_inventory(path: Path, base: Path) -> Document:
    """The mapping that an inventory file holds; InputError when it is anything but YAML."""
    shown = shown_name(path, base)
    _refuse_by_name(path, shown)
    _refuse_script(path, shown)
    document = _read_yaml(path, shown, ini_is_likely=True)
    data = document.data
    if not data and not isinstance(data, (int, str)):
        raise InputError(
            f"{shown}: an empty inventory",
            remedy="write the groups there, or leave the file out; a folder's own files end in .md, .txt, .cfg …",
        )
    if not isinstance(data, yamlsource.Mapping):
        place = data.place if isinstance(data, yamlsource.Sequence) else Place(shown, 1, 1)
        raise document.fault(
            "an inventory is a mapping of groups",
            place,
            why=f"this is {kind(data)}",
            remedy="begin with all: and put hosts:, children: and vars: below it",
        )
    if data.get("plugin"):
        raise document.fault(
            f"an inventory plugin's settings ({data['plugin']}), not an inventory",
            data.key_places["plugin"],
            remedy="write what the plugin gives to a file: ansible-inventory -i … --list --export --yaml > hosts.yml",
        )
    return document


def read_variables(path: Path, base: Path) -> Document:
    """A file of variables; its ``data`` is a mapping, or None when it holds nothing."""
    document = _read_yaml(path, shown_name(path, base), ini_is_likely=False)
    data = document.data
    if data and not isinstance(data, yamlsource.Mapping):
        place = data.place if isinstance(data, yamlsource.Sequence) else Place(document.shown, 1, 1)
        raise document.fault("a file of variables is a mapping", place, why=f"this is {kind(data)}")
    return document


def _refuse_by_name(path: Path, shown: str) -> None:
    ending = path.suffix
    if ending in YAML_ENDINGS:
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


def _refuse_script(path: Path, shown: str) -> None:
    if not os.access(path, os.X_OK) or not path.is_file():
        return
    with path.open("rb") as opened:
        head = opened.read(1024)
    # Some file systems mark every file as executable; only what is no text at all or names its
    # interpreter is taken for a program.
    if head.startswith(b"#!") or b"\0" in head:
        raise InputError(
            f"{shown} is an executable inventory script: not supported yet",
            why="inventories are read from YAML only",
            remedy=f"write down what it gives: ansible-inventory -i {shown} --list --export --yaml > hosts.yml",
        )


def _read_yaml(path: Path, shown: str, *, ini_is_likely: bool) -> Document:
    text = yamlsource.read_file(path, name=shown)
    if text.startswith("$ANSIBLE_VAULT"):
        raise InputError(
            f"{shown} is an encrypted vault file: not supported yet",
            remedy="keep the secret in the environment and read it with lookup('env', …), or decrypt the file",
        )
    try:
        data = values.load_yaml(text, shown)
    except InputError as error:
        if ini_is_likely and _looks_like_ini(text):
            raise _ini(shown, path) from None
        raise _vault_told(error) from None
    if ini_is_likely and isinstance(data, (str, list)) and _looks_like_ini(text):
        raise _ini(shown, path)
    return Document(path, shown, text, data)


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


def _vault_told(error: InputError) -> InputError:
    if error.what not in ("unknown tag !vault", "unknown tag !vault-encrypted", "unknown tag !unsafe"):
        return error
    tag = error.what.rpartition(" ")[2]
    remedy = (
        "wrap the text in {% raw %} … {% endraw %}"
        if tag == "!unsafe"
        else "keep the secret in the environment and read it with lookup('env', …)"
    )
    return InputError(f"{tag} values are not supported yet", place=error.place, excerpt=error.excerpt, remedy=remedy)


def kind(value: Any) -> str:
    """What an operator would call the type of ``value``."""
    if value is None:
        return "nothing"
    for known, name in ((list, "a list"), (dict, "a mapping"), (str, "text"), (bool, "a truth value")):
        if isinstance(value, known):
            return name
    return "a number" if isinstance(value, (int, float)) else f"a {type(value).__name__}"
