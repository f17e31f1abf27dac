"""Broken files: valid ones of this tree, mutated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

from hypothesis import strategies as st

ROOT = Path(__file__).parents[3]

#: Texts that YAML readers have stumbled over.
ODD = (
    "\t",
    "\0",
    "\ufeff",
    "\r\n",
    "\r",
    "\x85",
    "\u2028",
    "\x1b",
    "\x7f",
    "&a ",
    "*a",
    "<<: *a",
    "? ",
    ": ",
    "- ",
    "--- ",
    "...\n",
    "!!set ",
    "!!int ",
    "!!bool x",
    "!!binary é",
    "!!timestamp x",
    "!!python/object:os.system ",
    "!vault |\n",
    "!unsafe ",
    "!x ",
    "%YAML 1.1\n",
    "0x" + "f" * 300,
    "9" * 400,
    "1:60:60",
    "1e999",
    ".nan",
    ".inf",
    "-.inf",
    "0o17",
    "0b1",
    "2001-13-45",
    "2001-01-01T99:00:00Z",
    "1_0",
    "~",
    "null",
    "yes",
    "=",
    "<<",
    "[",
    "]",
    "{",
    "}",
    "{{",
    "}}",
    "{{ x",
    "{% if",
    "{#",
    "'",
    '"',
    "|",
    ">",
    "|9\n",
    "#",
    ",",
    "@",
    "`",
    "🦊",
    "\u202e",
    "é" * 300,
    "x" * 5000,
    "[1:3]",
    "[0:99999999]",
    "[a:z]",
    "[3:1]",
    "~[",
    "all",
    "ungrouped",
    "localhost",
)


def seeds(*patterns: str) -> list[bytes]:
    """The files of the tree that fit, in their order."""
    return [path.read_bytes() for pattern in patterns for path in sorted(ROOT.glob(pattern))]


def mutated(texts: list[bytes]) -> st.SearchStrategy[bytes]:
    """One of ``texts`` after one to six mutations."""
    return st.builds(_mutate, st.sampled_from(texts), st.integers(0, 2**63), st.integers(1, 6))


def _mutate(text: bytes, seed: int, times: int) -> bytes:
    # hypothesis draws the seed: what it would draw bit by bit for a file would be too much to shrink.
    chance = Random(seed)
    for _ in range(times):
        text = chance.choice(_MUTATIONS)(text, chance)
    return text


def _flip(text: bytes, chance: Random) -> bytes:
    if not text:
        return text
    position = chance.randrange(len(text))
    return text[:position] + bytes([text[position] ^ (1 << chance.randrange(8))]) + text[position + 1 :]


def _insert(text: bytes, chance: Random) -> bytes:
    position = chance.randrange(len(text) + 1)
    return text[:position] + chance.choice(ODD).encode() + text[position:]


def _replace_word(text: bytes, chance: Random) -> bytes:
    words = text.split(b" ")
    words[chance.randrange(len(words))] = chance.choice(ODD).encode()
    return b" ".join(words)


def _truncate(text: bytes, chance: Random) -> bytes:
    return text[: chance.randrange(len(text) + 1)]


def _invalid_utf8(text: bytes, chance: Random) -> bytes:
    position = chance.randrange(len(text) + 1)
    return text[:position] + chance.choice((b"\xff", b"\xc3", b"\xed\xa0\x80", b"\x80")) + text[position:]


def _lines(change: Callable[[list[bytes], int, Random], None]) -> Callable[[bytes, Random], bytes]:
    def mutation(text: bytes, chance: Random) -> bytes:
        lines = text.split(b"\n")
        change(lines, chance.randrange(len(lines)), chance)
        return b"\n".join(lines)

    return mutation


def _double(lines: list[bytes], at: int, _chance: Random) -> None:
    lines.insert(at, lines[at])


def _drop(lines: list[bytes], at: int, _chance: Random) -> None:
    del lines[at]


def _swap(lines: list[bytes], at: int, chance: Random) -> None:
    other = chance.randrange(len(lines))
    lines[at], lines[other] = lines[other], lines[at]


def _indent(lines: list[bytes], at: int, chance: Random) -> None:
    blanks = chance.choice((b"", b" ", b"  ", b"\t", b" " * 300))
    lines[at] = blanks + lines[at].lstrip() if chance.random() < 0.5 else blanks + lines[at]


def _repeat(lines: list[bytes], at: int, chance: Random) -> None:
    lines[at : at + 1] = [lines[at]] * chance.choice((3, 300))


_MUTATIONS: tuple[Callable[[bytes, Random], bytes], ...] = (
    *(_flip, _insert, _insert, _insert, _replace_word, _replace_word, _truncate, _invalid_utf8),
    *(_lines(change) for change in (_double, _drop, _swap, _indent, _indent, _repeat)),
)
