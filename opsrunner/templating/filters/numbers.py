"""Filters over numbers, sizes and truth."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final

_TRUE: Final = ("yes", "on", "true", "1")
#: Bytes (or bits) of each unit, largest first.
_UNITS: Final = {letter: 1 << (10 * power) for power, letter in sorted(enumerate("BKMGTPEZY"), reverse=True)}
_UNIT_WORDS: Final = dict(
    zip("BKMGTPEZY", ("", "kilo", "mega", "giga", "tera", "peta", "exa", "zeta", "yotta"), strict=True),
)
_SIZE: Final = re.compile(r"([0-9]*\.?[0-9]+)(?:\s*([A-Za-z]+))?\s*")


def to_bool(value: Any) -> bool:
    """True for 1, true, yes and on; False for everything else."""
    if isinstance(value, (str, int)):
        return str(value).lower() in _TRUE
    return bool(value == 1)


def logarithm(value: Any, base: Any = math.e) -> float:
    """The logarithm, natural unless a base is given."""
    try:
        return math.log10(value) if base == 10 else math.log(value, base)
    except TypeError:
        raise TypeError("log() can only be used on numbers") from None


def power(value: Any, exponent: Any) -> float:
    """The power, as a float."""
    try:
        return math.pow(value, exponent)
    except TypeError:
        raise TypeError("pow() can only be used on numbers") from None


def root(value: Any, base: Any = 2) -> float:
    """The root, square unless a base is given."""
    try:
        return math.sqrt(value) if base == 2 else math.pow(value, 1.0 / float(base))
    except (ValueError, TypeError):
        raise TypeError("root() can only be used on numbers") from None


def human_readable(size: Any, isbits: Any = False, unit: str | None = None) -> str:
    """A size in the largest unit it reaches, or in the given one."""
    if not isinstance(size, (int, float)):
        raise TypeError("human_readable() failed on bad input")
    word = "bits" if isbits else "Bytes"
    for letter, limit in _UNITS.items():
        if size >= limit if unit is None else unit.upper() == letter:
            break
    suffix = word if limit == 1 else letter + word[0]
    return f"{size / limit:.2f} {suffix}"


def human_to_bytes(size: Any, default_unit: str | None = None, isbits: Any = False) -> int:
    """The bytes (or bits) that a size such as ``10 MB`` stands for."""
    match = _SIZE.fullmatch(str(size))
    if match is None:
        raise ValueError(f"human_to_bytes() can't interpret following string: {size}")
    unit = match.group(2) or default_unit
    if unit is None:
        return round(float(match.group(1)))
    letter = unit[0].upper()
    if letter not in _UNITS:
        raise ValueError(
            f"human_to_bytes() failed to convert {size} (unit = {unit}). The suffix must be one of {', '.join(_UNITS)}",
        )
    if len(unit) > 1 and not _is_unit(unit, letter, isbits):
        wanted = f"{letter}{'b' if isbits else 'B'}"
        raise ValueError(f"human_to_bytes() failed to convert {size}. The unit must be {wanted} or {letter}")
    return round(float(match.group(1)) * _UNITS[letter])


def _is_unit(unit: str, letter: str, isbits: Any) -> bool:
    symbol, word = ("b", "bit") if isbits else ("B", "byte")
    short = symbol if letter == "B" else letter + symbol
    return unit == short or unit.lower() == _UNIT_WORDS[letter] + word


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "bool": to_bool,
    "log": logarithm,
    "pow": power,
    "root": root,
    "human_readable": human_readable,
    "human_to_bytes": human_to_bytes,
}
