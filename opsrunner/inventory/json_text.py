"""JSON as ansible-inventory prints it: keys sorted, four blanks a level; in parts, so that no copy of all is made."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from functools import lru_cache
from types import NoneType
from typing import Any

from opsrunner.inventory.values import text_key
from opsrunner.tagged import Encrypted, Verbatim

_TEXT = frozenset({str})
_SCALARS = frozenset({str, int, float, bool, NoneType})


def parts(value: Any, *, mark_unsafe: bool = False, line: str = "\n") -> Iterator[str]:
    """``value`` as JSON text, to be joined; ``line`` begins a line of the level around it.

    ``mark_unsafe`` tells ``!unsafe`` texts from others, as a whole listing does.
    """
    inner = line + "    "
    if isinstance(value, Encrypted):
        value = {"__ansible_vault": value.envelope}
    elif isinstance(value, Verbatim) and mark_unsafe:
        value = {"__ansible_unsafe": str(value)}
    if not value or not isinstance(value, (dict, list)):
        yield _encoder(",").encode(value)
    elif isinstance(value, list):
        yield from _block("[", ((inner, item) for item in value), mark_unsafe, inner, line + "]")
    elif _TEXT.issuperset(map(type, value)) and _SCALARS.issuperset(map(type, value.values())):
        # What most hosts look like. Python's fast encoder knows no indentation, but one level has none inside.
        yield "{" + inner + _encoder("," + inner).encode(value)[1:-1] + line + "}"
    else:
        items = sorted({text_key(key): item for key, item in value.items()}.items())
        heads = ((f"{inner}{_encoder(',').encode(key)}: ", item) for key, item in items)
        yield from _block("{", heads, mark_unsafe, inner, line + "}")


def _block(
    opening: str, items: Iterator[tuple[str, Any]], mark_unsafe: bool, inner: str, closing: str
) -> Iterator[str]:
    before = opening
    for head, item in items:
        yield before + head
        yield from parts(item, mark_unsafe=mark_unsafe, line=inner)
        before = ","
    yield closing


@lru_cache(maxsize=256)
def _encoder(separator: str) -> json.JSONEncoder:
    return json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(separator, ": "), default=_date)


def _date(value: datetime.date) -> str:
    return value.isoformat()
