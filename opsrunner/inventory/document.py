"""One text that was read: an inventory file, or a file of variables."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from msgspec import Struct

from opsrunner import yamlsource
from opsrunner.errors import InputError, Place
from opsrunner.inventory import values
from opsrunner.inventory.reading import Reading
from opsrunner.tagged import Encrypted

#: Endings of files that may hold YAML; in this order ``group_vars/`` and ``host_vars/`` are searched.
YAML_ENDINGS = ("", ".yml", ".yaml", ".json")


def ending(path: Path) -> str:
    """What Ansible takes for a name's ending: ``web.`` has one, and it is a dot."""
    return os.path.splitext(path)[1]  # noqa: PTH122 -- Path.suffix knows no such ending


class Document(Struct, frozen=True):
    """A text that was read: ``text`` for excerpts, and of YAML ``data`` with places."""

    path: Path
    shown: str
    text: str
    data: Any

    def fault(self, what: str, place: Place | None, *, why: str | None = None, remedy: str | None = None) -> InputError:
        """An error at ``place`` with the line it stands on."""
        line = yamlsource.excerpt(self.text, place) if place else None
        return InputError(what, place=place, why=why, remedy=remedy, excerpt=line)


def read(path: Path, reading: Reading) -> Document:
    """The text of ``path`` as YAML. Raises InputError when it is none."""
    return parse(path, text_of(path, reading), reading)


def text_of(path: Path, reading: Reading) -> str:
    """The raw text of ``path``, whatever it is written in. Raises InputError when it cannot be read or is encrypted."""
    shown = reading.name(path)
    return yamlsource.read_file(path, name=shown, raw=True)


def parse(path: Path, text: str, reading: Reading) -> Document:
    """The raw ``text`` of ``path`` as YAML. Raises InputError when it is none."""
    shown = reading.name(path)
    if text.startswith("\ufeff"):
        text = type(text)(text[1:])
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        before = text[: error.start].splitlines(keepends=True)
        place = Place(shown, max(len(before), 1), len(before[-1]) + 1 if before else 1)
        raise InputError("not UTF-8 text", place=place, remedy="save the file as UTF-8") from None

    def warn(duplicate: InputError) -> None:
        reading.warn(last_counts(duplicate))

    return Document(path, shown, text, values.load_yaml(text, shown, on_duplicate=warn))


def last_counts(duplicate: InputError) -> InputError:
    """The fault of a key that stands twice as a warning: in data, as in Ansible, that is none."""
    why = "as in Ansible the last one counts"
    return InputError(duplicate.what, place=duplicate.place, why=why, excerpt=duplicate.excerpt)


def read_variables(path: Path, reading: Reading) -> Document:
    """A file of variables; its ``data`` is a mapping, or None when it holds nothing."""
    document = read(path, reading)
    data = document.data
    if data and not isinstance(data, yamlsource.Mapping):
        place = data.place if isinstance(data, yamlsource.Sequence) else Place(document.shown, 1, 1)
        raise document.fault("a file of variables is a mapping", place, why=f"this is {kind(data)}")
    return document


def kind(value: Any) -> str:
    """What an operator would call the type of ``value``."""
    if value is None:
        return "nothing"
    known_types = ((list, "a list"), (dict, "a mapping"), (str, "text"), (bool, "a truth value"))
    for known, name in (*known_types, (Encrypted, "an encrypted value")):
        if isinstance(value, known):
            return name
    return "a number" if isinstance(value, (int, float)) else f"a {type(value).__name__}"
