"""mount and sysctl: files that are changed, and programs played by scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from opsrunner.modules.mount import changed_fstab
from opsrunner.modules.sysctl import changed
from tests.unit.modules.programs import Programs

FSTAB = "# devices\n/dev/a / ext4 defaults 0 1\nUUID=b /srv/with\\040blank xfs noatime\n/dev/s none swap sw 0 0\n"


@pytest.mark.parametrize(
    ("path", "fields", "after"),
    [
        ("/", ["/dev/a", "/", "ext4", "defaults", "0", "1"], FSTAB),
        ("/", ["/dev/a", "/", "ext4", "noatime", "0", "1"], FSTAB.replace("defaults", "noatime")),
        ("/srv/with blank", ["UUID=b", "/srv/with blank", "xfs", "noatime", "0", "0"], FSTAB),
        ("/srv/with blank", None, FSTAB.replace("UUID=b /srv/with\\040blank xfs noatime\n", "")),
        ("/new one", ["h:/x", "/new one", "nfs", "ro", "0", "0"], f"{FSTAB}h:/x /new\\040one nfs ro 0 0\n"),
        ("/none", None, FSTAB),
        ("none", ["/dev/t", "none", "swap", "sw", "0", "0"], f"{FSTAB}/dev/t none swap sw 0 0\n"),
    ],
)
def test_fstab(path: str, fields: list[str] | None, after: str) -> None:
    assert changed_fstab(FSTAB, path, fields[0] if fields else None, fields) == after


@pytest.mark.parametrize(
    ("before", "name", "value", "after"),
    [
        ("", "a.b", "1", "a.b=1\n"),
        ("# a.b=1\na.b = 1\n", "a.b", "1", "# a.b=1\na.b = 1\n"),
        ("a/b=2\nc=3", "a.b", "1", "a.b=1\nc=3\n"),
        ("a.b=2\nc=3\na.b=1\n", "a.b", "1", "a.b=1\nc=3\n"),
        ("x=1  2\n", "x", "1 2", "x=1  2\n"),
        ("a.b=2\nc=3\n", "a.b", None, "c=3\n"),
    ],
)
def test_lines_of_sysctl(before: str, name: str, value: str | None, after: str) -> None:
    assert changed(before, name, value) == after


@pytest.fixture
def fstab(programs: Programs) -> Path:
    programs.add("mount", 'case $* in *refused*) echo "wrong fs type" >&2; exit 32 ;; esac')
    programs.add("umount", "")
    path = programs.host.home / "fstab"
    path.write_text(FSTAB)
    return path


def test_mounting(programs: Programs, fstab: Path) -> None:
    target = programs.host.home / "data"
    wanted: dict[str, Any] = {"path": str(target), "src": "/dev/d", "fstype": "ext4", "fstab": str(fstab)}
    assert programs.run("mount", {**wanted, "state": "mounted"}, check=True)["changed"] is True
    assert (programs.done(), fstab.read_text(), target.exists()) == ([], FSTAB, False)
    present = programs.run("mount", {**wanted, "state": "present"})
    assert (present["changed"], present["name"], present["opts"]) == (True, str(target), "defaults")
    assert programs.run("mount", {**wanted, "state": "present"})["changed"] is False
    assert fstab.read_text() == f"{FSTAB}/dev/d {target} ext4 defaults 0 0\n"
    assert programs.run("ansible.posix.mount", {**wanted, "state": "mounted"})["changed"] is True
    assert programs.done() == [f"mount -T {fstab} {target}"]
    assert programs.run("mount", {**wanted, "state": "unmounted"})["changed"] is False
    assert programs.run("mount", {**wanted, "state": "absent"})["changed"] is True
    assert (fstab.read_text(), target.exists()) == (FSTAB, False)
    assert programs.run("mount", {**wanted, "state": "absent"})["changed"] is False
    assert "not mounted" in programs.run("mount", {**wanted, "state": "remounted"})["msg"]
    assert "src, fstype is required" in programs.run("mount", {"path": "/x", "state": "mounted"})["msg"]


def test_a_line_that_cannot_be_mounted_goes_again(programs: Programs, fstab: Path) -> None:
    wanted = {"path": str(programs.host.home / "refused"), "src": "/dev/d", "fstype": "ext4", "fstab": str(fstab)}
    failed = programs.run("mount", {**wanted, "state": "mounted"})
    assert failed["failed"]
    assert "wrong fs type" in failed["msg"]
    assert fstab.read_text() == FSTAB


def test_what_is_mounted(programs: Programs, fstab: Path) -> None:
    wanted = {"path": "/proc", "src": "proc", "fstype": "proc", "fstab": str(fstab)}
    assert programs.run("mount", {**wanted, "state": "mounted", "opts": "ro"})["changed"] is True
    assert programs.run("mount", {**wanted, "state": "mounted", "opts": "ro"})["changed"] is False
    assert programs.run("mount", {**wanted, "state": "remounted", "opts": "ro"})["changed"] is True
    assert programs.run("mount", {**wanted, "state": "unmounted"})["changed"] is True
    assert programs.done() == [f"mount -T {fstab} -o remount /proc", "mount -o remount,ro /proc", "umount /proc"]


def test_sysctl(programs: Programs) -> None:
    programs.add("sysctl", '[ "$2" != -n ] || { echo 5; exit; }\ncase $* in *bad*) echo "cannot stat x" >&2 ;; esac')
    file = programs.host.home / "90.conf"
    file.write_text("a=1\n")
    wanted = {"name": "vm.swappiness", "value": 10, "sysctl_file": str(file)}
    assert programs.run("sysctl", wanted, check=True)["changed"] is True
    assert (programs.done(), file.read_text()) == ([], "a=1\n")
    assert programs.run("sysctl", wanted) == {"changed": True}
    assert (programs.done(), file.read_text()) == ([f"sysctl -p {file}"], "a=1\nvm.swappiness=10\n")
    assert programs.run("ansible.posix.sysctl", wanted) == {"changed": False}
    assert programs.run("sysctl", {**wanted, "sysctl_set": True})["changed"] is True
    assert programs.done()[-1] == "sysctl -w vm.swappiness=10"
    assert programs.run("sysctl", {**wanted, "value": 5, "sysctl_set": True, "reload": False})["changed"] is True
    assert programs.done() == ["sysctl -e -n vm.swappiness"]
    assert programs.run("sysctl", {**wanted, "state": "absent", "reload": False})["changed"] is True
    assert file.read_text() == "a=1\n"
    assert "setting failed" in programs.run("sysctl", {**wanted, "name": "bad", "sysctl_set": True})["msg"]
    assert "value is required" in programs.run("sysctl", {"name": "a"})["msg"]
