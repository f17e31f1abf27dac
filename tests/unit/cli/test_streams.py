"""Standard streams as callers leave them: closed, full, read by nobody; and a system that refuses."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from opsrunner import processes
from opsrunner.cli import doctor, main, streams
from opsrunner.cli.options import asked_password
from opsrunner.errors import InputError
from opsrunner.ledger import sealing
from opsrunner.settings import load

OPSRUNNER = f"{sys.executable} -m opsrunner"


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The line in bash with the exit code of its first command, in a state directory of its own."""
    environment = {**os.environ, "OPSRUNNER_STATE_DIR": str(folder / "state")}
    return subprocess.run(
        ["bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env=environment,
    )


@pytest.mark.parametrize("words", ["--help", "doc --list"])
def test_whoever_reads_only_the_beginning_is_no_error(words: str, tmp_path: Path) -> None:
    done = shell(f"{OPSRUNNER} {words} | head -0", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_room_for_what_is_shown_is_told_in_a_sentence(tmp_path: Path) -> None:
    done = shell(f"{OPSRUNNER} inventory hosts all -i a, >/dev/full", tmp_path)
    told = "cannot write\n  why: No space left on device\n  try: make room on that disk\n"
    assert (done.returncode, done.stderr) == (1, told)


def test_closed_streams_swallow_what_is_shown(tmp_path: Path) -> None:
    done = shell(f"{OPSRUNNER} inventory hosts all -i a, <&- >&- 2>&-", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_password_is_read_from_a_pipe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("hunter2\n"))
    assert asked_password("SSH") == "hunter2"
    with pytest.raises(InputError, match="nobody can be asked for the BECOME password") as raised:
        asked_password("BECOME")
    assert "ansible_become_password" in (raised.value.remedy or "")
    assert capsys.readouterr() == ("", "")


def test_a_state_directory_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    done = shell(f"{OPSRUNNER} runs", tmp_path)
    assert (done.returncode, done.stderr.splitlines()[0]) == (69, f"cannot make {tmp_path}/state")
    finding = doctor.state_directory(load({"OPSRUNNER_STATE_DIR": str(tmp_path / "state" / "x")}, tmp_path))
    assert (finding.said, bool(finding.remedy)) == (f"{tmp_path}/state is no folder", True)


def test_the_doctor_sees_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load({"OPSRUNNER_STATE_DIR": str(tmp_path / "state")}, tmp_path)
    assert doctor.state_directory(settings).remedy is None
    monkeypatch.setattr(doctor, "LEAST_ROOM", 1 << 80)
    assert doctor.state_directory(settings).remedy == "make room on that disk"


def test_what_the_system_refuses_is_no_defect_of_ours() -> None:
    told = streams.refusal(PermissionError(errno.EACCES, "Permission denied", "/var/x"))
    assert told is not None
    assert told.lines()[:2] == ["cannot use /var/x", "  why: Permission denied"]
    assert streams.refusal(FileNotFoundError(errno.ENOENT, "No such file or directory", "/var/x")) is None


def test_a_defect_is_told_where_no_file_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    monkeypatch.setattr("opsrunner.cli.doctor.examine", lambda: 1 / 0)
    assert main.run(["doctor"]) == 1
    assert "the traceback could not be kept: No such file or directory" in capsys.readouterr().err


FULL = """\
import resource, sys
from pathlib import Path
from opsrunner import processes
from opsrunner.ledger import sealing
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
for make in (lambda: sealing.create_key(Path("key")), lambda: processes.note(Path("pid"), processes.Process(1, "x"))):
    try:
        make()
    except OSError:
        print("refused")
"""


def test_nothing_is_left_of_files_that_there_is_no_room_for(tmp_path: Path) -> None:
    root = str(Path(main.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", FULL], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.stdout == "refused\nrefused\n"
    assert list(tmp_path.iterdir()) == []
    assert sealing.create_key(tmp_path / "key")
    processes.note(tmp_path / "pid", processes.Process(1, "x"))
    assert {one.name for one in tmp_path.iterdir()} == {"key", "pid"}
