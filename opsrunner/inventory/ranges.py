"""``web[01:20].example.org`` written out: numbers, padded numbers, letters, steps, several per name."""

from __future__ import annotations

import re
import string

from opsrunner.errors import InputError
from opsrunner.inventory import addresses

#: Hosts one entry may stand for; more is a slip of the keyboard and would eat the memory.
MAX_HOSTS = 1_000_000
#: Characters of the longest name; no resolver takes more.
MAX_LENGTH = 1024
#: Characters of all names that one entry stands for.
MAX_CHARACTERS = 64 * 1024 * 1024

_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_NUMBER = re.compile(r"-?[0-9]{1,18}")


def expand(entry: str) -> tuple[list[str], int | None]:
    """The names that one key under ``hosts:`` stands for, and the port it gives them.

    Raises InputError (without a place) for a range that cannot be read.
    """
    if len(entry) > MAX_LENGTH:
        raise InputError(f"a host's name of {len(entry)} characters", remedy=f"at most {MAX_LENGTH}")
    parsed = addresses.parse(entry)
    name, port = parsed if parsed else (entry, None)
    return (_written_out(name) if "[" in name else [name]), port


def _written_out(name: str) -> list[str]:
    parts: list[list[str]] = []
    count = 1
    position = 0
    for found in _BRACKETS.finditer(name):
        values = _values(found[1], found[0])
        count *= len(values)
        if count > MAX_HOSTS:
            raise InputError(f"{name!r} stands for more than {MAX_HOSTS} hosts", remedy="mend the range")
        if count * len(name) > MAX_CHARACTERS:
            raise InputError(f"{count} names of {len(name)} characters", remedy="mend the range")
        parts += [[_no_bracket(name[position : found.start()], name)], values]
        position = found.end()
    parts.append([_no_bracket(name[position:], name)])
    names = [""]
    for choices in parts:
        names = [head + choice for head in names for choice in choices]
    return names


def _no_bracket(text: str, name: str) -> str:
    if "[" in text or "]" in text:
        raise InputError(f"a bracket without its other half in {name!r}", remedy="write a range like web[01:20]")
    return text


def _values(inside: str, shown: str) -> list[str]:
    bounds = inside.split(":")
    if len(bounds) not in (2, 3):
        raise InputError(
            f"{shown} is no range",
            why="a range is [begin:end] or [begin:end:step]",
            remedy="an IPv6 address takes brackets only before a port, as in [2001:db8::2]:22"
            if ":" in inside
            else "write a range like web[01:20]",
        )
    begin, end = bounds[0] or "0", bounds[1]
    step = _number(bounds[2], shown) if len(bounds) == 3 else 1
    if not end:
        raise InputError(f"{shown} has no end", remedy="write where it ends, as in [1:20]")
    if step < 1:
        raise InputError(f"{shown} has a step of {step}", remedy="a step is 1 or more")
    if begin in string.ascii_letters and end in string.ascii_letters and len(begin) == len(end) == 1:
        return _letters(begin, end, step, shown)
    return _numbers(begin, end, step, shown)


def _letters(begin: str, end: str, step: int, shown: str) -> list[str]:
    first, last = string.ascii_letters.index(begin), string.ascii_letters.index(end)
    if first > last:
        raise InputError(f"{shown} begins after its end", remedy="letters run from a to z and then from A to Z")
    return list(string.ascii_letters[first : last + 1 : step])


def _numbers(begin: str, end: str, step: int, shown: str) -> list[str]:
    width = len(begin) if begin[0] == "0" and len(begin) > 1 else 0
    if width and width != len(end):
        raise InputError(f"{shown}: begin and end are not of one length", remedy=f"pad both: [{begin}:{end:>0{width}}]")
    numbers = range(_number(begin, shown), _number(end, shown) + 1, step)
    if not numbers:
        raise InputError(f"{shown} holds no number", why="it begins after its end", remedy="swap the two")
    if len(numbers) > MAX_HOSTS:
        raise InputError(f"{shown} stands for more than {MAX_HOSTS} hosts", remedy="mend the range")
    return [str(number).zfill(width) for number in numbers]


def _number(text: str, shown: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise InputError(f"{shown}: {text!r} is no number", remedy="write two numbers or two single letters")
    return int(text)
