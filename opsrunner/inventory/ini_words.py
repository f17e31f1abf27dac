"""Cuts a host's line of an INI inventory into words, as a shell would: quotes, backslashes, and # for a comment."""

from __future__ import annotations

import re

from msgspec import Struct

from opsrunner.errors import InputError

_BLANK = " \t\r\n"
_PIECE = re.compile(
    r"""(?P<bare>[^ \t\r\n#'"\\]+)|'(?P<single>[^']*)'|"(?P<double>[^"\\]*(?:\\.[^"\\]*)*)"|\\(?P<one>.)"""
)
_ESCAPED = re.compile(r'\\(["\\])')


class Word(Struct, frozen=True):
    """``text`` without its quotes, ``start`` (from 0) and ``raw`` as it is written."""

    text: str
    start: int
    raw: str
    #: Whether a comment begins right behind it, without a blank.
    cut: bool = False


class BrokenLine(InputError):
    """A quote or a backslash at ``start`` (from 0) lacks its other half."""

    def __init__(self, what: str, start: int, remedy: str) -> None:
        super().__init__(what, remedy=remedy)
        self.start = start


def split(line: str) -> list[Word]:
    """The words of ``line`` up to its comment. Raises BrokenLine."""
    words: list[Word] = []
    position = 0
    while position < len(line) and line[position] != "#":
        if line[position] in _BLANK:
            position += 1
            continue
        start, text = position, ""
        while position < len(line) and line[position] not in _BLANK and line[position] != "#":
            piece = _PIECE.match(line, position)
            if piece is None:
                raise _broken(line, position)
            text += _unquoted(piece)
            position = piece.end()
        words.append(Word(text, start, line[start:position], line[position : position + 1] == "#"))
    return words


def _unquoted(piece: re.Match[str]) -> str:
    if piece["double"] is not None:
        return _ESCAPED.sub(r"\1", piece["double"])
    return next(part for part in (piece["bare"], piece["single"], piece["one"]) if part is not None)


def _broken(line: str, position: int) -> BrokenLine:
    if line[position] == "\\":
        return BrokenLine("a backslash at the end of the line", position, "a host's line cannot go on in the next one")
    remedy = f"close it, or write \\{line[position]} for the character itself"
    return BrokenLine(f"a {line[position]} without its other half", position, remedy)
