"""wait_for: real ports and files, with each tool a host may have."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.unit.modules.shell_host import Host

#: Everything the scripts call besides the tool that connects.
COMMON = ("date", "sleep", "cat", "mktemp", "rm", "grep", "timeout", "stat")


@contextmanager
def listening(says: bytes = b"") -> Iterator[int]:
    """A port that sends ``says`` to whoever connects, and then keeps the connection."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.1)
    done = threading.Event()
    open_connections = []

    def serve() -> None:
        while not done.is_set():
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            open_connections.append(connection)
            try:
                connection.sendall(says)
            except OSError:
                pass

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        done.set()
        thread.join()
        for connection in (*open_connections, server):
            connection.close()


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


#: A shell and the tool that connects: each once, as the tool does not see the shell.
WITH_EACH_TOOL = pytest.mark.parametrize(
    ("host", "tool"),
    [
        (["/bin/sh"], "perl"),
        (["bash", "--posix"], "python3"),
        (["/bin/sh"], "bash"),
        (["bash", "--posix"], "busybox nc"),
        (["busybox", "sh"], "busybox nc"),
    ],
    indirect=True,
    ids=str,
)


@pytest.fixture
def tool(request: pytest.FixtureRequest, host: Host, tmp_path: Path) -> dict[str, str]:
    """An environment in which one tool alone can connect."""
    programs = tmp_path / "bin"
    programs.mkdir()
    name = request.param.split()[0]
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} on this machine")
    if name == "busybox":
        (programs / "nc").symlink_to(found)
        (programs / "true").symlink_to("/bin/true")
    else:
        # A link would not do for tools that are launchers looking at their own place.
        (programs / name).write_text(f'#!/bin/sh\nPATH={os.environ["PATH"]} exec {found} "$@"\n')
        (programs / name).chmod(0o755)
    for common in COMMON:
        (programs / common).symlink_to(shutil.which(common) or common)
    # The shell itself is started by its full path: it must not be found as a tool.
    host.remote.shell = [shutil.which(host.remote.shell[0]) or host.remote.shell[0], *host.remote.shell[1:]]
    return {"PATH": str(programs)}


@WITH_EACH_TOOL
def test_an_open_port(host: Host, tool: dict[str, str]) -> None:
    with listening() as port:
        result = host.run("wait_for", {"port": port, "timeout": 5}, environment=tool)
        assert (result.get("failed"), result["changed"]) == (None, False)
        assert result["elapsed"] < 5
        assert (result["state"], result["port"], result["match_groups"]) == ("started", port, [])
        stopped = host.run("wait_for", {"port": port, "state": "stopped", "timeout": 1}, environment=tool)
        assert stopped["msg"] == f"Timeout when waiting for 127.0.0.1:{port} to stop."
    assert host.round_trips == 2


@WITH_EACH_TOOL
def test_a_closed_port(host: Host, tool: dict[str, str]) -> None:
    port = closed_port()
    assert "failed" not in host.run("wait_for", {"port": port, "state": "stopped", "timeout": 5}, environment=tool)
    result = host.run("wait_for", {"port": port, "timeout": 1, "connect_timeout": 1}, environment=tool)
    assert (result["failed"], result["msg"]) == (True, f"Timeout when waiting for 127.0.0.1:{port}")
    assert result["elapsed"] >= 1


@WITH_EACH_TOOL
def test_what_a_port_sends(host: Host, tool: dict[str, str]) -> None:
    with listening(b"220 mail.example ESMTP\r\n") as port:
        arguments = {"port": port, "search_regex": r"^220 (?P<name>\S+)", "timeout": 8, "connect_timeout": 1}
        result = host.run("wait_for", arguments, environment=tool)
        assert result["match_groupdict"] == {"name": "mail.example"}
        assert result["match_groups"] == ["mail.example"]
        arguments |= {"search_regex": "^550", "timeout": 1, "msg": "no mail"}
        failed = host.run("wait_for", arguments, environment=tool)
        assert (failed["failed"], failed["msg"]) == (True, "no mail")


def test_a_host_that_cannot_connect_says_so(host: Host, tmp_path: Path) -> None:
    if host.remote.shell[0] == "busybox":
        pytest.skip("busybox finds its own nc")
    host.remote.shell = [shutil.which(host.remote.shell[0]) or "", *host.remote.shell[1:]]
    for state in ("started", "stopped"):
        result = host.run("wait_for", {"port": 1, "state": state}, environment={"PATH": str(tmp_path)})
        assert "the host has none of perl, python3" in result["msg"]


def later(seconds: float, action: Any) -> threading.Timer:
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer


@pytest.mark.parametrize("state", ["present", "started"])
def test_a_file_comes(host: Host, state: str) -> None:
    timer = later(0.3, (host.home / "f").touch)
    result = host.run("wait_for", {"path": "~/f", "state": state, "timeout": 10})
    timer.join()
    assert "failed" not in result
    assert host.round_trips == 1


def test_a_file_goes(host: Host) -> None:
    (host.home / "f").touch()
    timer = later(0.3, (host.home / "f").unlink)
    assert "failed" not in host.run("wait_for", {"path": "f", "state": "absent", "timeout": 10})
    timer.join()


@pytest.mark.parametrize(
    ("arguments", "msg"),
    [
        ({"path": "~/f"}, "Timeout when waiting for file {home}/f"),
        ({"path": "~", "state": "absent"}, "Timeout when waiting for {home} to be absent."),
        ({"path": "f", "msg": "not there"}, "not there"),
        ({"path": "f", "search_regex": "x"}, "Timeout when waiting for search string x in f"),
        ({"path": "f", "state": "stopped"}, "state=stopped should only be used for checking a port"),
        ({"path": "f", "search_regex": "("}, "Invalid regular expression"),
        ({"path": "f", "state": "drained"}, "value of state must be one of: absent, present, started, stopped"),
    ],
)
def test_what_fails(host: Host, arguments: dict[str, Any], msg: str) -> None:
    result = host.run("wait_for", {"timeout": 1, **arguments})
    assert result["failed"] is True
    assert msg.format(home=host.home) in result["msg"]


def test_a_text_appears_in_a_file(host: Host) -> None:
    path = host.home / "log"
    path.write_bytes(b"starting \0\xff\n")

    def write() -> None:
        with path.open("ab") as file:
            file.write(b"ready in 42 ms\n")

    timer = later(0.4, write)
    started = time.monotonic()
    result = host.run("wait_for", {"path": "log", "search_regex": r"^ready in (\d+)", "timeout": 20})
    timer.join()
    assert result["match_groups"] == ["42"]
    assert time.monotonic() - started < 8
    assert host.round_trips <= 3


def test_delay_and_a_plain_wait(host: Host) -> None:
    result = host.run("wait_for", {"delay": 3, "timeout": 7})
    assert host.slept == [3, 7]
    assert host.round_trips == 0
    assert result["changed"] is False
