"""git: real repositories; what a step answers beside what ansible-core's own module answers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.differential import ansible_module
from tests.unit.modules.programs import Programs

IDENTITY = {
    **{f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    "GIT_CONFIG_GLOBAL": "/dev/null",
}


def git(folder: Path, *words: str) -> str:
    environment = {**os.environ, **IDENTITY}
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()


def commit(origin: Path, text: str) -> str:
    (origin / "file").write_text(text)
    git(origin, "add", "file")
    git(origin, "commit", "-qm", text)
    return git(origin, "rev-parse", "HEAD")


class Twins:
    """One clone made by opsrunner, one by Ansible."""

    def __init__(self, programs: Programs, root: Path) -> None:
        self.programs = programs
        self.origin = root / "origin"
        self.origin.mkdir()
        self.folder = root
        git(self.origin, "init", "-q", "-b", "main")

    def both(self, **arguments: Any) -> dict[str, Any]:
        options = {"check": arguments.pop("check", False)}
        given = {"repo": str(self.origin), **arguments}
        ours = self.programs.run("git", {**given, "dest": str(self.folder / "ours")}, **options)
        theirs = ansible_module.answer("git", {**given, "dest": str(self.folder / "theirs")}, self.folder, **options)
        same = ("changed", "before", "after", "failed")
        told = {key: ours.get(key, False) for key in same}
        if ours.get("failed"):
            assert theirs.get("failed"), theirs
        else:
            assert told == {key: theirs.get(key, False) for key in same}, (ours, theirs)
        texts = [path.read_text() if path.exists() else None for path in (self.ours, self.folder / "theirs/file")]
        assert texts[0] == texts[1]
        return ours

    @property
    def ours(self) -> Path:
        return self.folder / "ours/file"


@pytest.fixture
def twins(programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Twins:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    return Twins(programs, tmp_path)


def test_clone_and_update(twins: Twins) -> None:
    first = commit(twins.origin, "one")
    assert twins.both(check=True)["changed"] is True
    assert not twins.ours.exists()
    assert twins.both()["after"] == first
    assert twins.both()["changed"] is False
    second = commit(twins.origin, "two")
    assert twins.both(update=False)["changed"] is False
    predicted = twins.both(check=True)
    assert (predicted["changed"], predicted["after"]) == (True, second)
    assert twins.both()["changed"] is True
    assert twins.ours.read_text() == "two"
    assert twins.both(version=first)["after"] == first
    assert twins.both(version="main")["after"] == second
    git(twins.origin, "tag", "-a", "-m", "x", "v1", first)
    assert twins.both(version="v1")["after"] == first
    assert twins.both(version="v1")["changed"] is False
    assert twins.both(version="nowhere")["failed"]


def test_local_changes(twins: Twins) -> None:
    first = commit(twins.origin, "one")
    twins.both()
    for name in ("ours", "theirs"):
        (twins.folder / name / "file").write_text("mine")
    assert "Local modifications exist" in twins.both()["msg"]
    assert twins.both(force=True)["changed"] is True
    assert twins.both(force=True)["after"] == first


def test_shallow_bare_and_broken(twins: Twins, programs: Programs) -> None:
    commit(twins.origin, "one")
    second = commit(twins.origin, "two")
    shallow = twins.folder / "shallow"
    url = f"file://{twins.origin}"
    made = programs.run("git", {"repo": url, "dest": str(shallow), "depth": 1, "version": "main"})
    assert made["after"] == second, made
    assert git(shallow, "rev-list", "--count", "HEAD") == "1"
    bare = {"repo": url, "dest": str(twins.folder / "bare"), "bare": True}
    assert programs.run("git", bare)["changed"] is True
    assert programs.run("git", bare)["changed"] is False
    third = commit(twins.origin, "three")
    assert programs.run("git", bare)["after"] == third
    missing = programs.run("git", {"repo": str(twins.folder / "none"), "dest": str(twins.folder / "x")})
    assert (missing["failed"], "Failed to clone" in missing["msg"]) == (True, True)
    occupied = programs.run("git", {"repo": url, "dest": str(twins.folder)})
    assert "no clone" in occupied["msg"]
    assert "dash" in programs.run("git", {"repo": "--upload-pack=x", "dest": "x"})["msg"]
