"""Thousands of names and outputs in a few lines: ``web[01-20,25],db1``.

A folded text is a list of terms with commas between them. A term is a name in which any number of
places may hold ``[…]``: numbers and ranges with commas between them; it stands for every
combination. Zero padding counts: ``[08-10]`` is 08, 09, 10 and ``[8-10]`` is 8, 9, 10. A backslash
takes away the meaning of the ``[``, ``]``, ``,`` or backslash after it.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator
from itertools import product
from typing import Generic, TypeVar

from opsrunner.errors import InputError

Key = TypeVar("Key", bound=Hashable)

#: Digits are cut after 18 so that every number stays a small integer; a longer run of digits is
#: simply several numbers side by side.
_NUMBER = re.compile(r"([0-9]{1,18})")
_SPECIAL = re.compile(r"([\\\[\],])")
_RANGE = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?")

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
    shapes: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for name in set(names):
        parts = _NUMBER.split(name)
        shapes.setdefault(tuple(parts[::2]), []).append(tuple(parts[1::2]))
    terms: list[tuple[tuple[tuple[str, int, str], ...], str]] = []
    for texts, rows in shapes.items():
        quoted = [_SPECIAL.sub(r"\\\1", text) for text in texts]
        for first, numbers in _fold_rows(rows):
            terms.append((natural_key(_weave(texts, first)), _weave(quoted, numbers)))
    return ",".join(text for _, text in sorted(terms))


def label(hosts: Iterable[str]) -> str:
    """Names as people are shown them: folded, with their count when there are several."""
    unique = set(hosts)
    folded = fold_names(unique)
    return f"{folded} ({len(unique)})" if len(unique) > 1 else folded


def expand_names(text: str) -> list[str]:
    """Every name a folded text stands for, sorted, each once: the inverse of :func:`fold_names`.

    Raises InputError when a bracket is not closed, a range is none, or too many names are meant.
    """
    names: set[str] = set()
    for term in _terms(text):
        size = 1
        for choices in term:
            size *= len(choices)
        if len(names) + size > EXPAND_LIMIT:
            raise _fault(text, f"it stands for more than {EXPAND_LIMIT:,} names")
        names.update("".join(choice) for choice in product(*term))
    return sorted(names)


def group_by_text(items: Iterable[tuple[str, str]]) -> list[tuple[list[str], str]]:
    """Hosts that have the same text, together: the biggest group first, hosts in natural order.

    Only one copy of each different text is kept, so that ``items`` may be a stream of far more
    than fits into memory.
    """
    groups: Groups[str] = Groups()
    for host, text in items:
        groups.add(host, text)
    return groups.biggest_first()


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
        following = str(int(number) + 1).zfill(len(run[0]) if run[0].startswith("0") else 0)
        if len(following) <= 18:
            awaited.setdefault(following, run)
    return ",".join(low if low == high else f"{low}-{high}" for low, high in runs)


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
        match = _RANGE.fullmatch(piece)
        if not match:
            raise _fault(text, f"{piece!r} in [{inside}] is neither a number nor a range such as 01-20")
        low, high = match[1], match[2] or match[1]
        if int(high) < int(low):
            raise _fault(text, f"the range {piece} runs backwards")
        if int(high) - int(low) >= EXPAND_LIMIT:
            raise _fault(text, f"it stands for more than {EXPAND_LIMIT:,} names")
        width = len(low) if low.startswith("0") else 0
        yield from (str(number).zfill(width) for number in range(int(low), int(high) + 1))


def _fault(text: str, why: str) -> InputError:
    return InputError(
        f"bad host list {text!r}", why=why, remedy="write names with commas between them, and ranges as web[01-20,25]"
    )
