"""``module: key=value …`` and ``command: words creates=/file``: the text after a module's name.

The rules are Ansible's: blanks separate, quotes and Jinja braces hold together, a backslash before
``=`` makes it an ordinary character, and what is no ``key=value`` is the module's free form.
"""

from __future__ import annotations

import codecs
import re
from typing import Any

from opsrunner.errors import InputError, Place
from opsrunner.modules.contract import Spec

#: The only keys that a free form (command, shell, raw, script) gives up; everything else is its text.
FREE_FORM_KEYS = frozenset(
    ("creates", "removes", "chdir", "executable", "warn", "stdin", "stdin_add_newline", "strip_empty_ends")
)

_ESCAPE = re.compile(r"\\U[0-9a-fA-F]{8}|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|\\N\{[^}]+\}|\\[\\'\"abfnrtv]")
_JINJA_PAIRS = (("{{", "}}"), ("{%", "%}"), ("{#", "#}"))


def parse_inline(name: str, spec: Spec, text: str, *, place: Place | None = None) -> dict[str, Any]:
    """The arguments written behind a module's name on one line; every value is text.

    Raises InputError for unbalanced quotes or braces, for an escape that is none, and for loose
    words where the module has no free form.
    """
    arguments: dict[str, Any] = {}
    loose: list[str] = []
    pieces = split(text, place=place)
    if len(pieces) == 1:
        _check_whole(name, spec, pieces[0].strip(), place)
    for piece in pieces:
        try:
            decoded = _ESCAPE.sub(_decoded, piece)
        except UnicodeDecodeError as error:
            raise InputError(f"an escape that is no character in {piece!r}", place=place, why=error.reason) from None
        position = _equals(decoded)
        if position is None:
            loose.append(decoded.replace("\\=", "=") if "=" in decoded else piece)
            continue
        key, value = decoded[:position], decoded[position + 1 :]
        if spec.free_form is not None and key not in FREE_FORM_KEYS and not spec.pairs_beside_free_form:
            loose.append(piece)
        else:
            arguments[key.strip()] = _unquoted(value.strip())
    if loose:
        if spec.free_form is None:
            raise InputError(
                f"module {name} takes key=value, not loose words: {_joined(loose).strip()!r}",
                place=place,
                remedy=f"write the arguments as a mapping under {name}:",
            )
        arguments[spec.free_form] = _joined(loose)
    return arguments


def _check_whole(name: str, spec: Spec, text: str, place: Place | None) -> None:
    """Refuse a text that is nothing but a template where it would not be what it seems to be."""
    if not (text.startswith("{{") and text.endswith("}}")):
        return
    if spec.free_form is None:
        raise InputError(
            "a template of all arguments is Ansible's, opsrunner does not have it yet",
            place=place,
            remedy=f"write the arguments as a mapping under {name}:",
        )
    if spec.pairs_beside_free_form and _equals(text) is not None:
        raise InputError(
            f"the = in {text} makes it key=value, in Ansible, too",
            place=place,
            remedy=f"write the arguments as a mapping under {name}:",
        )


def split(text: str, *, place: Place | None = None) -> list[str]:
    """Cut at blanks outside quotes and Jinja braces; extra blanks and newlines stay with the piece before."""
    splitter = _Splitter()
    lines = text.split("\n")
    for number, line in enumerate(lines):
        continued = splitter.line(line)
        if number < len(lines) - 1 and not continued:
            splitter.glue("\n")
    if splitter.quote or any(splitter.depths):
        raise InputError(
            f"unbalanced quotes or Jinja braces in {text!r}",
            place=place,
            remedy="write the arguments as a mapping, or close what is open",
        )
    return splitter.pieces


class _Splitter:
    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.quote: str | None = None
        self.depths = [0, 0, 0]

    def glue(self, text: str) -> None:
        if not self.pieces:
            self.pieces.append("")
        self.pieces[-1] += text

    def line(self, line: str) -> bool:
        """Take one line; True when its last word said that the next line continues it."""
        continued = False
        for index, token in enumerate(line.split(" ")):
            if not token and index:
                self.glue(" ")
            elif token == "\\" and not self.quote:
                continued = True
            else:
                self.token(token, " " if index else "")
        return continued

    def token(self, token: str, blank: str) -> None:
        inside = bool(self.quote) or any(self.depths)
        self.track(token)
        if inside:
            self.glue(blank + token)
        elif token:
            self.pieces.append(token)

    def track(self, token: str) -> None:
        before = ""
        for character in token:
            if character in "\"'" and before != "\\":
                if self.quote is None:
                    self.quote = character
                elif self.quote == character:
                    self.quote = None
            before = character
        for number, (opening, closing) in enumerate(_JINJA_PAIRS):
            self.depths[number] = max(0, self.depths[number] + token.count(opening) - token.count(closing))


def _equals(text: str) -> int | None:
    """Where the ``=`` stands that ends a key: not first, and with no backslash before it."""
    position = text.find("=", 1)
    while position > 0:
        if text[position - 1] != "\\":
            return position
        position = text.find("=", position + 1)
    return None


def _decoded(match: re.Match[str]) -> str:
    return codecs.decode(match.group(0), "unicode-escape")


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" and text[-2] != "\\":
        return text[1:-1]
    return text


def _joined(pieces: list[str]) -> str:
    joined = ""
    for piece in pieces:
        joined += piece if not joined or joined.endswith("\n") else f" {piece}"
    return joined
