"""find under every shell, and what is beside the answer itself."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from opsrunner.modules import containing, find
from opsrunner.remote import Command, Completed
from tests.unit.modules.shell_host import Host


def names(result: dict[str, Any], home: str) -> list[str]:
    return [file["path"].removeprefix(f"{home}/") for file in result["files"]]


@pytest.fixture
def tree(host: Host) -> Host:
    (host.home / "b/c").mkdir(parents=True)
    for name in ("z", "a", "b/y", "b/c/x", "it's\na file", ".hidden"):
        (host.home / name).write_text(f"content of {name}")
    return host


def test_one_round_trip_and_always_the_same_order(tree: Host) -> None:
    result = tree.run("find", {"paths": "~", "recurse": True, "file_type": "any"})
    assert names(result, str(tree.home)) == ["a", "it's\na file", "z", "b", "b/y", "b/c", "b/c/x"]
    assert (result["matched"], result["examined"], tree.round_trips) == (7, 8, 1)
    by_level = tree.run("find", {"paths": "~", "recurse": True, "file_type": "any", "depth": 2})
    assert names(by_level, str(tree.home))[-1] == "b/c"


def test_a_limit_takes_the_first(tree: Host) -> None:
    result = tree.run("find", {"paths": ["~/b", "~"], "recurse": True, "limit": 3})
    assert names(result, str(tree.home)) == ["b/y", "b/c/x", "a"]
    assert result["msg"] == "Limit of matches reached"
    assert tree.run("find", {"paths": "~", "contains": "content", "limit": 2})["matched"] == 2


def test_contents_come_in_batches(tree: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containing, "_BATCH_FILES", 2)
    monkeypatch.setattr(containing, "_BATCH_BYTES", 30)
    (tree.home / "large").write_text("x" * 50 + "\nneedle")
    found = tree.run("find", {"paths": "~", "recurse": True, "contains": "needle|content of (b/|z)"})
    assert names(found, str(tree.home)) == ["large", "z", "b/y", "b/c/x"]
    assert found["skipped_paths"] == {}


def test_checksums_come_in_batches(tree: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tree.run("find", {"paths": "~", "recurse": True, "get_checksum": True})
    assert tree.round_trips == 2
    monkeypatch.setattr(find, "_WORDS", 10)
    again = tree.run("find", {"paths": "~", "recurse": True, "get_checksum": True})
    sums = [[file["checksum"] for file in result["files"]] for result in (whole, again)]
    assert sums[0] == sums[1]
    assert sums[0][0] == hashlib.sha1(b"content of a").hexdigest()


def test_a_file_too_large_to_be_looked_through_is_told(tree: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containing, "EDIT_LIMIT", 1024 * 1024)
    with (tree.home / "large").open("wb") as large:
        large.truncate(1024 * 1024 + 1)
    told = tree.run("find", {"paths": "~", "contains": "x"})
    assert "large has 1048577 bytes" in told["msg"]
    assert "size: -1m" in told["msg"]
    assert tree.run("find", {"paths": "~", "contains": "x", "size": "-1m"})["matched"] == 0


class Capped:
    """Satisfies Remote; keeps only so much of what a command says."""

    def __init__(self, host: Host, limit: int) -> None:
        self.inner, self.limit, self.host = host.remote, limit, "here"

    def exec(self, command: Command, **options: Any) -> Completed:
        done = self.inner.exec(command, **options)
        kept = done.stdout[: self.limit]
        return Completed(done.rc, kept, done.stderr, done.started, done.ended, done.stdout_size, done.stderr_size)


def test_more_than_is_kept_is_an_error_and_patterns_are_matched_on_the_host(tree: Host) -> None:
    for number in range(60):
        (tree.home / f"many{number}").touch()
    tree.remote = Capped(tree, 4096)  # type: ignore[assignment]
    told = tree.run("find", {"paths": "~"})
    assert "output_limit" in told["msg"]
    assert names(tree.run("find", {"paths": "~", "patterns": "many1*,a"}), str(tree.home))[:2] == ["a", "many1"]
    assert "output_limit" in tree.run("find", {"paths": "~", "patterns": "many?"})["msg"]


def test_an_expression_without_end_fails_the_step(tree: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opsrunner.modules.bounded.MAX_SECONDS", 0.1)
    (tree.home / ("a" * 60)).touch()
    told = tree.run("find", {"paths": "~", "use_regex": True, "patterns": ["(a+)+$b"]})
    assert "does not come to an end" in told["msg"]
