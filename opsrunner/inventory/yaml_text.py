"""YAML as ansible-inventory prints it: keys sorted, blocks only, an anchor for what several hosts share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, TextIO

import yaml

from opsrunner.tagged import Encrypted, Verbatim

#: libyaml's, as Ansible's: the two break and escape long and rare text differently.
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_REPRESENTER: Any = yaml.representer.SafeRepresenter()
_RESOLVER: Any = yaml.resolver.Resolver()


def write(value: Any, stream: TextIO) -> None:
    """Write ``value`` as one document to ``stream``, as it is made: PyYAML's tree of nodes takes six times as much."""
    yaml.emit(_Writer(value).document(), stream, Dumper=_Dumper, allow_unicode=True)


class _Writer:
    """Makes the events of one document."""

    def __init__(self, value: Any) -> None:
        self._value = value
        #: Identity of a value → its anchor once it was met again, "" until then.
        self._anchors: dict[int, str] = {}
        self._shared = 0
        self._name(value)
        self._written: set[int] = set()

    def _name(self, value: Any) -> None:
        """Find what stands in several places; anchors are counted in the order in which the second ones come."""
        if not isinstance(value, (dict, list, Encrypted)):
            return
        known = self._anchors.get(id(value))
        if known is None:
            self._anchors[id(value)] = ""
            for inner in _inner(value):
                self._name(inner)
        elif not known:
            self._shared += 1
            self._anchors[id(value)] = f"id{self._shared:03d}"

    def document(self) -> Iterator[yaml.Event]:
        yield yaml.StreamStartEvent()
        yield yaml.DocumentStartEvent(explicit=False)
        yield from self._events(self._value)
        yield yaml.DocumentEndEvent(explicit=False)
        yield yaml.StreamEndEvent()

    def _events(self, value: Any) -> Iterator[yaml.Event]:
        if not isinstance(value, (dict, list, Encrypted)):
            yield _scalar(str(value) if isinstance(value, Verbatim) else value)
            return
        anchor = self._anchors[id(value)] or None
        if id(value) in self._written:
            yield yaml.AliasEvent(anchor)
            return
        self._written.add(id(value))
        if isinstance(value, Encrypted):
            yield yaml.ScalarEvent(anchor, "!vault", (False, False), value.envelope, style="|")
        elif isinstance(value, dict):
            yield yaml.MappingStartEvent(anchor, None, implicit=True, flow_style=False)
            for key, item in _sorted(value):
                yield _scalar(key)
                yield from self._events(item)
            yield yaml.MappingEndEvent()
        else:
            yield yaml.SequenceStartEvent(anchor, None, implicit=True, flow_style=False)
            for item in value:
                yield from self._events(item)
            yield yaml.SequenceEndEvent()


def _inner(value: dict[Any, Any] | list[Any] | Encrypted) -> Iterable[Any]:
    if isinstance(value, dict):
        return [one for _, one in _sorted(value)]
    return value if isinstance(value, list) else ()


def _sorted(mapping: dict[Any, Any]) -> list[tuple[Any, Any]]:
    """By key; in the order written where the keys cannot be compared, as PyYAML has it."""
    try:
        return sorted(mapping.items(), key=lambda item: item[0])
    except TypeError:
        return list(mapping.items())


@lru_cache(maxsize=4096, typed=True)
def _scalar(value: Any) -> yaml.ScalarEvent:
    # The same names and values come with thousands of hosts.
    node = _REPRESENTER.represent_data(value)
    implied = (True, False), (False, True)
    implicit = tuple(node.tag == _RESOLVER.resolve(yaml.ScalarNode, node.value, which) for which in implied)
    return yaml.ScalarEvent(None, node.tag, implicit, node.value, style=node.style)
