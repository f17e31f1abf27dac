"""Outputs of thousands of hosts in a few lines: hosts that printed the same stand together."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Generic, TypeVar

from opsrunner.nodeset import fold_names, natural_key

Key = TypeVar("Key", bound=Hashable)
Source = TypeVar("Source")

#: Characters from which a text is not kept to be compared with others, but its digest.
LONG = 8192
#: Stands for a host's name; no text that is harmless to print has it.
_NAME = "\0"


def label(hosts: Iterable[str]) -> str:
    """Names as people are shown them: folded, with their count when there are several."""
    return _label(frozenset(hosts))


@lru_cache(maxsize=4)
def _label(hosts: frozenset[str]) -> str:
    """Most steps of a run end alike on the same thousands of hosts."""
    folded = fold_names(hosts)
    return f"{folded} ({len(hosts)})" if len(hosts) > 1 else folded


def nameless(text: str, host: str) -> str:
    """The text with a mark for the host's own name: what differs in nothing else may stand together."""
    return re.sub(rf"(?<![\w.-]){re.escape(host)}(?![\w-]|\.\w)", _NAME, text) if host in text else text


def named(text: str, hosts: Sequence[str]) -> str:
    """The text of :func:`nameless` for whom it is told of."""
    return text.replace(_NAME, hosts[0] if len(hosts) == 1 else "HOST")


def group_by_text(
    items: Iterable[tuple[str, Source]], tell: Callable[[Source], str]
) -> Iterator[tuple[list[str], str]]:
    """Hosts of which the same is to be told, and that: the biggest group first, hosts in natural order.

    A long text is told anew when its turn comes, so that all of them may be far more than fits into memory.
    """
    groups: Groups[str | bytes] = Groups()
    samples: dict[bytes, Source] = {}
    for host, source in items:
        text = tell(source)
        if len(text) < LONG:
            groups.add(host, text)
        else:
            samples.setdefault(digest := _digest(text), source)
            groups.add(host, digest)
    for hosts, key in groups.biggest_first():
        yield hosts, key if isinstance(key, str) else tell(samples[key])


@lru_cache(maxsize=2)
def _digest(text: str) -> bytes:
    """Of a text that often is the same object as the one before."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


class Groups(Generic[Key]):
    """Hosts gathered under equal keys. A dict compares by hash first: equal megabytes stay cheap."""

    def __init__(self) -> None:
        self._hosts: dict[Key, list[str]] = {}

    def __len__(self) -> int:
        return len(self._hosts)

    def add(self, host: str, key: Key) -> None:
        self._hosts.setdefault(key, []).append(host)

    def biggest_first(self) -> list[tuple[list[str], Key]]:
        """``(hosts, key)`` for each key; groups of one size stand in the order of their first host."""
        rows = [(sorted(hosts, key=natural_key), key) for key, hosts in self._hosts.items()]
        rows.sort(key=lambda row: (-len(row[0]), natural_key(row[0][0])))
        return rows
