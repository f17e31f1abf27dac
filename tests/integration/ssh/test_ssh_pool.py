"""Connections are kept, shared, counted, retired, and never crossed with a forked process."""

from __future__ import annotations

import datetime
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from opsrunner.dialogue import Dialogue
from opsrunner.errors import ConnectionLost, RemoteTimeout, Unreachable
from opsrunner.launch import prepare
from opsrunner.remote import Command
from opsrunner.ssh.execution import Execution
from opsrunner.ssh.idle import REST
from opsrunner.ssh.pool import Pool, PoolLimits
from opsrunner.ssh.target import Target
from opsrunner.ssh.transport import WINDOW, CommandChannel, CommandTransport
from tests.fleet import Fleet
from tests.integration.ssh.conftest import MakeTarget
from tests.integration.ssh.faults import Relay


class Clock:
    """A clock that is moved by hand, on top of the real one."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


def wire_of(pool: Pool, goal: Target) -> Any:
    """paramiko's transport behind a target's warm connection."""
    session, fresh = pool.enter(goal)
    pool.leave(session)
    assert not fresh
    return session._transport


def test_a_connection_is_reused(pool: Pool, target: MakeTarget) -> None:
    for _ in range(3):
        pool.remote(target()).exec(Command("true"))
    assert (pool.count().connects, pool.count().execs, pool.idle_count) == (1, 3, 1)


def test_credentials_and_users_are_not_mixed(pool: Pool, target: MakeTarget) -> None:
    pool.remote(target()).connect()
    pool.remote(target(password="x")).connect()
    pool.remote(target(host="another name")).connect()
    assert pool.count().connects == 2


def test_many_threads_make_one_connection(pool: Pool, target: MakeTarget) -> None:
    with ThreadPoolExecutor(20) as executor:
        list(executor.map(lambda _: pool.remote(target()).connect(), range(20)))
    assert pool.count().connects == 1


def test_a_fleet_at_once(fleet: Fleet, pool: Pool, target: MakeTarget) -> None:
    with ThreadPoolExecutor(30) as executor:
        hosts = [pool.remote(target(address, host=address)) for address in fleet.addresses(60)]
        # SSH_CONNECTION names the address that was dialled: every answer came from its own host.
        line = "set -- $SSH_CONNECTION; echo $3"
        said = list(executor.map(lambda host: host.exec(Command(line)).stdout.decode().strip(), hosts))
    assert said == fleet.addresses(60)


def test_the_socket_is_tuned(pool: Pool, target: MakeTarget) -> None:
    pool.remote(target()).connect()
    wire = socket.socket(fileno=os.dup(wire_of(pool, target()).sock.fileno()))
    with wire:
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 10
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


def test_cheap_safe_algorithms_are_agreed_on(pool: Pool, target: MakeTarget) -> None:
    pool.remote(target()).connect()
    transport = wire_of(pool, target())
    assert transport.local_cipher == transport.remote_cipher == "aes128-gcm@openssh.com"
    assert transport.host_key_type == "ssh-ed25519"
    assert transport.agreed_on_strict_kex


@pytest.mark.parametrize(
    "kex", ["curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256", "diffie-hellman-group14-sha256"]
)
def test_servers_with_one_key_exchange_only(pool: Pool, target: MakeTarget, tmp_path: Path, kex: str) -> None:
    # curve25519-sha256 without @libssh.org is what paramiko by itself does not offer.
    old = Fleet.start(tmp_path / "fleet", options={"KexAlgorithms": kex, "Ciphers": "aes256-ctr"})
    try:
        goal = target(port=old.port, known_hosts_files=(str(old.known_hosts),), private_key_file=str(old.key))
        assert pool.remote(goal).exec(Command("echo hi")).stdout == b"hi\n"
    finally:
        old.stop()


def wakeups(threads: Iterable[threading.Thread]) -> int:
    """How often these threads have waited for something and gone on, all together."""
    told = (Path(f"/proc/self/task/{thread.native_id}/status").read_text() for thread in threads)
    return sum(int(text.split("\nvoluntary_ctxt_switches:")[1].split()[0]) for text in told)


def test_idle_connections_cost_nothing(fleet: Fleet, pool: Pool, target: MakeTarget) -> None:
    others = set(threading.enumerate())
    with ThreadPoolExecutor(20) as executor:
        list(executor.map(lambda a: pool.remote(target(a)).connect(), fleet.addresses(60)))
    assert pool.idle_count == 60
    # Counted, not timed, as a slow machine needs no more of them; paramiko's own polling: 60 threads, 600 wake-ups.
    threads = [thread for thread in threading.enumerate() if thread not in others]
    assert {thread.name for thread in threads} <= {"ssh-watchdog", "ssh-idle"}
    time.sleep(REST + 0.2)
    before = wakeups(threads)
    time.sleep(1.0)
    assert wakeups(threads) - before < 100


def test_a_dead_warm_connection_is_replaced(fleet: Fleet, pool: Pool, target: MakeTarget) -> None:
    remote = pool.remote(target())
    before = set(fleet.sessions())
    remote.connect()
    for pid in set(fleet.sessions()) - before:
        os.kill(pid, 9)
    time.sleep(0.2)
    assert remote.exec(Command("echo again")).stdout == b"again\n"
    assert pool.count().connects == 2


def test_a_warm_connection_whose_peer_hangs_is_probed_and_given_up(fleet: Fleet, target: MakeTarget) -> None:
    pool = Pool()
    with Relay(fleet.port) as relay:
        goal = target("127.0.0.1", port=relay.port, host_key_checking="no", timeout=3.0)
        remote = pool.remote(goal)
        remote.connect()
        relay.frozen.set()
        before = time.monotonic()
        with pytest.raises(Unreachable, match="timed out after 3 s"):
            remote.exec(Command("true"))
        assert time.monotonic() - before < 30
        pool.close()


def test_a_peer_that_hangs_in_mid_command(fleet: Fleet, target: MakeTarget) -> None:
    pool = Pool(grace=0.5)
    with Relay(fleet.port) as relay:
        goal = target("127.0.0.1", port=relay.port, host_key_checking="no", timeout=3.0)
        pids: list[int] = []

        def heard(stream: str, data: bytes) -> None:
            pids.append(int(data))
            relay.frozen.set()

        with pytest.raises(RemoteTimeout) as caught:
            pool.remote(goal).exec(Command("echo $$; exec sleep 60", timeout=3.0), on_output=heard)
        assert caught.value.fate == f"could not be killed (pid {pids[0]})"
        os.kill(pids[0], 9)
        pool.close()


def test_one_session_at_a_time(pool: Pool, target: MakeTarget, tmp_path: Path) -> None:
    narrow = Fleet.start(tmp_path / "fleet", options={"MaxSessions": "1"})
    goal = target(
        port=narrow.port, known_hosts_files=(str(narrow.known_hosts),), private_key_file=str(narrow.key), timeout=10.0
    )
    remote = pool.remote(goal)
    try:
        # Refused channels are tried again until there is room.
        with ThreadPoolExecutor(4) as executor:
            done = list(executor.map(lambda n: remote.exec(Command(f"sleep 0.1; echo {n}")).stdout, range(4)))
        assert done == [b"0\n", b"1\n", b"2\n", b"3\n"]
        assert pool.count().connects == 1
        # No second channel for the kill either: it comes over a connection of its own.
        with pytest.raises(RemoteTimeout) as caught:
            remote.exec(Command("exec sleep 60", timeout=0.3))
        assert caught.value.fate == "killed"
        # For as long as it is busy, somebody with less patience is told why.
        busy = threading.Thread(target=lambda: remote.exec(Command("sleep 3")))
        busy.start()
        time.sleep(0.5)
        with pytest.raises(Unreachable, match="opens no further session"):
            session, _ = pool.enter(goal)
            try:
                session.open("web1", timeout=5, patience=0.2)
            finally:
                pool.leave(session)
        busy.join()
    finally:
        narrow.stop()


@pytest.mark.parametrize(
    "limits", [PoolLimits(execs=3), PoolLimits(bytes=20_000), PoolLimits(lifetime=1400.0, jitter=0.0)]
)
def test_worn_connections_are_retired(target: MakeTarget, limits: PoolLimits) -> None:
    clock = Clock()
    pool = Pool(limits=limits, monotonic=clock)
    remote = pool.remote(target())
    for _ in range(6):
        remote.exec(Command("head -c 10000 /dev/zero"))
        clock.ahead += 500
    assert 2 <= pool.count().connects <= 3
    assert pool.count().open == 1
    pool.close()


def test_a_connection_retired_while_busy_serves_its_command_to_the_end(target: MakeTarget) -> None:
    pool = Pool(limits=PoolLimits(execs=1))
    remote = pool.remote(target())
    results: list[bytes] = []
    slow = threading.Thread(target=lambda: results.append(remote.exec(Command("sleep 1; echo slow")).stdout))
    slow.start()
    deadline = time.monotonic() + 60
    while pool.count().execs < 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert remote.exec(Command("echo quick")).stdout == b"quick\n"
    slow.join()
    assert results == [b"slow\n"]
    assert pool.count().connects == 2
    pool.close()


def test_idle_connections_are_swept(fleet: Fleet, target: MakeTarget) -> None:
    pool = Pool(limits=PoolLimits(idle=0.2, sweep=0.1))
    before = len(fleet.sessions())
    pool.remote(target()).connect()
    deadline = time.monotonic() + 5
    while pool.count().open and time.monotonic() < deadline:
        time.sleep(0.05)
    assert pool.count().open == 0
    while len(fleet.sessions()) > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(fleet.sessions()) <= before  # the server's side has ended too
    pool.close()


def test_the_least_recently_used_goes_first(fleet: Fleet, target: MakeTarget) -> None:
    pool = Pool(limits=PoolLimits(connections=3))
    first, second, *others = [pool.remote(target(address)) for address in fleet.addresses(4)]
    for remote in (first, second, others[0], first, others[1]):
        remote.connect()
    assert (pool.count().open, pool.count().connects) == (3, 4)
    first.connect()
    assert pool.count().connects == 4  # it was used lately
    second.connect()
    assert pool.count().connects == 5  # it was not
    pool.close()


def test_closing_ends_every_connection_and_thread(fleet: Fleet, target: MakeTarget) -> None:
    threads = set(threading.enumerate())
    pool = Pool()
    for address in fleet.addresses(5):
        pool.remote(target(address)).connect()
    pool.close()
    for thread in set(threading.enumerate()) - threads:
        thread.join(5)
    assert set(threading.enumerate()) <= threads
    with pytest.raises(Unreachable, match="shutting down"):
        pool.remote(target()).connect()


def test_new_keys_are_never_asked_for_by_us(pool: Pool, target: MakeTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    kex = []
    send = CommandTransport._send_kex_init
    monkeypatch.setattr(CommandTransport, "_send_kex_init", lambda self: kex.append(1) or send(self))
    # What paramiko's packetizer would rekey at is far below what goes through here.
    remote = pool.remote(target())
    remote.connect()
    packetizer = wire_of(pool, target()).packetizer
    assert packetizer.REKEY_BYTES > 1 << 50 and packetizer.REKEY_PACKETS > 1 << 50
    remote.exec(Command("head -c 30000000 /dev/zero"))
    assert kex == [1]


def test_a_server_that_asks_for_new_keys(pool: Pool, target: MakeTarget, tmp_path: Path) -> None:
    eager = Fleet.start(tmp_path / "fleet", options={"RekeyLimit": "1M"})
    try:
        goal = target(port=eager.port, known_hosts_files=(str(eager.known_hosts),), private_key_file=str(eager.key))
        data = os.urandom(10_000_000)
        assert pool.remote(goal).exec(Command("cat", stdin=data, timeout=60, output_limit=len(data))).stdout == data
    finally:
        eager.stop()


FORKING = """
import os, sys, threading
from opsrunner.remote import Command
from opsrunner.ssh.execution import Execution
from opsrunner.ssh.pool import Pool
from opsrunner.ssh.target import Target

