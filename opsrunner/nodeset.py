"""Node sets: thousands of names in a few characters, ``web[01-20,25],db1``, as clush has them.

A folded text is a list of terms with commas between them. A term is a name in which any number of
places may hold ``[…]``: numbers and ranges with commas between them; it stands for every
combination. Zero padding counts: ``[08-10]`` is 08, 09, 10 and ``[8-10]`` is 8, 9, 10. ``[0-10/5]``
is 0, 5, 10. A backslash takes away the meaning of the ``[``, ``]``, ``,`` or backslash after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import product

from opsrunner.errors import InputError

#: Digits are cut after 18 so that every number stays a small integer; a longer run of digits is
#: simply several numbers side by side.
_NUMBER = re.compile(r"([0-9]{1,18})")
_SPECIAL = re.compile(r"([\\\[\],])")
_RANGE = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18})(?:/([0-9]{1,18}))?)?")

#: Names that one folded text may stand for; more is a slip of the keyboard.
EXPAND_LIMIT = 1_000_000


def natural_key(name: str) -> tuple[tuple[str, int, str], ...]:
    """Sort key that puts web2 before web10."""
    parts = _NUMBER.split(name)
    texts, numbers = parts[::2], [*parts[1::2], ""]
    return tuple((text, int(number or -1), number) for text, number in zip(texts, numbers, strict=True))


def fold_names(names: Iterable[str]) -> str:
    """The names as one short text; the same set of names always gives the same text.

    >>> fold_names(["web01", "web02", "web03", "db1"])
    'db1,web[01-03]'
    """
    return ",".join(fold_terms(names))


def fold_terms(names: Iterable[str]) -> list[str]:
    """The terms of :func:`fold_names`, in the natural order of their first names."""
    shapes: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for name in set(names):
        parts = _NUMBER.split(name)
        shapes.setdefault(tuple(parts[::2]), []).append(tuple(parts[1::2]))
    terms: list[tuple[tuple[tuple[str, int, str], ...], str]] = []
    for texts, rows in shapes.items():
        quoted = [_SPECIAL.sub(r"\\\1", text) for text in texts]
        for first, numbers in _fold_rows(rows):
            terms.append((natural_key(_weave(texts, first)), _weave(quoted, numbers)))
    return [text for _, text in sorted(terms)]


def expand_names(text: str) -> list[str]:
    """Every name a folded text stands for, sorted, each once: the inverse of :func:`fold_names`.

    Raises InputError when a bracket is not closed, a range is none, or too many names are meant.
    """
    names: set[str] = set()
    for term in _terms(text):
        names.update(_names(text, term))
        if len(names) > EXPAND_LIMIT:
            raise _too_many(text)
    return sorted(names)


def expand_term(text: str) -> list[str]:
    """The names of the one term that ``text`` is, in the order in which they are written, each once.

    Raises InputError as :func:`expand_names` does, and for several terms.
    """
    terms = list(_terms(text))
    if len(terms) != 1:
        raise _fault(text, "it is not one name with ranges in it")
    return list(dict.fromkeys(_names(text, terms[0])))


def _names(text: str, term: list[list[str]]) -> Iterator[str]:
    size = 1
    for choices in term:
        size *= len(choices)
        if size > EXPAND_LIMIT:
            raise _too_many(text)
    return map("".join, product(*term))


def _weave(texts: Iterable[str], numbers: Iterable[str]) -> str:
    return "".join(text + number for text, number in zip(texts, (*numbers, ""), strict=True))


def _fold_rows(rows: list[tuple[str, ...]]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Fold rows of numbers column by column: ``(first row meant, folded row)`` for each term.

    The column that leaves the fewest terms goes first, the last one where that is undecided: the
    number at the end of a name is the one that people count with.
    """
    folded = [(row, row) for row in rows]
    columns = list(range(len(rows[0])))
    while columns and len(folded) > 1:
        column = min(columns, key=lambda index: (len({_without(row, index) for _, row in folded}), -index))
        columns.remove(column)
        buckets: dict[tuple[str, ...], list[tuple[tuple[str, ...], tuple[str, ...]]]] = {}
        for pair in folded:
            buckets.setdefault(_without(pair[1], column), []).append(pair)
        folded = [_merge(bucket, column) for bucket in buckets.values()]
    return folded


def _without(row: tuple[str, ...], column: int) -> tuple[str, ...]:
    return row[:column] + row[column + 1 :]


def _merge(
    bucket: list[tuple[tuple[str, ...], tuple[str, ...]]], column: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if len(bucket) == 1:
        return bucket[0]
    first, row = min(bucket, key=lambda pair: [(int(number), number) for number in pair[0]])
    ranges = _ranges(pair[1][column] for pair in bucket)
    return first, (*row[:column], f"[{ranges}]", *row[column + 1 :])


def _ranges(numbers: Iterable[str]) -> str:
    """``01 02 03 7`` as ``01-03,7``. A number that could go on two runs (9 and 09, then 10) joins one."""
    runs: list[list[str]] = []
    awaited: dict[str, list[str]] = {}
    for number in sorted(numbers, key=lambda text: (int(text), len(text))):
        run = awaited.pop(number, None)
        if run is None:
            runs.append(run := [number, number])
        run[1] = number
        following = str(int(number) + 1).zfill(_width(run[0]))
        # clush refuses [01-100], in which the padding ends.
        if len(following) <= (_width(run[0]) or 18):
            awaited.setdefault(following, run)
    return ",".join(low if low == high else f"{low}-{high}" for low, high in runs)


def _width(number: str) -> int:
    """Digits to which a number is padded with zeros, 0 when it is not padded."""
    return len(number) if len(number) > 1 and number.startswith("0") else 0


def _terms(text: str) -> Iterator[list[list[str]]]:
    """Each term as a list of places, each place a list of what may stand there."""
    term: list[list[str]] = []
    index = 0
    while index < len(text):
        character = text[index]
        if character == ",":
            if not term:
                raise _fault(text, "a name is missing at a comma")
            yield term
            term = []
        elif character == "[":
            end = text.find("]", index)
            if end < 0:
                raise _fault(text, "a [ is never closed")
            term.append(list(_choices(text, text[index + 1 : end])))
            index = end
        elif character == "]":
            raise _fault(text, "a ] was never opened")
        else:
            if character == "\\":
                index += 1
                if index == len(text):
                    raise _fault(text, "it ends with a backslash")
            term.append([text[index]])
        index += 1
    if term:
        yield term
    elif text:
        raise _fault(text, "a name is missing at a comma")


def _choices(text: str, inside: str) -> Iterator[str]:
    for piece in inside.split(","):
        match = _RANGE.fullmatch(piece.strip())
        if not match:
            raise _fault(text, f"{piece!r} in [{inside}] is neither a number nor a range such as 01-20")
        low, high, step = match[1], match[2] or match[1], int(match[3] or 1)
        if int(high) < int(low) or not step:
            raise _fault(text, f"the range {piece} {'runs backwards' if step else 'has a step of 0'}")
        if (_width(low) or _width(high)) and len(low) != len(high):
            raise _fault(text, f"the ends of {piece} are not padded to one length")
        if int(high) - int(low) >= EXPAND_LIMIT * step:
            raise _too_many(text)
        yield from (str(number).zfill(_width(low)) for number in range(int(low), int(high) + 1, step))


def _too_many(text: str) -> InputError:
    return _fault(text, f"it stands for more than {EXPAND_LIMIT:,} names")


def _fault(text: str, why: str) -> InputError:
    return InputError(
        f"bad host list {text!r}", why=why, remedy="write names with commas between them, and ranges as web[01-20,25]"
    )
