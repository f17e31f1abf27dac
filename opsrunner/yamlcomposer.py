"""Makes values of YAML's events, with the place of every key and value."""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import yaml

from opsrunner.errors import InputError, Place
from opsrunner.tagged import Encrypted, Verbatim
from opsrunner.yamlshape import MAX_DEPTH

#: Bits of a whole number; Python writes no more than 4300 digits out, and nobody means them.
MAX_BITS = 1024
#: Characters of a number as it is written.
MAX_DIGITS = 4_300
_NUMBER_TAGS = frozenset(("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"))
#: Values of one text: more take longer than ten seconds to read.
MAX_VALUES = 2_000_000
#: What a scalar may be tagged as; PyYAML would make an empty list of ``!!seq text``.
_SCALAR_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "null", "bool", "int", "float", "timestamp", "binary")
)

_TEXT, _MAP, _SEQUENCE, _SET, _MERGE, _EQUALS = (
    f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq", "set", "merge", "value")
)
#: How Python 2 wrote its own texts and dicts; Ansible takes both.
_OLD_NAMES = {"tag:yaml.org,2002:python/unicode": _TEXT, "tag:yaml.org,2002:python/dict": _MAP}
_REMEDIES = {
    "tag:yaml.org,2002:omap": "write a mapping: it keeps its order",
    "tag:yaml.org,2002:pairs": "write a list of mappings",
}
#: Stands for an anchor's value while that is being read.
_OPEN = object()

#: Ansible's own tags.
_VAULT, _UNSAFE = frozenset(("!vault", "!vault-encrypted")), "!unsafe"

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


class Decrypted(str):
    """The text of a file that lies encrypted on disk: no line of it is ever quoted."""

    __slots__ = ()


def excerpt(text: str, place: Place) -> str | None:
    """The line of ``text`` that ``place`` names, tabs shown as one blank so that a caret fits."""
    if isinstance(text, Decrypted):
        return None
    lines = _lines(text)
    return lines[place.line - 1].replace("\t", " ") if 0 < place.line <= len(lines) else None


@lru_cache(maxsize=2)
def _lines(text: str) -> list[str]:
    # A file with thousands of faults is cut into lines once.
    return text.splitlines()


def remedy_of(text: str, place: Place) -> str | None:
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


