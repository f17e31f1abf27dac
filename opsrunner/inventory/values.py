"""YAML values as the plain ones that a plan can carry as JSON, there and back."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable
from typing import Any

from opsrunner import tagged, yamlsource
from opsrunner.errors import InputError
from opsrunner.tagged import Encrypted, Verbatim

#: Marks a mapping with keys that JSON would turn into strings, or that look like one of these marks.
_PAIRS = "\0pairs"
#: Mark a date, and a time, written as ISO 8601 has it.
_DATE, _TIME = "\0date", "\0time"


def plain(value: Any) -> Any:
    """``value`` without places; dates and times stay what they are, but for keys."""
    if isinstance(value, dict):
        return {_plain_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


def count(value: Any) -> int:
    """How many values there are in ``value``, itself included."""
    if isinstance(value, dict):
        return 1 + sum(map(count, value.values()))
    return 1 + sum(map(count, value)) if isinstance(value, list) else 1


def _plain_key(key: Any) -> Any:
    return key.isoformat() if isinstance(key, datetime.date) else plain(key)


#: Half of a character beyond 16 bits, as JSON writes it; YAML knows no such halves.
_SURROGATE = re.compile(r"\\u[dD]([89a-fA-F])")


def load_yaml(text: str, name: str, *, on_duplicate: Callable[[InputError], None] | None = None) -> Any:
    """``text`` with places, as Ansible reads it: as JSON where it is JSON, else as YAML.

    The two differ: ``1e3`` is a number in JSON and text in YAML 1.1, and JSON may hold tabs.
    A repeated key is an error, or goes to ``on_duplicate``. Raises InputError for broken YAML.
    """
    if not text.lstrip().startswith(("{", "[")):
        return yamlsource.load(text, name, on_duplicate=on_duplicate)
    try:
        parsed = json.loads(text)
        if _SURROGATE.search(text):
            json.dumps(parsed, ensure_ascii=False).encode()  # half a character, which YAML refuses with its place
    except (ValueError, RecursionError):
        return yamlsource.load(text, name, on_duplicate=on_duplicate)
    # Only places are taken from this reading, so the length of the text is all that must not change.
    # In valid JSON a tab can stand between tokens only.
    readable = _SURROGATE.sub(lambda half: rf"\ue{int(half[1], 16) - 8}", text).replace("\t", " ")
    # type(text): what is read of an encrypted file is quoted nowhere.
    return _overlaid(yamlsource.load(type(text)(readable), name, on_duplicate=on_duplicate), parsed)


def _overlaid(node: Any, parsed: Any) -> Any:
    if isinstance(parsed, dict) and (found := tagged.of_json(parsed, getattr(node, "place", None))) is not None:
        return found
    if isinstance(node, yamlsource.Mapping) and isinstance(parsed, dict) and len(node) == len(parsed):
        result = yamlsource.Mapping(node.place)
        # Both keep the order of the text, and of a repeated key the last value at the first place.
        for (key, item), (json_key, json_item) in zip(node.items(), parsed.items(), strict=True):
            result[json_key] = _overlaid(item, json_item)
            result.key_places[json_key] = node.key_places[key]
            result.value_places[json_key] = node.value_places[key]
        return result
    if isinstance(node, yamlsource.Sequence) and isinstance(parsed, list) and len(node) == len(parsed):
        items = yamlsource.Sequence(node.place)
        items.item_places = node.item_places
        items.extend(_overlaid(item, json_item) for item, json_item in zip(node, parsed, strict=True))
        return items
    return parsed


def encode(value: Any) -> Any:
    """``value`` for JSON: a mapping whose keys are not all plain strings becomes a list of pairs, a date a text."""
    if isinstance(value, dict):
        if all(isinstance(key, str) and not key.startswith("\0") for key in value):
            return {key: encode(item) for key, item in value.items()}
        return {_PAIRS: [[key, encode(item)] for key, item in value.items()]}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, datetime.date):
        return {_TIME if isinstance(value, datetime.datetime) else _DATE: value.isoformat()}
    return tagged.pack(value) if isinstance(value, (Encrypted, Verbatim)) else value


def decode(value: Any) -> Any:
    """What :func:`encode` was given."""
    if isinstance(value, dict):
        if len(value) == 1 and _PAIRS in value:
            return {key: decode(item) for key, item in value[_PAIRS]}
        if len(value) == 1 and _DATE in value:
            return datetime.date.fromisoformat(value[_DATE])
        if len(value) == 1 and _TIME in value:
            return datetime.datetime.fromisoformat(value[_TIME])
        if len(value) == 1 and tagged.MARK in value:
            return tagged.unpack(value[tagged.MARK])
        return {key: decode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decode(item) for item in value]
    return value


def as_json_has_it(value: Any) -> Any:
    """``value`` with dates as ISO 8601 text, encrypted texts as they stand, and keys as JSON would write them."""
    if isinstance(value, dict):
        return {text_key(key): as_json_has_it(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_json_has_it(item) for item in value]
    if isinstance(value, Encrypted):
        return {"__ansible_vault": value.envelope}
    return value.isoformat() if isinstance(value, datetime.date) else value


def text_key(key: Any) -> str:
    """``key`` as JSON would write it, so that keys of mixed types can be sorted."""
    return key if isinstance(key, str) else next(iter(json.loads(json.dumps({key: 0}))))
