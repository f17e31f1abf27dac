"""``opsrunner report``: files written, or a reason why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from opsrunner.cli import main, report
from opsrunner.errors import InputError


def test_what_hosts_printed_never_keeps_the_file_from_being_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.html"
    report._write(str(path), "ü \udc80")
    assert path.read_text(encoding="utf-8") == "ü \\udc80"
    assert capsys.readouterr().out == f"{path}\n"


def test_a_dash_is_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    report._write("-", "text\n")
    assert capsys.readouterr().out == "text\n"


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write") as caught:
        report._write(str(tmp_path / "missing" / "run.html"), "text")
    assert caught.value.why == "No such file or directory"


def test_nothing_to_write_is_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["report", "last"]) == 64
    assert "--html FILE" in capsys.readouterr().err
