"""Live output: nothing of a quick step, then what came, whole characters only, up to a limit."""

from __future__ import annotations

import pytest

from opsrunner.engine import live
from opsrunner.engine.live import QUIET_FIRST, LiveOutput
from opsrunner.remote import Stream


class Said:
    """What a live output published, on a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.texts: list[tuple[Stream, str]] = []
        self.opened: list[LiveOutput] = []
        self.closed: list[LiveOutput] = []
        self.output = LiveOutput(
            lambda stream, text: self.texts.append((stream, text)),
            0.0,
            lambda: self.now,
            self.opened.append,
            self.closed.append,
        )


def test_a_quick_step_is_not_shown_and_keeps_nothing() -> None:
    said = Said()
    assert said.opened == []
    said.output.add("stdout", b"x" * 1000)
    said.output.add("stderr", b"x")
    assert said.opened == [said.output]
    said.output.flush()
    said.output.close()
    said.now = QUIET_FIRST
    said.output.flush()
    assert (said.texts, said.closed) == ([], [said.output])


def test_pieces_come_together_and_characters_stay_whole() -> None:
    said = Said()
    said.now = QUIET_FIRST
    for piece in (b"a\xc3", b"\xa4b", b"c\xe2"):
        said.output.add("stdout", piece)
    said.output.add("stderr", b"!")
    said.output.flush()
    said.output.add("stdout", b"\x9c\x93")
    said.output.flush()
    assert said.texts == [("stdout", "aäbc"), ("stderr", "!"), ("stdout", "✓")]


def test_of_a_flood_the_beginning_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_LIVE", 10)
    said = Said()
    said.now = QUIET_FIRST
    for piece in (b"0123", b"456789ab", b"cd"):
        said.output.add("stdout", piece)
    said.output.flush()
    assert said.texts == [("stdout", "0123456789")]
