"""YAML 1.1 as PyYAML's safe loader types it, with the place of every key and value kept.

:func:`load` gives plain Python values; mappings and sequences are :class:`Mapping` and
:class:`Sequence`, a dict and a list that also know where their parts stand.
"""

from __future__ import annotations

import binascii
import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from opsrunner import yamlshape
from opsrunner.errors import InputError, Place
from opsrunner.yamlshape import MAX_DEPTH

#: Bytes of one file: more is no file that somebody wrote, and /dev/zero never ends.
MAX_BYTES = 64 * 1024 * 1024
#: Bits of a whole number; Python writes no more than 4300 digits out, and nobody means them.
MAX_BITS = 1024
#: What a scalar may be tagged as; PyYAML would make an empty list of ``!!seq text``.
_SCALAR_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "null", "bool", "int", "float", "timestamp", "binary")
)

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Mapping(dict[Any, Any]):
    """A dict that knows where it, its keys and its values stand."""

    __slots__ = ("key_places", "place", "value_places")

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.key_places: dict[Any, Place] = {}
        self.value_places: dict[Any, Place] = {}


class Sequence(list[Any]):
    """A list that knows where it and its items stand."""

    __slots__ = ("item_places", "place")

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.item_places: list[Place] = []


def place_of_key(container: Any, key: Any, default: Place | None = None) -> Place | None:
    """Where ``key`` stands in a mapping that came from YAML, else ``default``."""
    return container.key_places.get(key, default) if isinstance(container, Mapping) else default


def place_of_value(container: Any, key: Any, default: Place | None = None) -> Place | None:
    """Where the value of ``key`` (or the item of that index) stands, else ``default``."""
    if isinstance(container, Mapping):
        return container.value_places.get(key, default)
    if isinstance(container, Sequence) and isinstance(key, int) and key < len(container.item_places):
        return container.item_places[key]
    return default


def load_file(path: Path, *, name: str | None = None, on_duplicate: Callable[[InputError], None] | None = None) -> Any:
    """The one document in ``path``, None when it is empty.

    Raises InputError when the file cannot be read, is no UTF-8, is no YAML, or holds more than one
    document. ``name`` is what errors call the file (default: the path as given).
    """
    shown = name or str(path)
    return load(read_file(path, name=shown), shown, on_duplicate=on_duplicate)


