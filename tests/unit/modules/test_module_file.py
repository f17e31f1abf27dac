"""file: every state, from every state, under every shell."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.unit.modules.programs import Programs
from tests.unit.modules.shell_host import Host


def mode(path: Path) -> str:
    return f"{path.lstat().st_mode & 0o7777:04o}"


def prepare(home: Path, kind: str) -> None:
    """Put something at ``it``; there is always a ``target`` file and a ``folder``."""
    (home / "target").write_text("target")
    (home / "folder").mkdir()
    it = home / "it"
    if kind == "file":
        it.write_text("it")
    elif kind == "directory":
        it.mkdir()
    elif kind == "full":
        it.mkdir()
        (it / "inside").write_text("x")
    elif kind == "link":
        it.symlink_to("target")
    elif kind == "link to folder":
        it.symlink_to("folder")
    elif kind == "broken":
        it.symlink_to("nowhere")
    elif kind == "hard":
        it.hardlink_to(home / "target")


def kind_of(path: Path) -> str:
    if path.is_symlink():
        return f"link {path.readlink()}"
    if path.is_dir():
        return "directory"
    if path.exists():
        return "hard" if path.stat().st_nlink > 1 else "file"
    return "absent"


@pytest.mark.parametrize(
    ("before", "arguments", "changed", "after"),
    [
        ("absent", {"state": "absent"}, False, "absent"),
        ("file", {"state": "absent"}, True, "absent"),
        ("full", {"state": "absent"}, True, "absent"),
        ("link to folder", {"state": "absent"}, True, "absent"),
        ("broken", {"state": "absent"}, True, "absent"),
        ("absent", {"state": "directory"}, True, "directory"),
        ("full", {"state": "directory"}, False, "directory"),
        ("file", {"state": "directory"}, "already exists as a file", "file"),
        ("link to folder", {"state": "directory"}, False, "link folder"),
        ("link to folder", {"state": "directory", "follow": False}, "already exists as a link", "link folder"),
        ("absent", {"state": "file"}, "is absent, cannot continue", "absent"),
        ("file", {"state": "file"}, False, "file"),
        ("hard", {"state": "file"}, False, "hard"),
        ("directory", {"state": "file"}, "is directory, cannot continue", "directory"),
        ("link", {"state": "file"}, False, "link target"),
        ("link", {"state": "file", "follow": False}, "is link, cannot continue", "link target"),
        ("absent", {"state": "touch"}, True, "file"),
        ("file", {"state": "touch"}, True, "file"),
        ("directory", {"state": "touch"}, True, "directory"),
        ("absent", {"state": "link", "src": "target"}, True, "link target"),
        ("absent", {"state": "link", "src": "nowhere"}, "src file does not exist", "absent"),
        ("absent", {"state": "link", "src": "nowhere", "force": True}, True, "link nowhere"),
        ("absent", {"state": "link"}, "src is required", "absent"),
        ("link", {"state": "link", "src": "target"}, False, "link target"),
        ("link", {"state": "link", "src": "folder"}, True, "link folder"),
        ("link", {"state": "link"}, False, "link target"),
        ("link to folder", {"state": "link", "src": "target"}, True, "link target"),
        ("broken", {"state": "link", "src": "target"}, True, "link target"),
        ("file", {"state": "link", "src": "target"}, "refusing to convert from file to symlink", "file"),
        ("file", {"state": "link", "src": "target", "force": True}, True, "link target"),
        ("directory", {"state": "link", "src": "../target"}, "refusing to convert from directory", "directory"),
        ("directory", {"state": "link", "src": "../target", "force": True}, True, "link ../target"),
        ("full", {"state": "link", "src": "../target", "force": True}, "is not empty", "directory"),
        ("absent", {"state": "hard", "src": "target"}, True, "hard"),
        ("absent", {"state": "hard", "src": "nowhere"}, "src does not exist", "absent"),
        ("absent", {"state": "hard"}, "src is required", "absent"),
        ("hard", {"state": "hard", "src": "target"}, False, "hard"),
        ("hard", {"state": "hard"}, False, "hard"),
        ("file", {"state": "hard", "src": "target"}, "Cannot link, file exists", "file"),
        ("file", {"state": "hard", "src": "target", "force": True}, True, "hard"),
        ("link to folder", {"state": "hard", "src": "target", "follow": False}, True, "directory/target"),
        ("absent", {}, "is absent, cannot continue", "absent"),
        ("directory", {}, False, "directory"),
        ("link", {}, False, "link target"),
        ("hard", {}, False, "hard"),
        ("absent", {"recurse": True}, True, "directory"),
        ("file", {"recurse": True}, "recurse option requires state to be 'directory'", "file"),
        ("file", {"src": "target"}, "src option requires state to be 'link' or 'hard'", "file"),
    ],
)
def test_states(host: Host, before: str, arguments: dict[str, Any], changed: bool | str, after: str) -> None:
    prepare(host.home, before)
    call = {"path": "it", **arguments}
    predicted = host.run("file", call, check=True)
    prepared = kind_of(host.home / "it")
    result = host.run("file", call, diff=True)
    if isinstance(changed, str):
        assert result["failed"] is predicted["failed"] is True
        assert changed in result["msg"]
        assert prepared == kind_of(host.home / "it") == after
        return
    assert not result.get("failed"), result
    assert predicted["changed"] is result["changed"] is changed
    if after == "directory/target":
        assert (host.home / "folder/target").stat().st_nlink == 2
        return
    assert kind_of(host.home / "it") == after
    if arguments.get("state") != "touch":
        again = host.run("file", call)
        assert again["changed"] is False
    if after == "absent":
        assert result["state"] == "absent"
    assert {path.name for path in host.home.iterdir()} <= {"it", "target", "folder"}


def test_the_result_has_what_ansible_promises(host: Host) -> None:
    result = host.run("file", {"path": "~/d", "state": "directory", "mode": "0751"}, diff=True)
    size = (host.home / "d").stat().st_size
    path = f"{host.home}/d"
    assert result == {
        "path": path,
        "changed": True,
        "diff": {"before": {"path": path, "state": "absent"}, "after": {"path": path, "state": "directory"}},
        "uid": os.getuid(),
        "gid": os.getgid(),
        "owner": (host.home / "d").owner(),
        "group": (host.home / "d").group(),
        "mode": "0751",
        "size": size,
        "state": "directory",
    }
    assert host.round_trips == 2
    assert host.run("file", {"path": "~/d", "state": "directory", "mode": "0751"})["changed"] is False
    assert host.round_trips == 3


@pytest.mark.parametrize(
    ("before", "asked", "after"),
    [
        (0o644, "0600", "0600"),
        (0o644, "u+x", "0744"),
        (0o644, "a=r", "0444"),
        (0o755, "go-rx", "0700"),
        (0o755, "u=rwX,g=rX,o=", "0750"),
        (0o644, "u=rwX,g=rX,o=", "0640"),
        (0o4755, "u-s,g+s", "2755"),
        (0o644, 0o600, "0600"),
        (0o640, "o=g", "0644"),
    ],
)
def test_modes(host: Host, before: int, asked: Any, after: str) -> None:
    (host.home / "f").write_text("")
    (host.home / "f").chmod(before)
    assert host.run("file", {"path": "f", "mode": asked}, check=True)["changed"] is True
    assert mode(host.home / "f") == f"{before:04o}"
    result = host.run("file", {"path": "f", "mode": asked}, diff=True)
    assert result["mode"].lstrip("0") == after.lstrip("0")
    assert result["diff"]["after"]["mode"].lstrip("0") == after.lstrip("0")
    assert mode(host.home / "f") == after
    assert host.run("file", {"path": "f", "mode": asked})["changed"] is False


def test_setgid_of_a_directory_can_be_taken_away(host: Host) -> None:
    (host.home / "d").mkdir()
    (host.home / "d").chmod(0o2755)
    assert host.run("file", {"path": "d", "mode": "0755"})["mode"] == "0755"


def test_new_directories_all_get_the_mode(host: Host) -> None:
    host.run("file", {"path": "a/b c/d", "state": "directory", "mode": "0711"})
    assert [mode(host.home / part) for part in ("a", "a/b c", "a/b c/d")] == ["0711"] * 3


def test_attributes_go_through_a_link(host: Host) -> None:
    prepare(host.home, "link")
    (host.home / "target").chmod(0o644)
    assert host.run("file", {"path": "it", "mode": "0600"})["changed"] is True
    assert mode(host.home / "target") == "0600"
    made = host.run("file", {"path": "new", "src": "target", "state": "link", "mode": "0640"})
    assert (made["changed"], made["state"]) == (True, "link")
    assert mode(host.home / "target") == "0640"
    broken = host.run("file", {"path": "b", "src": "nowhere", "state": "link", "force": True, "mode": "0640"})
    assert "non-existent symlink target" in broken["warnings"][0]


@pytest.mark.parametrize("name", ["with blank", "-dash", "quo'te", 'dou"ble', "$HOME-like", "*", "new\nline", "ü"])
def test_odd_names(host: Host, name: str) -> None:
    path = f"{host.home}/{name}".replace("$HOME", "$NOT_SET")
    assert host.run("file", {"path": path, "state": "touch", "mode": "0640"})["changed"] is True
    assert mode(Path(path)) == "0640"
    assert host.run("file", {"path": path, "state": "absent"})["changed"] is True
    assert list(host.home.iterdir()) == []


def tree(home: Path) -> None:
    (home / "t/sub").mkdir(parents=True)
    for name, bits in (("t/a", 0o600), ("t/sub/b", 0o755), ("t/sub/c", 0o644)):
        (home / name).write_text("x")
        (home / name).chmod(bits)
    (home / "t").chmod(0o700)
    (home / "t/sub").chmod(0o700)
    (home / "outside").write_text("x")
    (home / "outside").chmod(0o600)
    (home / "t/link").symlink_to("../outside")
    (home / "t/broken").symlink_to("nowhere")


@pytest.mark.parametrize(
    ("asked", "follow", "after"),
    [
        ("0750", True, {"t": "0750", "t/sub": "0750", "t/a": "0750", "t/sub/b": "0750", "outside": "0750"}),
        ("u=rwX,g=rX,o=", False, {"t": "0750", "t/sub": "0750", "t/a": "0640", "t/sub/b": "0750", "outside": "0600"}),
        ("go+rX", False, {"t": "0755", "t/sub": "0755", "t/a": "0644", "t/sub/b": "0755", "t/sub/c": "0644"}),
    ],
)
def test_recurse(host: Host, asked: str, follow: bool, after: dict[str, str]) -> None:
    tree(host.home)
    arguments = {"path": "t", "state": "directory", "recurse": True, "mode": asked, "follow": follow}
    assert host.run("file", arguments, check=True)["changed"] is True
    assert mode(host.home / "t/sub") == "0700"
    assert host.run("file", arguments)["changed"] is True
    assert {name: mode(host.home / name) for name in after} == after
    assert host.run("file", arguments)["changed"] is False


def test_recurse_notices_what_only_lies_below(host: Host) -> None:
    tree(host.home)
    (host.home / "t").chmod(0o755)
    assert (
        host.run("file", {"path": "t", "recurse": True, "mode": "0755", "follow": False}, check=True)["changed"] is True
    )


def test_a_mode_that_does_not_settle_is_refused_below(host: Host) -> None:
    (host.home / "t").mkdir()
    (host.home / "t/a").write_text("")
    (host.home / "t/b").write_text("")
    (host.home / "t").chmod(0o777)
    (host.home / "t/a").chmod(0o640)
    (host.home / "t/b").chmod(0o400)
    result = host.run("file", {"path": "t", "recurse": True, "mode": "u=g,g=o"})
    assert "changes again each time" in result["msg"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
def test_owners_below_and_setuid_survives(host: Host) -> None:
    tree(host.home)
    (host.home / "t/sub/b").chmod(0o755)
    arguments = {"path": "t", "recurse": True, "owner": "12345", "group": "54321", "mode": "u=rwxs", "follow": False}
    assert host.run("file", arguments)["changed"] is True
    for name in ("t", "t/sub", "t/sub/b", "t/link"):
        assert ((host.home / name).lstat().st_uid, (host.home / name).lstat().st_gid) == (12345, 54321)
    assert mode(host.home / "t/sub/b") == "4755"
    assert (host.home / "outside").stat().st_uid == 0
    assert host.run("file", arguments)["changed"] is False


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
def test_owner_of_one_file_keeps_its_setuid(host: Host) -> None:
    (host.home / "f").write_text("")
    (host.home / "f").chmod(0o4755)
    result = host.run("file", {"path": "f", "owner": "12345", "mode": "4755"}, diff=True)
    assert (result["uid"], mode(host.home / "f")) == (12345, "4755")
    assert (result["diff"]["before"]["owner"], result["diff"]["after"]["owner"]) == (0, 12345)


def test_unknown_names_fail_but_not_in_check_mode(host: Host) -> None:
    (host.home / "f").write_text("")
    failed = host.run("file", {"path": "f", "group": "no-such-group"})
    assert failed["msg"] == "chgrp failed: failed to look up group no-such-group"
    predicted = host.run("file", {"path": "f", "group": "no-such-group"}, check=True)
    assert predicted["changed"] is True
    assert "no-such-group" in predicted["warnings"][0]


def test_times(host: Host) -> None:
    (host.home / "f").write_text("")
    arguments = {
        "path": "f",
        "modification_time": "202001020304.05",
        "access_time": "2021-02-03",
        "access_time_format": "%Y-%m-%d",
    }
    zone = {"TZ": "UTC-3"}
    assert host.run("file", arguments, environment=zone, check=True)["changed"] is True
    assert host.run("file", arguments, environment=zone)["changed"] is True
    moment = (host.home / "f").stat()
    assert time.gmtime(moment.st_mtime)[:6] == (2020, 1, 2, 0, 4, 5)
    assert time.gmtime(moment.st_atime)[:4] == (2021, 2, 2, 21)
    assert host.run("file", arguments, environment=zone)["changed"] is False
    kept = host.run("file", {"path": "f", "state": "touch", "modification_time": "preserve", "access_time": "preserve"})
    assert kept["changed"] is False
    assert (host.home / "f").stat().st_mtime == moment.st_mtime
    assert host.run("file", {"path": "f", "state": "touch"})["changed"] is True
    assert (host.home / "f").stat().st_mtime > moment.st_mtime
    wrong = host.run("file", {"path": "f", "modification_time": "yesterday"})
    assert "Error while obtaining timestamp for time yesterday" in wrong["msg"]


def test_the_root_is_never_removed(host: Host) -> None:
    # In check mode: were the refusal gone, this must not be how it is found out.
    assert host.run("file", {"path": "//", "state": "absent"}, check=True)["msg"] == "refusing to remove /"


def test_a_directory_that_somebody_else_makes_at_the_same_time_is_there(programs: Programs) -> None:
    programs.add("mkdir", '/bin/mkdir "$@"\nexec /bin/mkdir "$@"')
    done = programs.run("file", {"path": "a/b", "state": "directory"})
    assert (done["changed"], (programs.host.home / "a" / "b").is_dir()) == (True, True)
