"""find beside ansible-core's own, below the same folder."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from differential.ansible_module import answer
from unit.modules.shell_host import FolderFiles, Host

from opsrunner.modules.posix import shown as text

CASES: list[dict[str, Any]] = [
    {},
    {"recurse": True},
    {"recurse": True, "hidden": True},
    {"recurse": True, "file_type": "any", "hidden": True},
    {"recurse": True, "file_type": "directory"},
    {"recurse": True, "file_type": "link"},
    {"file_type": "any"},
    {"recurse": True, "follow": True, "file_type": "any"},
    {"recurse": True, "follow": True},
    {"recurse": True, "depth": 1},
    {"recurse": True, "depth": 2, "file_type": "any"},
    {"recurse": True, "depth": 0},
    {"recurse": True, "depth": -1},
    {"depth": -1, "file_type": "any"},
    {"depth": 3},
    {"recurse": True, "patterns": "*.log"},
    {"recurse": True, "patterns": "*.log,a*"},
    {"recurse": True, "patterns": ["[ab]*", "?.txt"]},
    {"recurse": True, "patterns": ["*"], "excludes": ["*.log"]},
    {"recurse": True, "excludes": "b*", "file_type": "any"},
    {"recurse": True, "use_regex": True, "patterns": ["^a.*"]},
    {"recurse": True, "use_regex": True, "excludes": ["a", r".*\.log$"]},
    {"recurse": True, "pattern": ["it's*", "*line*"]},
    {"recurse": True, "size": "10"},
    {"recurse": True, "size": "-10"},
    {"recurse": True, "size": "1k", "file_type": "any"},
    {"recurse": True, "age": "1h"},
    {"recurse": True, "age": "-1h"},
    {"recurse": True, "age": "2d", "age_stamp": "atime"},
    {"recurse": True, "age": "0", "age_stamp": "ctime"},
    {"recurse": True, "mode": "0600"},
    {"recurse": True, "mode": "0600", "exact_mode": False},
    {"recurse": True, "mode": "u=rw,g=r,o=r"},
    {"recurse": True, "mode": "+x", "file_type": "any"},
    {"recurse": True, "contains": "two", "excludes": ["bytes"]},
    {"recurse": True, "contains": ".*wo$", "excludes": ["bytes"]},
    {"recurse": True, "contains": r"one\ntwo", "read_whole_file": True, "excludes": ["bytes"]},
    {"recurse": True, "contains": "x+", "encoding": "latin-1", "patterns": ["b*"]},
    {"recurse": True, "contains": "é", "encoding": "utf-8", "patterns": ["b.log"]},
    {"contains": "x", "patterns": ["bytes"]},
    {"contains": "x", "encoding": "no-such"},
    {"contains": "one", "file_type": "any"},
    {"get_checksum": True, "recurse": True},
    {"get_checksum": True, "checksum": "sha256", "file_type": "any"},
    {"get_checksum": True, "file_type": "directory"},
    {"paths": ["t/sub", "t/nothing", "t/a.log", "t"]},
    {"paths": ["t/sub/"], "recurse": True, "depth": 1},
    {"paths": ["./t//sub"], "recurse": True},
    {"paths": ["-dash"]},
    {"paths": ["to-t"], "recurse": True},
    {"limit": 1000},
    {"limit": 0},
    {"size": "x"},
    {"age": "1y"},
    {"mode": 420},
    {"mode": "u=q"},
    {"recurse": True, "use_regex": True, "patterns": ["("]},
    {"paths": []},
]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    home = tmp_path_factory.mktemp("find")
    umask = os.umask(0o022)
    (home / "t/sub/deep/deeper").mkdir(parents=True)
    (home / "t/.hidden").mkdir()
    (home / "-dash").mkdir()
    for name, content in {
        "-dash/f": "x",
        "t/.dot": "two",
        "t/.hidden/b": "x",
        "t/a.log": "one\ntwo\n",
        "t/b.log": "é\r\ntwo",
        "t/empty": "",
        "t/sub/*": "star",
        "t/sub/deep/a.txt": "one",
        "t/sub/deep/deeper/bottom.log": "two\n",
        "t/sub/it's a file": "x" * 5000,
        "t/sub/new\nline": "two\n",
    }.items():
        (home / name).write_bytes(content.encode())
    (home / "t/bytes").write_bytes(b"two\n\xff\n")
    (home / "t/sub/\udcff").write_text("no text")
    (home / "t/a.log").chmod(0o600)
    (home / "t/sub/deep/a.txt").chmod(0o755)
    (home / "t/link").symlink_to("sub/deep")
    (home / "t/broken").symlink_to("nowhere")
    (home / "to-t").symlink_to("t")
    os.link(home / "t/empty", home / "t/sub/empty")
    os.mkfifo(home / "t/pipe")
    old = time.time() - 3 * 86400
    os.utime(home / "t/b.log", (old, old + 86400 * 2.5))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        yield Host(["/bin/sh"], home, FolderFiles(home))
    os.umask(umask)


def by_path(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the order, which is that of the file system in Ansible; it reads files, so when is not compared."""
    files = [{**file, "path": text(file["path"]), "atime": 0} for file in files]
    return sorted(files, key=lambda file: str(file["path"]))


@pytest.mark.parametrize("arguments", CASES, ids=str)
def test_answers_are_ansibles(arguments: dict[str, Any], host: Host) -> None:
    given = {"paths": "t", **arguments}
    ours = host.run("find", given)
    theirs = answer("find", given, host.home)
    if given.get("patterns") == ["("] or given.get("mode") == "u=q":
        # Ansible skips every path, with a warning; a slip of the task fails it here.
        assert ours["failed"]
        return
    assert bool(ours.get("failed")) is bool(theirs.get("failed")), (ours, theirs)
    if ours.get("failed"):
        assert ours["msg"] == theirs["msg"] or "mode" in given or "limit" in given
        return
    assert [file["path"] for file in by_path(ours["files"])] == [file["path"] for file in by_path(theirs["files"])]
    assert by_path(ours["files"]) == by_path(theirs["files"])
    for key in ("matched", "examined", "skipped_paths", "msg", "changed"):
        assert ours[key] == theirs[key], key
