"""``@failed-of-RUN`` and the like in a pattern: hosts by what came of them in a run that has ended."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from opsrunner.inventory import patterns
from opsrunner.ledger.reader import Reader
from opsrunner.ledger.records import RunRecord

#: Word → the counts of the recap of which one must not be zero. ``failed`` is everybody who did not come through.
_COUNTS = {
    "failed": ("failures", "unreachable", "lost", "cancelled"),
    "unreachable": ("unreachable",),
    "lost": ("lost",),
    "cancelled": ("cancelled",),
    "changed": ("changed",),
}
_SELECTION = re.compile(rf"[&!]?@(({'|'.join(_COUNTS)}|ok)-of-([A-Za-z0-9_-]+))")


def selections(texts: Iterable[str | None], open_reader: Callable[[], Reader]) -> dict[str, tuple[str, ...]]:
    """The hosts of each selection that the patterns name, by its name without the ``@``.

    The ledger is opened only where one is named. Raises RunNotFound, and InputError for a run that
    still goes on and for a pattern that cannot be read.
    """
    parts = [part for text in texts if text for part in patterns.split(text)]
    wanted = {found[1]: (found[2], found[3]) for part in parts if (found := _SELECTION.fullmatch(part))}
    if not wanted:
        return {}
    reader = open_reader()
    return {name: _hosts(reader, reader.find_ended(run), word) for name, (word, run) in wanted.items()}


def _hosts(reader: Reader, run: RunRecord, word: str) -> tuple[str, ...]:
    stats = reader.stats(run)
    if word == "ok":
        return tuple(host for host, counts in stats.items() if not _any(counts, "failed"))
    return tuple(host for host, counts in stats.items() if _any(counts, word))


def _any(counts: Mapping[str, int], word: str) -> bool:
    return any(counts[name] for name in _COUNTS[word])
