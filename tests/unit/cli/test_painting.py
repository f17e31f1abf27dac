"""Colour where it is wanted and nowhere else."""

from __future__ import annotations

import io

import pytest

from opsrunner.cli.painting import paint


def test_no_colour_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    paint([("good", "ok"), ("bad", "failed"), ("neither", "")])
    assert capsys.readouterr().out == "good\nbad\nneither\n"


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("variable", "value", "shown"),
    [
        ("TERM", "xterm", "\x1b[32mgood\x1b[0m"),
        ("TERM", "dumb", "good"),
        ("NO_COLOR", "1", "good"),
        ("NO_COLOR", "", "\x1b[32mgood\x1b[0m"),
    ],
)
def test_colour_on_a_terminal(variable: str, value: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    stream = Terminal()
    monkeypatch.setattr("sys.stdout", stream)
    paint([("good", "ok"), ("neither", "")])
    assert stream.getvalue() == f"{shown}\nneither\n"


def test_a_terminal_that_knows_ascii_only(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)
    paint([("── ü ──", "heading")])
    stream.flush()
    assert b"\\u2500\\u2500 \\xfc" in raw.getvalue()
