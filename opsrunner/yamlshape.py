"""Refuses YAML that would break whoever reads it: nested so deep that the C stack ends, or a bomb of aliases.

Both are found in the stream of events, which needs neither a stack nor memory that grows with the text.
"""

from __future__ import annotations

from typing import Any

import yaml

#: Levels of nesting; what people write has a dozen.
MAX_DEPTH = 200
#: Values that aliases may add to those that are written out.
MAX_REPEATED = 1_000_000
#: Texts that cannot nest deeper than that are not looked at; composing 10,000 levels still fits a stack of 8 MiB.
_HARMLESS_DEPTH = 2_000

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class ShapeError(Exception):
    """The text must not be composed; ``line`` and ``column`` (from 1) tell where that shows."""

    def __init__(self, what: str, mark: Any) -> None:
        super().__init__(what)
        self.line: int = mark.line + 1
        self.column: int = mark.column + 1


def check(text: str) -> None:
    """Raise ShapeError where composing ``text`` would break this process; other faults are left to the composer."""
    if ("&" in text and "*" in text) or _possible_depth(text) > _HARMLESS_DEPTH:
        try:
            _follow(text)
        except yaml.YAMLError:
            return


def _possible_depth(text: str) -> int:
    # Each level is opened by a bracket, or begins further to the right (a list: as far as its key) than the one before.
    return text.count("[") + text.count("{") + 2 * max(map(len, text.splitlines()), default=0)


def _follow(text: str) -> None:
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    written = repeated = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            repeated += sizes.get(event.anchor or "", 0)
            if repeated > MAX_REPEATED:
                raise ShapeError(f"aliases repeat more than {MAX_REPEATED} values", event.start_mark)
        elif isinstance(event, yaml.CollectionStartEvent):
            written += 1
            open_nodes.append((event.anchor, written + repeated))
            if len(open_nodes) > MAX_DEPTH:
                raise ShapeError(f"nested deeper than {MAX_DEPTH} levels", event.start_mark)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = written + repeated - before + 1
        elif isinstance(event, yaml.ScalarEvent):
            written += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
