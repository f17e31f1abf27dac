"""Tells apart how the files of an inventory are written, and has each read by its reader."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import structs

from opsrunner import yamlsource
from opsrunner.errors import InputError, Place
from opsrunner.inventory import document, ini_format, script_format, yaml_format
from opsrunner.inventory.builder import Builder
from opsrunner.inventory.document import Document
from opsrunner.inventory.reading import Reading

#: How YAML or JSON begins: with a key and its colon, a dash, a mapping.
_YAML_LINE = re.compile(r"""(?:[^\s=]+|"[^"]*"|'[^']*'):(?:\s|$)|[^=]*:$|-(?:\s|$)|---|[{%?&!]""")


def add_file(path: Path, builder: Builder, reading: Reading) -> None:
    """Add what an inventory file says to ``builder``; its faults go to ``reading``.

    As Ansible does, what is no script is read as YAML where its name allows that and it holds a mapping, else as INI.
    Raises InputError when it can be neither.
    """
    shown = reading.name(path)
    if script_format.is_script(path):
        script_format.add(path, builder, reading)
        return
    script_format.refuse_unless_executable(path, shown)
    ending = document.ending(path)
    if ending == ".toml":
        raise _toml(path, shown)
    text = document.text_of(path, reading)
    first = next(ini_format.lines(text.removeprefix("\ufeff")), None)
    no_yaml: InputError | None = None
    if ending not in document.YAML_ENDINGS:
        no_yaml = _other_name(Document(path, shown, text, None), ending, first)
    elif first is None or not first.is_header:
        try:
            found = _mapping(path, text, reading)
        except InputError as error:
            no_yaml = error
        else:
            yaml_format.add(found, builder, reading)
            return
    if no_yaml and not _may_be_ini(text, ending, first):
        raise no_yaml
    ini = structs.replace(reading, faults=[])
    ini_format.add(Document(path, shown, text, None), builder, ini)
    if no_yaml and ini.faults and first and _YAML_LINE.match(first.text):
        raise no_yaml
    reading.faults.extend(ini.faults)


def _may_be_ini(text: str, ending: str, first: ini_format.Line | None) -> bool:
    """Whether INI is meant where YAML is not.

    Ansible would try it in any case, and take a broken JSON text for the name of a host.
    """
    if first is None:
        return True
    if first.text.startswith("{") or re.match(r"-(?:\s|$)", first.text):
        return False
    if ending in document.YAML_ENDINGS[1:]:
        return any(line.is_header for line in ini_format.lines(text))
    return True


def _mapping(path: Path, text: str, reading: Reading) -> Document:
    """The YAML document in ``text``, which must hold a mapping. Raises InputError when it does not."""
    attempt = structs.replace(reading, warnings=[])
    found = document.parse(path, text, attempt)
    data = found.data
    if not data and not isinstance(data, (int, str)):
        raise InputError(
            f"{found.shown}: an empty inventory",
            remedy="write the groups there, or leave the file out; a folder's own files end in .md, .txt, .cfg …",
        )
    if not isinstance(data, yamlsource.Mapping):
        place = data.place if isinstance(data, yamlsource.Sequence) else Place(found.shown, 1, 1)
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
    reading.warnings.extend(attempt.warnings)
    return found


def _other_name(source: Document, ending: str, first: ini_format.Line | None) -> InputError:
    return source.fault(
        f"{source.shown}: not the name of a YAML inventory",
        Place(source.shown, first.number, first.column) if first else None,
        why=f"Ansible reads no YAML from a file that ends in {ending}",
        remedy="name it .yml, .yaml, .json or without an ending",
    )


def _toml(path: Path, shown: str) -> InputError:
    return InputError(
        f"{shown} is a TOML inventory: not supported yet",
        why="inventories are read from YAML and INI",
        remedy=f"rewrite it: ansible-inventory -i {shown} --list --export --yaml > {path.stem}.yml",
    )