port, key, known_hosts, how = sys.argv[1:]
target = Target("h", "127.1.0.1", int(port), private_key_file=key, known_hosts_files=(known_hosts,))
pool = Pool()
remote = pool.remote(target)
remote.connect()
parent_end, child_end = os.pipe()
child = os.fork()
if child == 0:
    ok = remote.exec(Command("echo child")).stdout == b"child\\n" and pool.count().connects == 1
    os.write(child_end, b"ok" if ok else b"no")
    if how == "abruptly":
        os._exit(0)
    pool.close()
    sys.exit(0)
os.waitpid(child, 0)
assert os.read(parent_end, 2) == b"ok"
assert remote.exec(Command("echo parent")).stdout == b"parent\\n"
assert pool.count().connects == 1, "the child has cut our connection"
pool.close()
print("fine")
"""


@pytest.mark.parametrize("how", ["abruptly", "in order"])
def test_a_forked_process_leaves_the_parents_connection_alone(fleet: Fleet, how: str) -> None:
    command = [sys.executable, "-c", FORKING, str(fleet.port), str(fleet.key), str(fleet.known_hosts), how]
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=root,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert done.stdout == "fine\n", done.stderr


def test_a_connection_that_ends_while_something_is_sent(pool: Pool, target: MakeTarget) -> None:
    launch = prepare(Command("cat", stdin=b"x"), "abc")
    with pytest.raises(ConnectionLost), pool.channel(target(), launch, lambda: False) as (_, channel):
        assert isinstance(channel, CommandChannel)
        channel.transport.packetizer.close()
        # None of these tells: that the connection has ended is told to who follows the channel.
        channel.send_exec(b"true")
        assert channel.send_some(memoryview(b"x")) == 0
        channel.arrived.append(("stdout", bytes(2 * WINDOW)))
        channel.take()
        channel.shutdown_write()
        dialogue = Dialogue(launch, Command("true"), datetime.datetime.now(datetime.UTC))
        Execution("h", channel, dialogue).follow(lambda: False, tick=0.1)
