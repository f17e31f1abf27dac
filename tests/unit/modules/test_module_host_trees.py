"""copy of a folder of the host, and assemble, on real files under every shell."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from opsrunner.modules.assemble import joined
from tests.unit.modules.shell_host import Host


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else f"{path.stat().st_mode & 0o7777:o}"
        for path in folder.rglob("*")
    }


def test_a_folder_is_copied_once(host: Host) -> None:
    source = host.home / "it's from"
    (source / "sub dir").mkdir(parents=True)
    (source / "sub dir").chmod(0o750)
    (source / "new\nline").write_text("x")
    (source / "sub dir" / "tool").write_text("tool")
    (source / "sub dir" / "tool").chmod(0o4755)
    (source / "loose").symlink_to("nowhere")
    arguments = {"src": "~/it's from", "dest": "to", "remote_src": True}
    assert host.run("copy", arguments, check=True)["changed"] is True
    assert not (host.home / "to").exists()
    assert host.run("copy", arguments)["changed"] is True
    assert tree(host.home / "to" / "it's from") == tree(source)
    assert host.run("copy", arguments)["changed"] is False
    assert host.run("copy", arguments, check=True)["changed"] is False
    (host.home / "to" / "it's from" / "sub dir" / "tool").write_text("other")
    (host.home / "to" / "it's from" / "more").write_text("stays")
    assert host.run("copy", arguments, check=True)["changed"] is True
    assert host.run("copy", arguments)["changed"] is True
    assert (host.home / "to" / "it's from" / "sub dir" / "tool").read_text() == "tool"
    assert (host.home / "to" / "it's from" / "more").read_text() == "stays"


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
def test_owner_and_modes_of_a_copied_folder(host: Host) -> None:
    (host.home / "from").mkdir()
    (host.home / "from" / "f").write_text("x")
    wish = {"src": "from/", "dest": "a/b/", "remote_src": True, "owner": "12345", "mode": "0700"}
    arguments = {**wish, "directory_mode": "0711"}
    assert host.run("copy", arguments)["changed"] is True
    found = host.home / "a" / "b"
    assert (found.stat().st_uid, (found / "f").stat().st_uid) == (12345, 12345)
    assert (found.stat().st_mode & 0o777, found.parent.stat().st_mode & 0o777) == (0o700, 0o711)
    assert host.run("copy", arguments)["changed"] is False
    os.chown(found / "f", 0, 0)
    assert host.run("copy", arguments, check=True)["changed"] is True
    assert host.run("copy", arguments)["changed"] is True
    assert (found / "f").stat().st_uid == 12345


def test_what_stands_in_the_way_stays(host: Host) -> None:
    (host.home / "from" / "sub").mkdir(parents=True)
    (host.home / "from" / "sub" / "f").write_text("x")
    (host.home / "to").mkdir()
    (host.home / "to" / "sub").write_text("a file")
    assert "failed" not in host.run("copy", {"src": "from/", "dest": "to", "remote_src": True})
    assert (host.home / "to" / "sub").read_text() == "a file"
    assert "is no directory" in host.run("copy", {"src": "from/", "dest": "to/sub", "remote_src": True})["msg"]


@pytest.mark.parametrize(
    ("fragments", "delimiter", "whole"),
    [
        ([], None, b""),
        ([b"a", b"b\n", b"", b"c"], None, b"a\nb\n\nc"),
        ([b"a\n", b"b"], "# NEXT", b"a\n# NEXT\nb"),
        ([b"a", b"b"], "\\n-\\n", b"a\n\n-\nb"),
    ],
)
def test_joined(fragments: list[bytes], delimiter: str | None, whole: bytes) -> None:
    assert joined(fragments, delimiter) == whole


def test_fragments_of_odd_names(host: Host) -> None:
    parts = host.home / "parts"
    parts.mkdir()
    for name, text in {"b c": "2", "new\nline": "3\n", "-a": "1", ".b": "hidden"}.items():
        (parts / name).write_text(text)
    result = host.run("assemble", {"src": "~/parts", "dest": "whole", "ignore_hidden": True, "backup": True})
    assert (result["changed"], (host.home / "whole").read_text()) == (True, "1\n2\n3\n")
    (parts / "b c").chmod(0)
    if os.getuid() != 0:
        assert "Permission denied" in host.run("assemble", {"src": "parts", "dest": "whole"})["msg"]
