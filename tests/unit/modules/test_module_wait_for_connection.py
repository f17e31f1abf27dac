"""wait_for_connection: a host that comes up while it is waited for, and one that does not."""

from __future__ import annotations

import pytest

from opsrunner.errors import ConnectionLost, RemoteCancelled, RemoteError, Unreachable
from opsrunner.remote import Command, Completed
from tests.unit.modules.programs import Programs
from tests.unit.modules.shell_host import Host, ShellRemote


def host_that_raises(programs: Programs, monkeypatch: pytest.MonkeyPatch, *errors: RemoteError) -> Host:
    """A real shell behind a link that fails that often first."""
    coming = list(errors)

    def exec_(remote: ShellRemote, command: Command, **options: object) -> Completed:
        if coming:
            raise coming.pop(0)
        return works(remote, command)

    works = ShellRemote.exec
    monkeypatch.setattr(ShellRemote, "exec", exec_)
    return programs.host


def test_a_host_that_comes_up(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = (Unreachable("down", host="here"), ConnectionLost("cut", host="here"))
    host = host_that_raises(programs, monkeypatch, *errors)
    assert host.run("wait_for_connection", {"delay": 2, "sleep": 3}) == {"changed": False, "elapsed": 0}
    assert host.slept == [2, 3, 3]


def test_a_host_that_stays_away(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    host = host_that_raises(programs, monkeypatch, Unreachable("down", host="here"))
    answer = host.run("wait_for_connection", {"timeout": 0})
    assert answer["msg"] == "timed out waiting for ping module test: down"


def test_a_cancelled_wait_ends(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    host = host_that_raises(programs, monkeypatch, RemoteCancelled("off", host="here", fate="killed"))
    with pytest.raises(RemoteCancelled):
        host.run("wait_for_connection", {})
