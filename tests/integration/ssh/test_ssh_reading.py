"""A connection has no thread of its own: whoever waits for something reads it, and one thread reads all idle ones."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from opsrunner.remote import Command
from opsrunner.ssh.pool import Pool, PoolLimits
from tests.fleet import Fleet
from tests.integration.ssh.conftest import BOTH_WAYS, MakeTarget
from tests.integration.ssh.faults import Relay

PATIENCE = 60.0


def eventually(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return true()


class CountingRelay(Relay):
    """Counts what the client says."""

    heard = 0

    def _pump(self, source: socket.socket, sink: socket.socket, stop: threading.Event) -> None:
        if sink.getpeername()[1] != self._port:
            super()._pump(source, sink, stop)
            return
        source.settimeout(0.1)
        while not stop.is_set():
            try:
                data = source.recv(65536)
            except TimeoutError:
                continue
            if not data:
                break
            self.heard += len(data)
            sink.sendall(data)
        sink.shutdown(socket.SHUT_RDWR)


def test_connections_need_no_threads(fleet: Fleet, pool: Pool, target: MakeTarget) -> None:
    before = set(threading.enumerate())
    for address in fleet.addresses(12):
        assert pool.remote(target(address)).exec(Command("echo hi")).stdout == b"hi\n"
    new = {thread.name for thread in set(threading.enumerate()) - before}
    assert new == {"ssh-watchdog", "ssh-idle"}


@BOTH_WAYS
def test_commands_side_by_side_over_one_connection(pool: Pool, target: MakeTarget) -> None:
    """Who reads may be done first, last or in between: what the others wait for is not lost with him."""
    remote = pool.remote(target())
    remote.connect()

    def run(number: int) -> bytes:
        line = (
            f"sleep 0.0{number % 7}; head -c {number * 9000} /dev/zero | tr '\\0' {number % 10}; sleep 0.0{number % 5}"
        )
        return remote.exec(Command(line, timeout=PATIENCE)).stdout

    with ThreadPoolExecutor(12) as executor:
        outputs = list(executor.map(run, range(48)))
    assert outputs == [str(number % 10).encode() * number * 9000 for number in range(48)]
    assert pool.count().connects == 1


def test_the_end_of_an_idle_connection_is_seen(pool: Pool, target: MakeTarget, tmp_path: Path) -> None:
    own = Fleet.start(tmp_path / "fleet")
    try:
        goal = target(port=own.port, known_hosts_files=(str(own.known_hosts),), private_key_file=str(own.key))
        pool.remote(goal).connect()
        session, _ = pool.enter(goal)
        pool.leave(session)
        assert session.alive()
    finally:
        own.stop()
    assert eventually(lambda: not session.alive())
    assert eventually(lambda: session.fileno() == -1)


def test_a_server_that_looks_after_idle_connections_is_answered(pool: Pool, target: MakeTarget, tmp_path: Path) -> None:
    curious = Fleet.start(tmp_path / "fleet", options={"ClientAliveInterval": "1", "ClientAliveCountMax": "1000"})
    try:
        with CountingRelay(curious.port) as relay:
            goal = target(
                "127.0.0.1",
                port=relay.port,
                host_key_checking="no",
                private_key_file=str(curious.key),
                timeout=PATIENCE,
            )
            remote = pool.remote(goal)
            remote.connect()
            said = relay.heard
            assert eventually(lambda: relay.heard > said)
            assert remote.exec(Command("echo still")).stdout == b"still\n"
            said = relay.heard
            assert eventually(lambda: relay.heard > said)
            assert pool.count().connects == 1
    finally:
        curious.stop()


@pytest.mark.parametrize(
    "options",
    [
        {"Ciphers": "aes128-ctr", "MACs": "hmac-sha2-256"},  # the length of packets is enciphered
        {"Ciphers": "aes256-ctr", "MACs": "hmac-sha2-512-etm@openssh.com"},
        {"Ciphers": "aes256-gcm@openssh.com"},
    ],
    ids=lambda options: options["Ciphers"],
)
def test_every_kind_of_cipher(pool: Pool, target: MakeTarget, tmp_path: Path, options: dict[str, str]) -> None:
    server = Fleet.start(tmp_path / "fleet", options={**options, "RekeyLimit": "1M"})
    data = bytes(range(256)) * 12_000
    try:
        goal = target(port=server.port, known_hosts_files=(str(server.known_hosts),), private_key_file=str(server.key))
        command = Command("cat", stdin=data, timeout=PATIENCE, output_limit=len(data))
        assert pool.remote(goal).exec(command).stdout == data
    finally:
        server.stop()


def test_what_is_sent_before_an_answer_is_waited_for_comes_together(
    fleet: Fleet, pool: Pool, target: MakeTarget
) -> None:
    """The end of the key exchange, the service and the login are one segment: a round trip less."""
    with CountingRelay(fleet.port) as relay:
        pieces: list[int] = []
        counted = relay._pump

        def pump(source: socket.socket, sink: socket.socket, stop: threading.Event) -> None:
            if sink.getpeername()[1] == fleet.port:
                source = Tapped(source, pieces)  # type: ignore[assignment]
            counted(source, sink, stop)

        relay._pump = pump  # type: ignore[method-assign]
        pool.remote(target("127.0.0.1", port=relay.port, host_key_checking="no")).connect()
    # The greeting, the offer, the key exchange, and all the rest: whatever the network makes of them, no more.
    assert len(pieces) <= 4


def test_a_channel_that_is_done_with_is_closed_later(fleet: Fleet, target: MakeTarget) -> None:
    pool = Pool(limits=PoolLimits(sweep=1e9))
    with CountingRelay(fleet.port) as relay:
        goal = target("127.0.0.1", port=relay.port, host_key_checking="no", timeout=PATIENCE)
        remote = pool.remote(goal)
        for number in range(3):
            assert remote.exec(Command(f"echo {number}")).stdout == f"{number}\n".encode()
        said = relay.heard
        session, _ = pool.enter(goal)
        pool.leave(session)
        assert relay.heard == said
        session.tidy()
        assert eventually(lambda: relay.heard > said)
        assert remote.exec(Command("echo on")).stdout == b"on\n"
    pool.close()


class Tapped:
    """A socket that notes the size of each piece."""

    def __init__(self, plain: socket.socket, pieces: list[int]) -> None:
        self._plain = plain
        self._pieces = pieces

    def settimeout(self, seconds: float) -> None:
        self._plain.settimeout(seconds)

    def recv(self, size: int) -> bytes:
        data = self._plain.recv(size)
        if data:
            self._pieces.append(len(data))
        return data
