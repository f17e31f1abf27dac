"""lineinfile, blockinfile and replace on real files, under every shell: what is beside the content."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from opsrunner import modules
from opsrunner.modules import editing
from opsrunner.modules.arguments import check_names
from opsrunner.remote import Command, Completed
from tests.unit.modules.shell_host import SHELLS, FolderFiles, Host

EDITS: list[tuple[str, dict[str, Any], bytes]] = [
    ("lineinfile", {"line": "new"}, b"old\nnew\n"),
    ("blockinfile", {"block": "new", "marker": "# {mark}"}, b"old\n# BEGIN\nnew\n# END\n"),
    ("replace", {"regexp": "^old$", "replace": "new"}, b"new\n"),
]


@pytest.fixture
def here(tmp_path: Path) -> Host:
    """A host with one shell, for what is worked out on the worker."""
    home = tmp_path / "home"
    home.mkdir()
    return Host(SHELLS[0], home, FolderFiles(tmp_path))


@pytest.mark.parametrize(("module", "arguments", "after"), EDITS)
def test_one_round_trip_looks_and_another_writes(
    host: Host, module: str, arguments: dict[str, Any], after: bytes
) -> None:
    file = host.home / "it's a file"
    file.write_bytes(b"old\n")
    file.chmod(0o4751)
    given = {"path": "~/it's a file", **arguments}
    assert host.run(module, given, check=True)["changed"] is True
    assert (host.round_trips, file.read_bytes()) == (1, b"old\n")
    assert host.run(module, given)["changed"] is True
    assert (host.round_trips, file.read_bytes(), file.stat().st_mode & 0o7777) == (3, after, 0o4751)
    assert host.run(module, given)["changed"] is False
    assert host.round_trips == 4
    assert [path.name for path in host.home.iterdir()] == ["it's a file"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
def test_owner_and_group_are_kept_or_set(host: Host) -> None:
    file = host.home / "f"
    file.write_text("a\n")
    os.chown(file, 12345, 54321)
    host.run("lineinfile", {"path": "f", "line": "b"})
    assert (file.stat().st_uid, file.stat().st_gid) == (12345, 54321)
    result = host.run("lineinfile", {"path": "f", "line": "b", "owner": "root", "group": "1"}, diff=True)
    assert (file.stat().st_uid, file.stat().st_gid) == (0, 1)
    assert result["msg"] == "ownership, perms or SE linux context changed"
    assert result["diff"][1]["before"] == {"owner": 12345, "group": 54321}


def test_a_name_that_the_host_does_not_know_is_told_before_anything_is_written(here: Host) -> None:
    (here.home / "f").write_text("a\n")
    arguments = {"path": "f", "line": "b", "owner": "nobody-of-that-name"}
    assert here.run("lineinfile", arguments)["failed"] is True
    assert (here.home / "f").read_text() == "a\n"
    assert "nobody-of-that-name" in here.run("lineinfile", arguments, check=True)["warnings"][0]


class Meddling:
    """Satisfies Remote; somebody else writes to the file right before it is replaced."""

    def __init__(self, host: Host, times: int) -> None:
        self.inner = host.remote
        self.file = host.home / "f"
        self.times = times
        self.host = "here"

    def exec(self, command: Command, **options: Any) -> Completed:
        if command.stdin and self.times:
            self.times -= 1
            self.file.write_text(self.file.read_text() + f"theirs {self.times}\n")
        return self.inner.exec(command, **options)


def test_what_somebody_else_writes_meanwhile_is_kept(here: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editing, "_TRIES", 4)
    (here.home / "f").write_text("a\n")
    here.remote = Meddling(here, 2)  # type: ignore[assignment]
    assert here.run("lineinfile", {"path": "f", "line": "ours"})["changed"] is True
    assert (here.home / "f").read_text() == "a\ntheirs 1\ntheirs 0\nours\n"
    here.remote = Meddling(here, 1000)  # type: ignore[assignment]
    assert "changes faster" in here.run("lineinfile", {"path": "f", "line": "more"})["msg"]
    assert "more" not in (here.home / "f").read_text()
    assert [path.name for path in here.home.iterdir()] == ["f"]


def test_a_file_that_is_not_small_is_fetched(here: Host) -> None:
    file = here.home / "f"
    file.write_bytes(b"x" * 99 + b"\n" + b"y" * 300_000)
    assert here.run("replace", {"path": "f", "regexp": "y+", "replace": "z"})["changed"] is True
    assert file.read_bytes() == b"x" * 99 + b"\nz"


def test_what_cannot_be_changed_is_refused(here: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    with (here.home / "huge").open("wb") as huge:
        huge.truncate(editing.EDIT_LIMIT + 1)
    assert "more than the 16777216" in here.run("lineinfile", {"path": "huge", "line": "a"})["msg"]
    assert "no regular file" in here.run("lineinfile", {"path": "/dev/null", "line": "a"})["msg"]
    monkeypatch.setattr(editing, "EDIT_LIMIT", 100)
    (here.home / "f").write_text("a" * 90)
    assert "would have 180 bytes" in here.run("replace", {"path": "f", "regexp": "a", "replace": "bb"})["msg"]
    (here.home / "f").write_text("é")
    told = here.run("replace", {"path": "f", "regexp": "(?!é).?", "replace": "ü", "encoding": "ascii"})
    assert "cannot encode the result as ascii" in told["msg"]
    assert (here.home / "f").read_text() == "é"


def test_a_line_goes_behind_a_last_line_without_an_end(here: Host) -> None:
    # Ansible writes them as one line.
    (here.home / "f").write_text("[section]")
    here.run("lineinfile", {"path": "f", "line": "key=1", "insertafter": "section"})
    assert (here.home / "f").read_text() == "[section]\nkey=1\n"


def test_expressions_that_match_every_line_are_warned_of(here: Host) -> None:
    (here.home / "f").write_text("a\n")
    for name, said in (("regexp", "regular expression is an empty string"), ("search_string", "search string is an")):
        result = here.run("lineinfile", {"path": "f", "line": "a", name: ""})
        assert said in result["warnings"][0]


def test_a_difference_of_a_large_file_is_not_shown(here: Host) -> None:
    (here.home / "f").write_text("a" * 200_000)
    result = here.run("lineinfile", {"path": "f", "line": "b"}, diff=True)
    assert result["diff"][0] == {
        "before_header": "f (content)",
        "after_header": "f (content)",
        "dst_larger": 104_448,
        "src_larger": 104_448,
    }


@pytest.mark.parametrize(
    ("module", "arguments", "text"),
    [
        ("lineinfile", {"path": "f"}, "line is required with state=present"),
        (
            "lineinfile",
            {"path": "f", "state": "absent"},
            "one of line, search_string, regexp is required with state=ab",
        ),
        ("lineinfile", {"path": "f", "state": "{{ state }}"}, None),
        ("lineinfile", {"path": "f", "line": "a", "regexp": "("}, "'(' is no regular expression: missing )"),
        ("lineinfile", {"path": "f", "line": "a", "regexp": "{{ '(' }}"}, None),
        ("blockinfile", {"path": "f", "insertafter": "*"}, "'*' is no regular expression: nothing to repeat"),
        ("replace", {"path": "f", "regexp": "[", "replace": ""}, "unterminated character set"),
        ("replace", {"path": "f"}, "missing required arguments: regexp"),
        ("replace", {"path": "f", "regexp": "a", "unsafe_writes": True}, "files are always replaced as a whole"),
    ],
)
def test_arguments_are_looked_at_before_a_run(module: str, arguments: dict[str, Any], text: str | None) -> None:
    told = [str(problem) for problem in check_names(module, modules.get(module).SPEC, arguments)]
    assert (not told) if text is None else any(text in one for one in told), told


def test_a_link_stays_and_its_own_owner_is_set(host: Host) -> None:
    (host.home / "real").mkdir()
    (host.home / "real" / "f").write_text("a\n")
    (host.home / "link").symlink_to("real/f")
    host.run("lineinfile", {"path": "link", "line": "b", "mode": "0600"})
    assert (host.home / "link").is_symlink()
    target = Path(host.home / "real" / "f")
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("a\nb\n", 0o644)