class Composer:
    """Makes values of the parser's events, one after the other: a tree of nodes would cost more than all the rest."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self.events: Iterator[Any] = iter(())
        self.constructor = yaml.constructor.SafeConstructor()
        self.anchors: dict[str, tuple[Any, Place]] = {}
        self.duplicates: list[InputError] = []
        self.values = 0
        #: How many ``!unsafe`` stand around what is being made.
        self.unsafe = 0

    def error(self, what: str, place: Place, *, remedy: str | None = None) -> InputError:
        if isinstance(self.text, Decrypted):
            # What is wrong may be quoted in the words as well.
            what = what.partition(":")[0]
            remedy = f"ansible-vault view {self.name} shows the line"
        return InputError(what, place=place, excerpt=excerpt(self.text, place), remedy=remedy)

    def document(self) -> Any:
        """The value of the only document, None where there is none."""
        self.events = iter(_Loader(str(self.text)).get_event, None)  # PyYAML takes no subclass of it
        next(self.events)
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return None
        value, _ = self.node(next(self.events), 0)
        next(self.events)
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            context, problem = "expected a single document in the stream", "but found another document"
            raise yaml.composer.ComposerError(context, None, problem, event.start_mark)
        return value

    def node(self, event: Any, depth: int) -> tuple[Any, Place]:
        """The value that begins with ``event``, and where it stands: an alias where its anchor does."""
        kind = type(event)
        if kind is yaml.AliasEvent:
            return self.aliased(event)
        mark = event.start_mark
        place = Place(self.name, mark.line + 1, mark.column + 1)
        self.values += 1
        if self.values > MAX_VALUES:
            raise self.error(f"more than {MAX_VALUES:,} values in one file", place, remedy="split it")
        if event.anchor is not None:
            if event.anchor in self.anchors:
                context, problem = "found duplicate anchor; first occurrence", "second occurrence"
                raise yaml.composer.ComposerError(context, None, problem, mark)
            self.anchors[event.anchor] = (_OPEN, place)
        value = self.unsafely(event, place, depth) if event.tag == _UNSAFE else self.value(event, place, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, place)
        return value, place

    def value(self, event: Any, place: Place, depth: int) -> Any:
        if type(event) is yaml.ScalarEvent:
            value = self.scalar(event, place)
            return Verbatim(value) if self.unsafe and isinstance(value, str) else value
        if depth >= MAX_DEPTH:
            raise self.error(f"nested deeper than {MAX_DEPTH} levels", place)
        return (self.mapping if type(event) is yaml.MappingStartEvent else self.sequence)(event, place, depth + 1)

    def unsafely(self, event: Any, place: Place, depth: int) -> Any:
        """What is in ``!unsafe`` is typed as if it had no tag, even in quotes, as in Ansible."""
        event.tag, event.implicit = None, (True, False)
        self.unsafe += 1
        try:
            return self.value(event, place, depth)
        finally:
            self.unsafe -= 1

    def aliased(self, event: Any) -> tuple[Any, Place]:
        if event.anchor not in self.anchors:
            raise yaml.composer.ComposerError(None, None, "found undefined alias", event.start_mark)
        value, place = self.anchors[event.anchor]
        if value is _OPEN:
            raise self.error("an alias that contains itself", place)
        if self.unsafe:
            place = Place(self.name, event.start_mark.line + 1, event.start_mark.column + 1)
            raise self.error("an alias inside of !unsafe", place, remedy="write it out")
        return value, place

    def scalar(self, event: Any, place: Place) -> Any:
        tag = _scalar_tag(event)
        if tag == _TEXT:
            return event.value
        if tag in _VAULT:
            return self.encrypted(event, place)
        if tag not in _SCALAR_TAGS:
            raise self.unknown_tag(tag, place)
        # Of `1:1:1…` Python would work out each digit, however many there are.
        if tag in _NUMBER_TAGS and len(event.value) > MAX_DIGITS:
            raise self.error(f"a number of more than {MAX_DIGITS:,} characters", place, remedy="quote it")
        try:
            value = self.constructor.yaml_constructors[tag](self.constructor, yaml.ScalarNode(tag, event.value))
        except (ValueError, OverflowError, binascii.Error, yaml.constructor.ConstructorError) as error:
            raise self.error(f"not a valid value: {_reason(error)}", place) from None
        except (LookupError, AttributeError):  # PyYAML's own words for `!!bool maybe` and `!!int ""`
            kind = tag.rpartition(":")[2]
            raise self.error(f"not a valid value: {event.value!r} is no {kind}", place) from None
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise self.error(f"a number of more than {MAX_BITS} bits", place, remedy="quote it")
        if isinstance(value, bytes) and not _is_text(value):
            raise self.error("!!binary data that is no UTF-8 text", place, remedy="use a file with copy")
        return value

    def encrypted(self, event: Any, place: Place) -> Encrypted:
        if _implied(event.value) != _TEXT:
            raise self.no_text(event.tag, place)
        return Encrypted(event.value, place)

    def no_text(self, tag: str, place: Place) -> InputError:
        return self.error(f"{tag} takes a text", place, remedy="ansible-vault encrypt_string writes it")

    def unknown_tag(self, tag: str, place: Place) -> InputError:
        return self.error(f"unknown tag {tag}", place, remedy=_REMEDIES.get(tag))

    def sequence(self, event: Any, place: Place, depth: int) -> Sequence:
        tag = _tag(event, _SEQUENCE)
        if tag != _SEQUENCE:
            raise self.no_text(tag, place) if tag in _VAULT else self.unknown_tag(tag, place)
        items = Sequence(place)
        while type(event := next(self.events)) is not yaml.SequenceEndEvent:
            value, value_place = self.node(event, depth)
            items.append(value)
            items.item_places.append(value_place)
        return items

    def mapping(self, event: Any, place: Place, depth: int) -> Mapping | Sequence:
        tag = _tag(event, _MAP)
        if tag not in (_MAP, _SET):
            raise self.no_text(tag, place) if tag in _VAULT else self.unknown_tag(tag, place)
        own = Mapping(place)
        merges: list[Mapping] = []
        while type(event := next(self.events)) is not yaml.MappingEndEvent:
            if _is_merge(event):
                merges.extend(self.merged(depth))
                continue
            key, key_place = self.key(event, depth)
            if key in own.key_places:
                remedy = f"the first is at {own.key_places[key]}; keep one"
                self.duplicates.append(self.error(f"key {key!r} stands twice", key_place, remedy=remedy))
            own.key_places[key] = key_place
            own[key], own.value_places[key] = self.node(next(self.events), depth)
        items = _over(merges, own) if merges else own
        return _members(items) if tag == _SET else items

    def key(self, event: Any, depth: int) -> tuple[Any, Place]:
        if type(event) is yaml.ScalarEvent and event.value == "=":
            # Of itself a plain = is a tag that nothing is made for.
            event.implicit = (False, True)
        key, place = self.node(event, depth)
        if type(key) is str:
            return key, place
        if isinstance(key, (Mapping, Sequence)):
            remedy = remedy_of(self.text, place)
            raise self.error("a list or mapping cannot be a key", place, remedy=remedy)
        if isinstance(key, Encrypted):
            raise self.error("an encrypted text cannot be a key", place)
        return str(key) if isinstance(key, Verbatim) else key, place

    def merged(self, depth: int) -> list[Mapping]:
        """What ``<<:`` names, what wins last: of a list the first."""
        value, place = self.node(next(self.events), depth)
        several = value if isinstance(value, Sequence) else [value]
        if not all(isinstance(one, Mapping) for one in several):
            raise self.error("<<: takes a mapping or a list of mappings", place)
        return list(reversed(several))


def _over(merges: list[Mapping], own: Mapping) -> Mapping:
    """What is merged in comes first, wherever it stands, and gives way to what the mapping itself says."""
    items = Mapping(own.place)
    for part in (*merges, own):
        items.update(part)
        items.key_places.update(part.key_places)
        items.value_places.update(part.value_places)
    return items


def _members(items: Mapping) -> Sequence:
    """A set as a list, in the order written: a plan travels as JSON, and Ansible's order is left to chance."""
    members = Sequence(items.place)
    members.extend(items)
    members.item_places.extend(items.key_places[item] for item in items)
    return members


def _tag(event: Any, implied: str) -> str:
    """The tag that a list or mapping was given, ``implied`` where it has none."""
    tag: str | None = event.tag
    return implied if tag in (None, "!") else _OLD_NAMES.get(str(tag), str(tag))


def _is_merge(event: Any) -> bool:
    # Most keys are told apart by their text alone.
    written = type(event) is yaml.ScalarEvent and (event.value == "<<" or event.tag == _MERGE)
    return written and _scalar_tag(event) == _MERGE


def _scalar_tag(event: Any) -> str:
    """The tag a scalar is given, or the one that its text implies where it is not quoted."""
    tag: str | None = event.tag
    if tag is not None and tag != "!":
        return _OLD_NAMES.get(tag, tag)
    return _implied(event.value) if event.implicit[0] else _TEXT


def _implied(value: str) -> str:
    """The tag that a text has of itself."""
    for implied, pattern in _Loader.yaml_implicit_resolvers.get(value[:1], ()):
        if pattern.match(value):
            return str(implied)
    return _TEXT


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _reason(error: Exception) -> str:
    """What PyYAML says, without the marks that are told better by the place."""
    return str(error.problem) if isinstance(error, yaml.MarkedYAMLError) else str(error)
