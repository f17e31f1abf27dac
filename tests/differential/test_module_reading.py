"""slurp and tempfile beside ansible-core's own, in the same folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from differential.ansible_module import answer
from unit.modules.shell_host import FolderFiles, Host

CASES: list[tuple[str, dict[str, Any]]] = [
    ("slurp", {"src": "f"}),
    ("slurp", {"path": "link"}),
    ("slurp", {"src": "empty"}),
    ("slurp", {"src": "/proc/sys/kernel/ostype"}),
    ("slurp", {"src": "nothing"}),
    ("slurp", {"src": "d"}),
    ("slurp", {}),
    ("tempfile", {"path": "d"}),
    ("tempfile", {"path": "d/", "state": "directory", "prefix": "", "suffix": ".x y"}),
    ("tempfile", {"prefix": "opsrunner-test.", "suffix": "'"}),
    ("tempfile", {"path": "nothing"}),
    ("tempfile", {"path": "f"}),
    ("tempfile", {"prefix": "a/b"}),
    ("tempfile", {"suffix": "/b"}),
    ("tempfile", {"state": "link"}),
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    home = tmp_path / "home"
    (home / "d").mkdir(parents=True)
    (home / "f").write_bytes(b"\0\xff\n")
    (home / "empty").touch()
    (home / "link").symlink_to("f")
    monkeypatch.chdir(home)
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    yield home


@pytest.mark.parametrize(("module", "arguments"), CASES)
def test_answers_are_ansibles(module: str, arguments: dict[str, Any], home: Path) -> None:
    theirs = answer(module, arguments, home.parent)
    host = Host(["/bin/sh"], home, FolderFiles(home))
    ours = host.run(module, arguments, environment={"TMPDIR": os.environ["TMPDIR"]})
    assert bool(ours.get("failed")) is theirs.get("failed", False)
    if ours.get("failed"):
        # Ansible's words for what only the system refuses are those of Python.
        assert module == "tempfile" or ours["msg"].endswith(theirs["msg"].partition(": ")[2])
        return
    if module == "tempfile":
        assert shape(ours.pop("path"), arguments) == shape(theirs.pop("path"), arguments)
    theirs.pop("failed", None)
    assert ours == {"changed": False, **theirs}


def shape(path: str, arguments: dict[str, Any]) -> tuple[str, str, str, bool, int]:
    """Folder, beginning and end of a name, and what stands there."""
    made = Path(path)
    prefix, suffix = arguments.get("prefix", "ansible."), arguments.get("suffix", "")
    assert made.name.startswith(prefix)
    assert made.name.endswith(suffix)
    assert len(made.name) >= len(prefix) + len(suffix) + 8
    # A directory's path is whole only since Python 3.12.
    return str(made.parent.absolute()), prefix, suffix, made.is_dir(), made.stat().st_mode
