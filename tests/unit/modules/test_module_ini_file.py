"""ini_file: what becomes of a file's text, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from opsrunner import modules
from opsrunner.modules.arguments import validate
from opsrunner.modules.ini_file import SPEC, Wish, changed
from tests.unit.modules.shell_host import SHELLS, FolderFiles, Host

FILE = "top = 1\n\n[a]\n# note\nx = 1\n; y = 2\n\n[b]\nx=1\nx=2\n"


@pytest.mark.parametrize(
    ("arguments", "after", "msg"),
    [
        ("section=a option=x value=1", FILE, "OK"),
        ("section=a option=x value=2", FILE.replace("x = 1", "x = 2"), "option changed"),
        ("section=a option=y value=3", FILE.replace("; y = 2", "y = 3"), "option changed"),
        (
            "section=a option=y value=3 modify_inactive_option=false",
            FILE.replace("x = 1\n", "x = 1\ny = 3\n"),
            "option added",
        ),
        ("section=a option=z value=3", FILE.replace("x = 1\n", "x = 1\nz = 3\n"), "option added"),
        ("section=b option=x value=2", FILE.replace("x=1\nx=2\n", "x = 2\n"), "option changed"),
        ("section=b option=x values=2,1 no_extra_spaces=true", FILE, "OK"),
        ("section=b option=x values=3 exclusive=false", FILE + "x = 3\n", "option added"),
        ("section=b option=x value=2 exclusive=false ignore_spaces=true", FILE, "OK"),
        ("option=top value=2", FILE.replace("top = 1", "top = 2"), "option changed"),
        ("option=new value=2", FILE.replace("top = 1\n", "top = 1\nnew = 2\n"), "option added"),
        ("section=c option=x value=1", FILE + "[c]\nx = 1\n", "section and option added"),
        ("section=c", FILE + "[c]\n", "only section added"),
        ("section=c option=bare allow_no_value=true", FILE + "[c]\nbare\n", "section and option added"),
        ("section=a option=x allow_no_value=true", FILE.replace("x = 1", "x"), "option changed"),
        ("section=a option=x state=absent", FILE.replace("x = 1\n", ""), "option changed"),
        ("section=b option=x value=1 exclusive=false state=absent", FILE.replace("x=1\n", ""), "option changed"),
        ("section=a option=none state=absent", FILE, "OK"),
        ("section=c option=none state=absent", FILE, "OK"),
        ("section=a state=absent", FILE.replace("[a]\n# note\nx = 1\n; y = 2\n\n", ""), "section removed"),
    ],
)
def test_what_becomes_of_a_file(arguments: str, after: str, msg: str) -> None:
    given = dict(word.split("=", 1) for word in f"path=f {arguments}".split())
    wish = Wish.of(validate("ini_file", SPEC, given))
    lines, said = changed(FILE.splitlines(keepends=True), wish)
    assert ("".join(lines), said) == (after, msg)
    assert changed(lines, wish) == (lines, "OK")


@pytest.fixture
def here(tmp_path: Path) -> Host:
    home = tmp_path / "home"
    home.mkdir()
    return Host(SHELLS[0], home, FolderFiles(tmp_path))


def test_files_are_made_kept_and_left_alone(here: Host) -> None:
    file = here.home / "new" / "f"
    wish: dict[str, Any] = {"path": "new/f", "section": "a", "option": "x", "value": "ü"}
    assert here.run("ini_file", wish, check=True)["changed"] is True
    assert not file.exists()
    result = here.run("ini_file", {**wish, "mode": "0600"}, diff=True)
    assert (result["changed"], result["path"], file.stat().st_mode & 0o777) == (True, "new/f", 0o600)
    assert file.read_text() == "[a]\nx = ü\n"
    assert here.run("ini_file", wish)["changed"] is False
    file.write_bytes(b"[a]\nx = 1")
    assert here.run("ini_file", {**wish, "value": "1"})["changed"] is False
    assert file.read_bytes() == b"[a]\nx = 1"
    assert "backup_file" in here.run("ini_file", {**wish, "backup": True})


def test_what_fails(here: Host) -> None:
    missing = here.run("ini_file", {"path": "f", "section": "a", "option": "x", "value": "1", "create": False})
    assert (missing["rc"], missing["msg"]) == (257, "Destination f does not exist!")
    assert "must be defined" in here.run("ini_file", {"path": "f", "section": "a", "option": "x"})["msg"]
    assert here.run("ini_file", {"path": "f", "section": "a", "state": "absent"})["changed"] is False
    assert not (here.home / "f").exists()
    assert modules.canonical("community.general.ini_file") == "ini_file"
