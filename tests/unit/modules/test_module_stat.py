"""stat: every key that Python's own os.stat knows the answer to."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.unit.modules.shell_host import Host


def make(path: Path, kind: str) -> None:
    if kind == "file":
        path.write_bytes(b"some bytes\n")
    elif kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
    elif kind == "link":
        (path.parent / "target").write_text("target")
        path.symlink_to("target")


@pytest.mark.parametrize("kind", ["file", "directory", "fifo", "socket", "link"])
def test_it_says_what_os_stat_says(host: Host, kind: str) -> None:
    path = host.home / "it"
    make(path, kind)
    if kind != "link":
        path.chmod(0o4751)
    found = host.run("stat", {"path": "~/it", "get_mime": False, "get_attributes": False})["stat"]
    truth = path.lstat()
    bits = truth.st_mode
    assert (found["exists"], found["path"], found["mode"]) == (True, str(path), f"{stat.S_IMODE(bits):04o}")
    kinds = {"isreg": "file", "isdir": "directory", "isfifo": "fifo", "issock": "socket", "islnk": "link"}
    assert {key: found[key] for key in (*kinds, "isblk", "ischr")} == {
        **{key: kind == name for key, name in kinds.items()},
        "isblk": False,
        "ischr": False,
    }
    for key, value in (
        ("uid", truth.st_uid),
        ("gid", truth.st_gid),
        ("size", truth.st_size),
        ("inode", truth.st_ino),
        ("dev", truth.st_dev),
        ("nlink", truth.st_nlink),
        ("blocks", truth.st_blocks),
        ("block_size", truth.st_blksize),
        ("device_type", truth.st_rdev),
        ("isuid", bool(bits & stat.S_ISUID)),
        ("xusr", bool(bits & stat.S_IXUSR)),
        ("wgrp", bool(bits & stat.S_IWGRP)),
        ("roth", bool(bits & stat.S_IROTH)),
        ("pw_name", path.owner()),
        ("gr_name", path.group()),
    ):
        assert found[key] == value, key
    for key in ("mtime", "atime", "ctime"):
        assert abs(found[key] - getattr(truth, f"st_{key}")) < 1
    assert (found["readable"], found["writeable"]) == (True, True)
    assert ("checksum" in found) is (kind == "file")
    assert host.round_trips == 1


def test_times_have_fractions_where_the_host_counts_them(host: Host) -> None:
    if host.remote.shell[0] == "busybox":
        pytest.skip("busybox counts whole seconds")
    (host.home / "f").write_text("")
    os.utime(host.home / "f", ns=(1_700_000_000_250_000_000, 1_700_000_000_500_000_000))
    found = host.run("stat", {"path": "f"})["stat"]
    assert (found["atime"], found["mtime"]) == (1_700_000_000.25, 1_700_000_000.5)


def test_links(host: Host) -> None:
    make(host.home / "it", "link")
    plain = host.run("stat", {"path": "it"})["stat"]
    assert (plain["islnk"], plain["lnk_target"], plain["lnk_source"]) == (True, "target", f"{host.home}/target")
    followed = host.run("stat", {"path": "it", "follow": True})["stat"]
    assert (followed["isreg"], followed["size"]) == (True, 6)
    assert followed["checksum"] == hashlib.sha1(b"target").hexdigest()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"path": "missing"}, {"exists": False}),
        ({"path": "broken", "follow": True}, {"exists": False}),
    ],
)
def test_what_is_not_there(host: Host, arguments: dict[str, Any], expected: dict[str, Any]) -> None:
    (host.home / "broken").symlink_to("nowhere")
    assert host.run("stat", arguments) == {"changed": False, "stat": expected}


def test_a_file_taken_for_a_directory_fails(host: Host) -> None:
    (host.home / "f").write_text("")
    assert host.run("stat", {"path": "f/x"})["msg"] == "Not a directory"


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"])
def test_checksums(host: Host, algorithm: str) -> None:
    make(host.home / "it", "file")
    expected = hashlib.new(algorithm, b"some bytes\n").hexdigest()
    environment = {"PATH": os.environ["PATH"]}
    result = host.run("stat", {"path": "it", "checksum_algo": algorithm}, environment=environment)
    if host.remote.shell[0] == "busybox" and algorithm == "sha224" and result.get("failed"):
        assert result["msg"] == "the host has no tool for this checksum"
        return
    assert result["stat"]["checksum"] == expected


def test_mime_and_flags_come_from_file_and_lsattr(host: Host, tmp_path: Path) -> None:
    make(host.home / "it", "file")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, says in (("file", "it: text/plain; charset=us-ascii"), ("lsattr", "4242 ----i---------e------- it")):
        (programs / name).write_text(f"#!/bin/sh\necho '{says}'\n")
        (programs / name).chmod(0o755)
    found = host.run("stat", {"path": "it"}, environment={"PATH": f"{programs}:{os.environ['PATH']}"})["stat"]
    assert (found["mimetype"], found["charset"]) == ("text/plain", "us-ascii")
    assert (found["version"], found["attributes"], found["attr_flags"]) == ("4242", ["immutable", "extents"], "ie")


def test_without_file_and_lsattr_they_are_unknown(host: Host, tmp_path: Path) -> None:
    make(host.home / "it", "file")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("stat", "sha1sum", "readlink", host.remote.shell[0]):
        (programs / Path(name).name).symlink_to(shutil.which(name) or name)
    found = host.run("stat", {"path": "it"}, environment={"PATH": str(programs)})["stat"]
    assert (found["mimetype"], found["charset"]) == ("unknown", "unknown")
    assert (found["version"], found["attributes"], found["attr_flags"]) == (None, [], "")
