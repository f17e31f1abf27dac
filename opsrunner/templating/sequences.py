"""The lookup ``sequence``: numbers as text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any, Final

from opsrunner.templating import bounds
from opsrunner.templating.surroundings import Call

_NUMBER = "(0?x?[0-9a-f]+)"
_SHORTCUT: Final = re.compile(rf"(?:{_NUMBER}-)?{_NUMBER}(?:/{_NUMBER})?(?::(.+))?", re.IGNORECASE)
_SEQUENCE_OPTIONS: Final = ("start", "end", "stride", "count", "format")


def sequence(_call: Call, terms: list[Any], **options: Any) -> list[str]:
    """Numbers as text: ``'5-8'``, ``'4:host%02d'``, or by start, end or count, stride and format."""
    if not terms and not options:
        return []
    return [text for term in terms or [""] for text in _sequence(term, options)]


def _sequence(term: str, options: Mapping[str, Any]) -> list[str]:
    given = {**options, **_sequence_options(term)}
    if unknown := sorted(set(given) - set(_SEQUENCE_OPTIONS)):
        raise ValueError(f"unrecognized arguments to with_sequence: {unknown}")
    start, stride = _integer("start", given.get("start", 1)), _integer("stride", given.get("stride", 1))
    shape = given.get("format", "%d")
    if ("count" in given) == ("end" in given):
        raise ValueError("can't specify both count and end" if "count" in given else "must specify count or end")
    if "count" in given:
        count = _integer("count", given["count"])
        if count == 0:
            return []
        end = start + count * stride - 1
    else:
        end = _integer("end", given["end"])
    if stride > 0 and end < start:
        raise ValueError("to count backwards make stride negative")
    if stride < 0 and end > start:
        raise ValueError("to count forward don't make stride negative")
    if stride == 0:
        return []
    if shape.count("%") != 1:
        raise ValueError(f"bad formatting string: {shape}")
    bounds.check_format(shape)
    return [shape % number for number in bounds.bounded_range(start, end + (1 if stride > 0 else -1), stride)]


def _sequence_options(term: str) -> dict[str, str]:
    match = _SHORTCUT.fullmatch(term)
    if match:
        named = dict(zip(("start", "end", "stride", "format"), match.groups(), strict=True))
        return {name: value for name, value in named.items() if value is not None}
    return dict(word.split("=", 1) for word in shlex.split(term) if "=" in word)


def _integer(name: str, value: Any) -> int:
    from decimal import Decimal, DecimalException

    try:
        number = Decimal(value)
        if number.adjusted() < 300 and number == int(number):  # 1e999999999 would be written out in full
            return int(number)
    except (DecimalException, ValueError, TypeError):
        pass
    raise ValueError(f"{name} must be an integer, not {value!r}")
