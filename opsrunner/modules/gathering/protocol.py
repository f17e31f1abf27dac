"""What a host's probe tells: pairs of NUL-terminated fields, and how they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct

Facts = dict[str, Any]
#: What a host told, by the names that the probes gave it.
Told = Mapping[str, str]

#: ``told NAME VALUE``; ``line NAME PATH``: a file's first line, without a process; ``text NAME PATH``: all of
#: it, NUL as \1; ``answer NAME COMMAND …``: what a command prints; ``there NAME PATH``: that it exists.
WORDS = r"""
told() { printf '%s\0%s\0' "$1" "$2"; }
has() { command -v "$1" >/dev/null 2>&1; }
line() { value=; { IFS= read -r value <"$2" || [ -n "$value" ]; } 2>/dev/null && told "$1" "$value"; }
text() { [ -r "$2" ] && [ -f "$2" ] && { printf '%s\0' "$1"; tr '\0' '\1' <"$2" 2>/dev/null; printf '\0'; }; }
answer() { name=$1; shift; printf '%s\0' "$name"; "$@" 2>/dev/null </dev/null; printf '\0'; }
there() { [ ! -e "$2" ] || told "$1" yes; }
"""


class Collector(Struct, frozen=True):
    """One of Ansible's gather subsets: a piece of sh, and what is made of what it tells.

    ``read`` is given the facts of the collectors before it, too; ``names`` are further names of the
    subset, ``needs`` the collectors whose facts it builds on.
    """

    name: str
    probe: str
    read: Callable[[Told, Facts], Facts]
    names: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


def below(told: Told, prefix: str) -> dict[str, dict[str, str]]:
    """What was told as ``PREFIX/NAME/REST``: name → rest → value."""
    found: dict[str, dict[str, str]] = {}
    for key, value in told.items():
        if key.startswith(f"{prefix}/"):
            _, name, rest = key.split("/", 2)
            found.setdefault(name, {})[rest] = value
    return found


def content(told: Told, name: str) -> str | None:
    """A value without blanks around it; None where there is none, or nothing in it."""
    return told.get(name, "").strip() or None


def settings(text: str) -> Iterator[tuple[str, str]]:
    """``NAME=VALUE`` lines of a file that a shell could read, without the quotes."""
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            yield name.strip(), value.strip().strip("\"'")
