"""fetch: what is kept on the node, and what is not."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from opsrunner.modules import fetch
from opsrunner.remote import Command, Completed
from tests.unit.modules.shell_host import SHELLS, FolderFiles, Host


@pytest.fixture
def here(tmp_path: Path) -> Host:
    home = tmp_path / "home"
    home.mkdir()
    return Host(SHELLS[0], home, FolderFiles(tmp_path))


def fetched(host: Host, src: str, dest: str, **arguments: Any) -> dict[str, Any]:
    folder = str(host.home.parent / "node")
    return host.run("fetch", {"src": src, "dest": dest, **arguments}, variables={"playbook_dir": folder})


def test_small_and_large_files_arrive_and_stay(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_PIECE", 1000)
    (host.home / "small file").write_bytes(b"a\0b\n")
    large = b"0123456789" * 250 + b"the end"
    (host.home / "large").write_bytes(large)
    node = host.home.parent / "node"
    result = fetched(host, "~/small file", "kept")
    assert (node / "kept" / "here" / str(host.home).lstrip("/") / "small file").read_bytes() == b"a\0b\n"
    assert (result["changed"], host.round_trips) == (True, 1)
    result = fetched(host, "large", "flat", flat=True)
    assert ((node / "flat").read_bytes(), host.round_trips) == (large, 1 + 1 + 3)
    assert result["checksum"] == result["remote_checksum"] == hashlib.sha1(large).hexdigest()
    assert fetched(host, "large", "flat", flat=True)["changed"] is False
    assert host.round_trips == 1 + 1 + 3 + 1
    (node / "flat").write_bytes(b"")
    (node / "flat").chmod(0o600)
    assert fetched(host, "large", "flat", flat=True)["changed"] is True
    assert (node / "flat").stat().st_mode & 0o777 == 0o600
    assert {path.name for path in node.iterdir()} == {"kept", "flat"}


class Shrinking:
    """Satisfies Remote; the file is another one once it was looked at."""

    host = "here"

    def __init__(self, host: Host, content: bytes) -> None:
        self.inner, self.file, self.content = host.remote, host.home / "f", content

    def exec(self, command: Command, **options: Any) -> Completed:
        done = self.inner.exec(command, **options)
        self.file.write_bytes(self.content)
        return done


@pytest.mark.parametrize(
    ("content", "msg"), [(b"x" * 1500, "checksum mismatch"), (b"x", "has become shorter"), (b"y" * 2000, None)]
)
def test_a_file_that_changes_meanwhile(
    here: Host, monkeypatch: pytest.MonkeyPatch, content: bytes, msg: str | None
) -> None:
    monkeypatch.setattr(fetch, "_PIECE", 1000)
    (here.home / "f").write_bytes(b"y" * 1500)
    here.remote = Shrinking(here, content)  # type: ignore[assignment]
    result = fetched(here, "f", "f", flat=True)
    kept = here.home.parent / "node" / "f"
    if msg is None:  # a log that grows is taken as far as it went
        assert (result["changed"], kept.stat().st_size) == (True, 1500)
    else:
        assert msg in result["msg"]
        assert list(kept.parent.iterdir()) == []


def test_what_a_host_says_leads_nowhere_else(here: Host) -> None:
    (here.home / "f").write_text("x")
    up = "/".join([".."] * 30)
    result = fetched(here, f"{up}{here.home}/f", "kept/../kept")
    assert "directory traversal" in result["msg"]
    assert not (here.home.parent / "node").exists()


@pytest.mark.parametrize(
    ("src", "dest", "msg"),
    [
        ("none", "x", "the remote file does not exist"),
        (".", "x", "cannot work on directories"),
        ("/dev/zero", "x", "is no regular file"),
        ("f", "/proc/none/x", "cannot keep /proc/none/x on the worker's node"),
    ],
)
def test_what_cannot_be_fetched(here: Host, src: str, dest: str, msg: str) -> None:
    (here.home / "f").write_text("x")
    assert msg in fetched(here, src, dest, flat=True)["msg"]