def read_file(path: Path, *, name: str | None = None) -> str:
    """The text of ``path``; InputError when it cannot be read or is no UTF-8."""
    try:
        return read_bytes(path, name=name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"{name or path}: not UTF-8 text"
        raise InputError(what, why=str(error), remedy="save the file as UTF-8") from None


def read_bytes(path: Path, *, name: str | None = None) -> bytes:
    """What ``path`` holds; InputError when it cannot be read or is too large."""
    shown = name or str(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read {shown}", why=error.strerror or str(error)) from None
    except ValueError as error:
        raise InputError(f"cannot read {shown!r}", why=str(error)) from None
    if len(data) > MAX_BYTES:
        raise InputError(f"{shown} is larger than {MAX_BYTES // 1024 // 1024} MiB", remedy="split it")
    note(path, data)
    return data


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
    """The one document in ``text``. A repeated key is an error, or goes to ``on_duplicate``."""
    source = _Source(text, name, on_duplicate)
    try:
        yamlshape.check(text)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yamlshape.ShapeError as error:
        raise source.error(str(error), Place(name, error.line, error.column)) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(name, mark.line + 1, mark.column + 1) if mark else Place(name, 1, 1)
        problem = " ".join(part for part in (error.context, error.problem) if part)
        raise source.error(f"broken YAML: {problem}", place, remedy=_yaml_remedy(text, place)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
        raise source.error(f"broken YAML: {error.reason}", Place(name, line, column)) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{name}: broken YAML", why=str(error) or "nested too deeply") from None
    if node is None:
        return None
    return source.build(node, 0)


def excerpt(text: str, place: Place) -> str | None:
    """The line of ``text`` that ``place`` names, tabs shown as one blank so that a caret fits."""
    lines = _lines(text)
    return lines[place.line - 1].replace("\t", " ") if 0 < place.line <= len(lines) else None


@lru_cache(maxsize=2)
def _lines(text: str) -> list[str]:
    # A file with thousands of faults is cut into lines once.
    return text.splitlines()


def _yaml_remedy(text: str, place: Place) -> str | None:
    line = excerpt(text, place) or ""
    lines = _lines(text)
    raw = lines[place.line - 1] if 0 < place.line <= len(lines) else ""
    if "\t" in raw[: place.column + 1]:
        return "YAML indents with blanks; replace the tab"
    if "{{" in line:
        return 'a value that begins with {{ must be quoted: "{{ name }}"'
    if line.count(": ") > 1:
        return "quote a value that holds a colon followed by a blank"
    return None


class _Source:
    """Turns one document's nodes into values."""

    def __init__(self, text: str, name: str, on_duplicate: Callable[[InputError], None] | None) -> None:
        self.text = text
        self.name = name
        self.on_duplicate = on_duplicate
        self.scalars = _ScalarConstructor()
        self.open: set[int] = set()

    def error(self, what: str, place: Place, *, remedy: str | None = None) -> InputError:
        return InputError(what, place=place, excerpt=excerpt(self.text, place), remedy=remedy)

    def place(self, node: yaml.Node) -> Place:
        return Place(self.name, node.start_mark.line + 1, node.start_mark.column + 1)

    def build(self, node: yaml.Node, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise self.error(f"nested deeper than {MAX_DEPTH} levels", self.place(node))
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        if id(node) in self.open:
            raise self.error("an alias that contains itself", self.place(node))
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self.mapping(node, depth)
            return self.sequence(node, depth)
        finally:
            self.open.discard(id(node))

    def scalar(self, node: yaml.ScalarNode) -> Any:
        if node.tag not in _SCALAR_TAGS:
            raise self.error(f"unknown tag {node.tag}", self.place(node))
        try:
            value = self.scalars.construct(node)
        except (ValueError, OverflowError, binascii.Error, yaml.constructor.ConstructorError) as error:
            raise self.error(f"not a valid value: {_reason(error)}", self.place(node)) from None
        except (LookupError, AttributeError):  # PyYAML's own words for `!!bool maybe` and `!!int ""`
            kind = node.tag.rpartition(":")[2]
            raise self.error(f"not a valid value: {node.value!r} is no {kind}", self.place(node)) from None
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise self.error(f"a number of more than {MAX_BITS} bits", self.place(node), remedy="quote it")
        return value

    def sequence(self, node: yaml.Node, depth: int) -> Sequence:
        if node.tag != "tag:yaml.org,2002:seq":
            raise self.error(f"unknown tag {node.tag}", self.place(node))
        items = Sequence(self.place(node))
        for child in node.value:
            items.item_places.append(self.place(child))
            items.append(self.build(child, depth + 1))
        return items

    def mapping(self, node: yaml.Node, depth: int) -> Mapping:
        if node.tag != "tag:yaml.org,2002:map":
            raise self.error(f"unknown tag {node.tag}", self.place(node))
        items = Mapping(self.place(node))
        merges: list[Mapping] = []
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                merges.extend(self.merged(value_node, depth))
                continue
            key = self.build(key_node, depth + 1)
            if isinstance(key, (Mapping, Sequence)):
                raise self.error("a list or mapping cannot be a key", self.place(key_node))
            if key in items.key_places:
                self.duplicate(key, self.place(key_node), items.key_places[key])
            items.key_places[key] = self.place(key_node)
            items.value_places[key] = self.place(value_node)
            items[key] = self.build(value_node, depth + 1)
        for merge in merges:
            for key, value in merge.items():
                if key not in items:
                    items[key] = value
                    items.key_places[key] = merge.key_places[key]
                    items.value_places[key] = merge.value_places[key]
        return items

    def merged(self, node: yaml.Node, depth: int) -> list[Mapping]:
        value = self.build(node, depth + 1)
        several = value if isinstance(value, Sequence) else [value]
        if not all(isinstance(one, Mapping) for one in several):
            raise self.error("<<: takes a mapping or a list of mappings", self.place(node))
        return list(several)

    def duplicate(self, key: Any, place: Place, first: Place) -> None:
        fault = self.error(f"key {key!r} stands twice", place, remedy=f"the first is at {first}; keep one")
        if self.on_duplicate is None:
            raise fault
        self.on_duplicate(fault)


def _reason(error: Exception) -> str:
    """What PyYAML says, without the marks that are told better by the place."""
    return str(error.problem) if isinstance(error, yaml.MarkedYAMLError) else str(error)


class _ScalarConstructor:
    """PyYAML's own constructors for scalars, without its loader."""

    def __init__(self) -> None:
        self._constructor = yaml.constructor.SafeConstructor()

    def construct(self, node: yaml.ScalarNode) -> Any:
        if node.tag == "tag:yaml.org,2002:str":
            return node.value
        value = self._constructor.construct_object(node)
        self._constructor.constructed_objects.clear()
        return value
