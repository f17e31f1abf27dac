"""Values of YAML side by side: whether they are the same, and how they differ in a few words. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

#: Characters of a value that are shown.
WIDTH = 60
#: Of them, those before the place where two long values begin to differ.
_BEFORE = 15


def alike(old: Any, new: Any) -> bool:
    """Equal in value and type: 1 is not true. The order of keys is not looked at, a tuple is a list."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return old.keys() == new.keys() and all(alike(value, new[key]) for key, value in old.items())
    if isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        return len(old) == len(new) and all(map(alike, old, new))
    return type(old) is type(new) and bool(old == new)


def changed_names(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Names that stand in one only, or with another value, in their order."""
    if old == new and alike(old, new):
        return []
    missing = object()
    return [name for name in {**old, **new} if not alike(old.get(name, missing), new.get(name, missing))]


def contrast(old: Any, new: Any) -> str:
    """``nginx → httpd``; of long values the part in which they begin to differ."""
    before, after = _text(old), _text(new)
    begin = 0
    if max(len(before), len(after)) > WIDTH:
        same = next((at for at, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), None)
        begin = max(0, (min(len(before), len(after)) if same is None else same) - _BEFORE)
    return f"{_cut(before, begin)} → {_cut(after, begin)}"


def listed(names: Sequence[object], limit: int = 8, separator: str = ", ") -> str:
    """``a, b, c``, or the first of them and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return separator.join(map(str, names[:limit])) + more


def ranges(numbers: Iterable[int]) -> str:
    """``0-3, 5`` for ascending numbers."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, run)) for run in runs)


def _text(value: Any) -> str:
    if value is None or value == ():
        return "nothing"
    if isinstance(value, str):
        return value or "''"
    if isinstance(value, tuple):
        return ", ".join(map(_text, value))
    return json.dumps(value, ensure_ascii=False, default=str)


def _cut(text: str, begin: int) -> str:
    end = begin + WIDTH
    return f"{'…' if begin else ''}{text[begin:end]}{'…' if len(text) > end else ''}"
