"""slurp and tempfile under every shell."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from opsrunner.remote import Command, Completed
from tests.unit.modules.shell_host import Host


@pytest.mark.parametrize("data", [b"", b"\0\xff bytes\0bytes\0", b"x" * 300_000])
def test_any_bytes_are_read_in_one_round_trip(host: Host, data: bytes) -> None:
    (host.home / "it's bytes").write_bytes(data)
    result = host.run("slurp", {"src": "~/it's bytes"})
    assert base64.b64decode(result["content"]) == data
    assert (result["source"], result["encoding"], host.round_trips) == (f"{host.home}/it's bytes", "base64", 1)


class Capped:
    """Satisfies Remote; keeps only so much of what a command says."""

    def __init__(self, host: Host, limit: int) -> None:
        self.inner, self.limit, self.host = host.remote, limit, "here"

    def exec(self, command: Command, **options: Any) -> Completed:
        done = self.inner.exec(command, **options)
        kept = done.stdout[: self.limit]
        return Completed(done.rc, kept, done.stderr, done.started, done.ended, done.stdout_size, done.stderr_size)


def test_what_is_not_kept_as_a_whole_is_an_error(host: Host) -> None:
    (host.home / "f").write_bytes(b"x" * 5000)
    host.remote = Capped(host, 4096)  # type: ignore[assignment]
    assert "output_limit" in host.run("slurp", {"src": "f"})["msg"]


def test_a_new_name_every_time_and_open_to_nobody_else(host: Host) -> None:
    for state, mode in (("file", "0600"), ("directory", "0700")):
        arguments = {"path": str(host.home), "state": state, "prefix": "a b", "suffix": "'"}
        first, second = host.run("tempfile", arguments), host.run("tempfile", arguments)
        assert (first["changed"], first["mode"], first["state"]) == (True, mode, state)
        assert first["path"] != second["path"]
        assert len(list(host.home.glob("a b*'"))) == 2
        for result in (first, second):
            host.run("file", {"path": result["path"], "state": "absent"})
    assert list(host.home.iterdir()) == []


def test_a_temporary_file_where_none_can_be(host: Host) -> None:
    assert "No such directory: nothing" in host.run("tempfile", {"path": "nothing"})["msg"]
    assert "cannot make a file in /proc" in host.run("tempfile", {"path": "/proc"})["msg"]
