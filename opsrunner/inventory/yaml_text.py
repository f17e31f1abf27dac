"""YAML as ansible-inventory prints it: keys sorted, blocks only, no aliases; written as it is made."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TextIO

import yaml

from opsrunner.inventory.values import text_key

#: libyaml's, as Ansible's: the two break and escape long and rare text differently.
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
#: Half of a character, which JSON may hold and libyaml cannot write.
_HALF = re.compile("[\ud800-\udfff]")
_REPRESENTER: Any = yaml.representer.SafeRepresenter()
_RESOLVER: Any = yaml.resolver.Resolver()


def write(value: Any, stream: TextIO) -> None:
    """Write ``value`` as one document to ``stream``."""
    dumper = yaml.SafeDumper if _has_half(value) else _Dumper
    yaml.emit(_document(value), stream, Dumper=dumper, allow_unicode=True)


def _has_half(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_half(key) or _has_half(item) for key, item in value.items())
    if isinstance(value, list):
        return any(map(_has_half, value))
    return isinstance(value, str) and not value.isascii() and _HALF.search(value) is not None


def _document(value: Any) -> Iterator[yaml.Event]:
    yield yaml.StreamStartEvent()
    yield yaml.DocumentStartEvent(explicit=False)
    yield from _events(value)
    yield yaml.DocumentEndEvent(explicit=False)
    yield yaml.StreamEndEvent()


def _events(value: Any) -> Iterator[yaml.Event]:
    if isinstance(value, dict):
        yield yaml.MappingStartEvent(None, None, implicit=True, flow_style=False)
        for key, item in sorted({text_key(key): item for key, item in value.items()}.items()):
            yield _scalar(key)
            yield from _events(item)
        yield yaml.MappingEndEvent()
    elif isinstance(value, list):
        yield yaml.SequenceStartEvent(None, None, implicit=True, flow_style=False)
        for item in value:
            yield from _events(item)
        yield yaml.SequenceEndEvent()
    else:
        yield _scalar(value)


@lru_cache(maxsize=4096, typed=True)
def _scalar(value: Any) -> yaml.ScalarEvent:
    # The same names and values come with thousands of hosts.
    node = _REPRESENTER.represent_data(value)
    implied = (True, False), (False, True)
    implicit = tuple(node.tag == _RESOLVER.resolve(yaml.ScalarNode, node.value, which) for which in implied)
    return yaml.ScalarEvent(None, node.tag, implicit, node.value, style=node.style)
