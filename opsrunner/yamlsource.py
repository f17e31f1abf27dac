"""YAML 1.1 as PyYAML's safe loader types it, with the place of every key and value kept.

:func:`load` gives plain Python values; mappings and sequences are :class:`Mapping` and
:class:`Sequence`, a dict and a list that also know where their parts stand.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import yaml

from opsrunner import pipes, vault, yamlshape
from opsrunner.errors import InputError, Place
from opsrunner.yamlcomposer import (
    Composer,
    Decrypted,
    Mapping,
    Sequence,
    excerpt,
    place_of_key,
    place_of_value,
    remedy_of,
)

__all__ = [
    "Decrypted",
    "Mapping",
    "Sequence",
    "excerpt",
    "load",
    "load_file",
    "note",
    "noting",
    "open_file",
    "place_of_key",
    "place_of_value",
    "read_file",
]

#: Bytes of one file: more is no file that somebody wrote, and /dev/zero never ends.
MAX_BYTES = 64 * 1024 * 1024
#: Bytes asked for at first: asking for as many as a file may have would take memory for them, for each of 20,000 files.
_FIRST_BYTES = 64 * 1024


def load_file(path: Path, *, name: str | None = None, on_duplicate: Callable[[InputError], None] | None = None) -> Any:
    """The one document in ``path``, None when it is empty.

    Raises InputError when the file cannot be read, is no UTF-8, is no YAML, or holds more than one
    document. ``name`` is what errors call the file (default: the path as given).
    """
    shown = name or str(path)
    return load(read_file(path, name=shown), shown, on_duplicate=on_duplicate)


def read_file(path: Path, *, name: str | None = None, raw: bool = False) -> str:
    """The text of ``path``, a :class:`Decrypted` one when the file is encrypted with Ansible Vault.

    With ``raw`` a byte order mark stays in it, and bytes that are no UTF-8 are surrogates.
    Raises InputError when it cannot be read or opened, or is no UTF-8.
    """
    shown = name or str(path)
    try:
        data = pipes.read(path, MAX_BYTES + 1) if path.is_fifo() else _content(path)
        if len(data) > MAX_BYTES:
            raise InputError(f"{shown} is larger than {MAX_BYTES // 1024 // 1024} MiB", remedy="split it")
        note(path, data)
        plain = open_file(data, shown)
        text = plain.decode("utf-8", "surrogateescape") if raw else plain.decode("utf-8-sig")
        return text if plain is data else Decrypted(text)
    except UnicodeDecodeError as error:
        raise InputError(f"{shown}: not UTF-8 text", why=str(error), remedy="save the file as UTF-8") from None
    except OSError as error:
        raise InputError(f"cannot read {shown}", why=error.strerror or str(error)) from None
    except ValueError as error:
        raise InputError(f"cannot read {shown!r}", why=str(error)) from None


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(_FIRST_BYTES)
        if len(data) == _FIRST_BYTES:
            data += file.read(MAX_BYTES + 1 - _FIRST_BYTES)
    return data


def open_file(data: bytes, name: str) -> bytes:
    """The content of a file as it was before it was encrypted, and ``data`` itself when it was not.

    Raises InputError where no secret opens it.
    """
    if not data.startswith(vault.HEADER.encode()):
        return data
    try:
        return vault.current().open(data.decode("ascii", "replace"))
    except vault.VaultError as error:
        what = f"{name} is encrypted with Ansible Vault and cannot be opened"
        why = error.why if error.what == vault.CLOSED else f"{error.what}: {error.why}"
        raise InputError(what, place=Place(name, 1, 1), why=why, remedy=error.remedy) from None


#: Where :func:`note` writes while somebody wants to know.
_noted: ContextVar[dict[str, str] | None] = ContextVar("noted", default=None)


@contextlib.contextmanager
def noting() -> Iterator[dict[str, str]]:
    """Absolute path → SHA-256 of every file that is read inside: it grows as they are read."""
    files: dict[str, str] = {}
    token = _noted.set(files)
    try:
        yield files
    finally:
        _noted.reset(token)


def note(path: Path, data: bytes) -> None:
    """Tell :func:`noting` of a file that was read, with its content."""
    files = _noted.get()
    if files is not None:
        files[os.path.abspath(path)] = hashlib.sha256(data).hexdigest()  # noqa: PTH100 -- links stay as written


def load(text: str, name: str, *, on_duplicate: Callable[[InputError], None] | None = None) -> Any:
    """The one document in ``text``. A repeated key is an error, or goes to ``on_duplicate``.

    An alias gives the very object that its anchor gave.
    """
    source = Composer(text, name)
    try:
        yamlshape.check(str(text))
        value = source.document()
    except yamlshape.ShapeError as error:
        raise source.error(str(error), Place(name, error.line, error.column)) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(name, mark.line + 1, mark.column + 1) if mark else Place(name, 1, 1)
        problem = " ".join(part for part in (error.context, error.problem) if part)
        raise source.error(f"broken YAML: {problem}", place, remedy=remedy_of(text, place)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
        raise source.error(f"broken YAML: {error.reason}", Place(name, line, column)) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{name}: broken YAML", why=str(error) or "nested too deeply") from None
    for duplicate in source.duplicates:
        if on_duplicate is None:
            raise duplicate
        on_duplicate(duplicate)
    return value
