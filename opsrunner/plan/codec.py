"""Plans as bytes and back: compact JSON, lightly compressed, an exact round trip."""

from __future__ import annotations

import datetime
import functools
import json
import types
import typing
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import NODEFAULT, Struct, structs

from opsrunner import tagged
from opsrunner.errors import OpsrunnerError
from opsrunner.plan.model import Plan
from opsrunner.tagged import Encrypted, Verbatim

#: Goes up when a plan of today could not be read by yesterday's worker.
FORMAT = 4
#: Stands for a mapping with keys that are no texts, which JSON would turn into texts.
_PAIRS = "\0pairs"


#: Fields that hold JSON already, of which there is too much to look through: 20,000 hosts.
_AS_IT_IS = frozenset(("inventory",))


class PlanFormatError(OpsrunnerError):
    """Bytes that are no plan, or one of another version of opsrunner."""


def encode(plan: Plan) -> bytes:
    """The plan as bytes; its values must be plain, see :func:`plain`."""
    text = json.dumps({"format": FORMAT, "plan": _pack(plan)}, separators=(",", ":"))
    return zlib.compress(text.encode("ascii"), level=1)


def decode(data: bytes) -> Plan:
    """The plan that :func:`encode` was given. Raises PlanFormatError."""
    try:
        found = json.loads(zlib.decompress(data))
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise PlanFormatError(
                "the plan was made by another version of opsrunner",
                remedy="run the same version on all nodes; or cancel the run, and submit it again",
            )
        return typing.cast(Plan, _unpacker(Plan)(found["plan"]))
    except (zlib.error, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise PlanFormatError("the plan cannot be read", why=str(error) or type(error).__name__) from None


def plain(value: Any) -> Any:
    """A value of YAML without places and with JSON's types only.

    Dates and times become the texts that Ansible shows for them; keys that are no texts stay.
    """
    if isinstance(value, Mapping):
        return {plain(key): plain(content) for key, content in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return value


def _pack(value: Any) -> Any:
    """JSON of a value: a record is a mapping of those of its fields that differ from their default."""
    if isinstance(value, Struct):
        defaults = _defaults(type(value))
        return {
            name: content if name in _AS_IT_IS else _pack(content)
            for name in value.__struct_fields__
            if not _is_default(content := getattr(value, name), defaults.get(name, NODEFAULT))
        }
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value) and _PAIRS not in value and tagged.MARK not in value:
            return {key: _pack(content) for key, content in value.items()}
        return {_PAIRS: [[_pack(key), _pack(content)] for key, content in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_pack(item) for item in value]
    return tagged.pack(value) if isinstance(value, (Encrypted, Verbatim)) else value


@functools.cache
def _defaults(record: type[Struct]) -> dict[str, Any]:
    """What its fields hold where nothing is said, but for those of which something must be said."""
    names = record.__struct_fields__
    needed = len(names) - len(record.__struct_defaults__)
    blank = record(*[None] * needed)
    return {name: getattr(blank, name) for name in names[needed:]}


def _is_default(content: Any, default: Any) -> bool:
    """Whether a field may be left out. 0 is no False here: they must come back as they were."""
    return type(content) is type(default) and bool(content == default)


def _loose(value: Any) -> Any:
    """A value whose type is not declared."""
    if isinstance(value, dict):
        if _PAIRS in value:
            return {_loose(key): _loose(content) for key, content in value[_PAIRS]}
        if tagged.MARK in value:
            return tagged.unpack(value[tagged.MARK])
        return {key: _loose(content) for key, content in value.items()}
    if isinstance(value, list):
        return [_loose(item) for item in value]
    return value


def _same(value: Any) -> Any:
    return value


@functools.cache
def _unpacker(declared: Any) -> Callable[[Any], Any]:
    """How a value of a declared type is made from JSON."""
    if isinstance(declared, type) and issubclass(declared, Struct):
        return _record(declared)
    origin, parts = typing.get_origin(declared), typing.get_args(declared)
    if origin in (typing.Union, types.UnionType):
        inner = [part for part in parts if part is not type(None)]
        unpack = _unpacker(inner[0]) if len(inner) == 1 else _loose
        return lambda value: None if value is None else unpack(value)
    if origin is tuple:
        if len(parts) == 2 and parts[1] is Ellipsis:
            item = _unpacker(parts[0])
            return lambda value: tuple(item(one) for one in value)
        items = [_unpacker(part) for part in parts]
        return lambda value: tuple(unpack(one) for unpack, one in zip(items, value, strict=True))
    if origin is Mapping and (content := _unpacker(parts[1])) is not _loose:
        return lambda value: {key: content(one) for key, one in _loose(value).items()}
    return _loose


def _record(record: type[Struct]) -> Callable[[Any], Any]:
    fields = {
        field.name: _same if field.name in _AS_IT_IS else _unpacker(field.type) for field in structs.fields(record)
    }

    def make(value: Any) -> Any:
        return record(**{name: fields[name](content) for name, content in value.items()})

    return make
