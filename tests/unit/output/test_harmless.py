"""What hosts print must not play tricks on the operator's terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsrunner.output.harmless import encodable, harmless, harmless_line, lines_of, shortened, tail


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\tand\nlines", "plain\tand\nlines"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("50%\r100%", r"50%\r100%"),
        ("from a pty\r\n", "from a pty\n"),
        ("c1 \x9b31m", r"c1 \x9b31m"),
        ("del \x7f nul \x00", r"del \x7f nul \x00"),
        ("evil \u202e reversed", r"evil \u202e reversed"),
        ("lone \udcff surrogate", r"lone \udcff surrogate"),
        ("ümläut 日本語 🎉", "ümläut 日本語 🎉"),
    ],
)
def test_control_characters_are_shown_as_escapes(text: str, shown: str) -> None:
    assert harmless(text) == shown


@given(st.text(st.characters(codec=None)))
def test_nothing_that_moves_a_cursor_is_left(text: str) -> None:
    shown = harmless(text)
    assert not any((ord(one) < 32 and one not in "\t\n") or 0x7F <= ord(one) < 0xA0 for one in shown)
    shown.encode("utf-8")


def test_one_line_stays_one_line() -> None:
    assert harmless_line("a\nb\r\nc") == r"a\nb\nc"


def test_lines_are_cut_at_newlines_only() -> None:
    assert lines_of("a\x0cb\r\nc\n") == ["a\x0cb", "c"]
    assert lines_of("") == []
    assert lines_of("a\n\n") == ["a", ""]


def test_the_tail_tells_what_it_leaves_out() -> None:
    text = "".join(f"line {number}\n" for number in range(100))
    assert tail(text, 2) == ["[98 more lines above]", "line 98", "line 99"]
    assert tail("a\nb\n", 5) == ["a", "b"]
    assert tail("", 5) == []


def test_a_line_without_end_is_shortened() -> None:
    assert shortened("x" * 12, 10) == "x" * 10 + "… (2 more characters)"
    assert shortened("x" * 10, 10) == "x" * 10


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("ascii", r"\u2500 \xfc \udc80"), ("latin-1", "\\u2500 ü \\udc80"), ("utf-8", "─ ü \\udc80")],
)
def test_what_a_terminal_cannot_write_is_escaped(encoding: str, shown: str) -> None:
    assert encodable("─ ü \udc80", encoding) == shown
