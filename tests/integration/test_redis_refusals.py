"""What a real server refuses for a while is told apart from defects; outcomes wait on disk meanwhile."""

from __future__ import annotations

import json
import logging
import resource
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from opsrunner.errors import BrokerUnavailable
from opsrunner.ledger import keys
from opsrunner.ledger.client import AWAY, Client, Refused, client_for, connect
from opsrunner.ledger.records import Outcome
from opsrunner.ledger.sealing import Sealer
from opsrunner.ledger.spool import Spool
from opsrunner.ledger.store import Store
from opsrunner.ledger.transitions import Finish
from opsrunner.ledger.writer import Writer
from tests.integration.stack import Redis, wait_until

RUN, BOOT, TOKEN = "run1", "boot1", "boot1.t1"


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with Redis(tmp_path_factory.mktemp("r")) as server:
        yield server


@pytest.fixture
def store(server: Redis) -> Iterator[Store]:
    client = client_for(server.url, timeout=1.0)
    yield Store(client, Sealer(b"k" * 32))
    client.close()


def full(client: Client) -> None:
    client.config_set("maxmemory", "1")


def mended(client: Client) -> None:
    client.config_set("maxmemory", "0")


def replica(client: Client) -> None:
    client.replicaof("127.0.0.1", "1")


def lonely_replica(client: Client) -> None:
    client.config_set("replica-serve-stale-data", "no")
    replica(client)


def without_replicas(client: Client) -> None:
    client.config_set("min-replicas-to-write", "1")


def busy(client: Client) -> None:
    client.config_set("lua-time-limit", "20")
    threading.Thread(target=_spin, args=(client,), name="spin").start()
    wait_until(lambda: _is_busy(client), 5, "a busy server")


def relieved(client: Client) -> None:
    spin = next(thread for thread in threading.enumerate() if thread.name == "spin")
    client.script_kill()
    spin.join()


def _spin(client: Client) -> None:
    with pytest.raises(redis.exceptions.ResponseError, match="killed"):
        client.eval("while true do end", 0)


def _is_busy(client: Client) -> bool:
    try:
        client.ping()
    except redis.exceptions.ResponseError:
        return True
    return False


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (full, "full"),
        (replica, "replica"),
        (lonely_replica, "replica"),
        (without_replicas, "replicas"),
        (busy, "busy"),
    ],
)
def test_refusals_are_told_from_defects(server: Redis, store: Store, fault: Callable[[Client], None], why: str) -> None:
    begin(server.client, "web1", "web2")
    store.move(RUN, "", "0.0.0")  # the script is loaded
    fault(server.client)
    with pytest.raises(Refused, match=why):
        store.redis.hset("key", "field", "value")
    with pytest.raises(Refused, match=why):
        store.redis.pipeline(transaction=True).hset("key", "field", "value").execute()
    with pytest.raises(Refused, match=why):
        store.call(_finish("web1").arguments())
    answers = store.call_many([_finish("web1").arguments(), _finish("web2").arguments()])
    assert [type(answer) for answer in answers] == [Refused, Refused]
    if fault is busy:
        relieved(server.client)


def test_who_waits_for_news_hears_that_the_server_became_a_replica(server: Redis, store: Store) -> None:
    becomes = threading.Timer(0.3, replica, (server.client,))
    becomes.start()
    with pytest.raises(Refused, match="has just become a replica"):
        store.redis.blpop(["list"], timeout=5)
    becomes.join()  # it has its answer before the server ends


def test_defects_stay_defects(store: Store) -> None:
    store.redis.set("key", "value")
    with pytest.raises(redis.exceptions.ResponseError) as caught:
        store.redis.hget("key", "field")
    assert not isinstance(caught.value, AWAY)
    with pytest.raises(redis.exceptions.ResponseError) as caught:
        store.redis.eval("return redis.call('HGET', 'key', 'OOM command')", 0)
    assert not isinstance(caught.value, AWAY)


def test_connecting_says_what_is_wrong(server: Redis) -> None:
    without_replicas(server.client)
    connect(server.url).close()  # reading is enough to look at runs
    busy(server.client)
    with pytest.raises(BrokerUnavailable, match="busy"):
        connect(server.url)
    relieved(server.client)


# ---------------------------------------------------------------------- outcomes on disk
def _finish(host: str) -> Finish:
    outcome = Outcome(0, host, "changed", {"stdout": "hello \udcff"}, None, 1.0, 2.0, "w1")
    return Finish(RUN, TOKEN, outcome, None, "", variables=(("sealed", bytes(range(256))),))


def begin(client: Client, *hosts: str) -> None:
    for host in hosts:
        client.hset(keys.steps(RUN, 0), host, f"R|{TOKEN}|{BOOT}|1.0")


def status(client: Client, host: str) -> str:
    state: bytes = client.hget(keys.steps(RUN, 0), host)
    return state.decode().split("|")[1]


def leave_behind(folder: Path, *hosts: str, more: bytes = b"") -> Path:
    """What a process leaves that is killed with these hosts' outcomes on its disk."""
    spool = Spool(folder, "redis", f"dead-{hosts[0]}")
    for host in hosts:
        assert spool.keep(_finish(host).arguments())
    (path,) = folder.glob("*-dead-*.jsonl")
    content = path.read_bytes()
    for _ in hosts:
        spool.strike()
    path.write_bytes(content + more)
    return path


def test_outcomes_are_on_disk_until_they_are_stored(
    threads: ThreadPoolExecutor, server: Redis, store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "spool"
    begin(server.client, "web1", "web2")
    writer = Writer(store, Spool(folder, "redis", BOOT))
    full(server.client)
    futures = [threads.submit(writer.call, _finish(host).arguments()) for host in ("web1", "web2")]
    cursor = threads.submit(writer.call, ("move", keys.run(RUN), "", "0.0.0"))
    wait_until(lambda: sum(len(path.read_text().splitlines()) for path in folder.glob("*.jsonl")) == 2, 5, "two lines")
    (path,) = folder.iterdir()
    assert (folder.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)
    assert all(json.loads(line)[0] == "finish" for line in path.read_text().splitlines())
    assert not any(future.done() for future in futures)
    mended(server.client)
    assert [future.result(timeout=10)[0] for future in futures] == [b"stored", b"stored"]
    cursor.result(timeout=10)
    assert list(folder.iterdir()) == []
    assert status(server.client, "web1") == "changed"
    assert server.client.hget(keys.variables(RUN, "web1"), "sealed") == bytes(range(256))
    writer.close()


def test_what_a_dead_process_left_is_delivered_once(
    server: Redis, store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begin(server.client, "web1", "web2")
    path = leave_behind(tmp_path, "web1", "web2", more=b'["finish","cut when the power w')
    content = path.read_bytes()
    with caplog.at_level(logging.WARNING):
        Spool(tmp_path, "redis", "next").adopt(store)
    assert "2 stored" in caplog.text
    assert not path.exists()
    path.write_bytes(content)
    Spool(tmp_path, "redis", "next").adopt(store)
    assert "2 repeated" in caplog.text
    assert [status(server.client, host) for host in ("web1", "web2")] == ["changed", "changed"]


def test_what_a_living_process_holds_is_left_alone(server: Redis, store: Store, tmp_path: Path) -> None:
    begin(server.client, "web1")
    living = Spool(tmp_path, "redis", BOOT)
    living.keep(_finish("web1").arguments())
    Spool(tmp_path, "redis", "next").adopt(store)
    assert status(server.client, "web1") == TOKEN
    living.strike()


def test_outcomes_go_to_no_other_redis(server: Redis, store: Store, tmp_path: Path) -> None:
    begin(server.client, "web1")
    path = leave_behind(tmp_path, "web1")
    Spool(tmp_path, "another redis", "next").adopt(store)
    assert path.exists()


def test_what_cannot_be_read_is_put_aside(
    server: Redis, store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begin(server.client, "web1")
    path = leave_behind(tmp_path, "web1", more=b"no JSON at all\n")
    Spool(tmp_path, "redis", "next").adopt(store)
    assert status(server.client, "web1") == "changed"
    assert [one.name for one in tmp_path.iterdir()] == [f"{path.stem}.aside"]
    assert "put aside" in caplog.text


def test_a_full_server_leaves_the_file_where_it_is(server: Redis, store: Store, tmp_path: Path) -> None:
    begin(server.client, "web1")
    path = leave_behind(tmp_path, "web1")
    full(server.client)
    with pytest.raises(Refused):
        Spool(tmp_path, "redis", "next").adopt(store)
    assert path.exists()


def test_without_a_disk_outcomes_wait_in_memory(
    threads: ThreadPoolExecutor, server: Redis, store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begin(server.client, "web1", "web2")
    (tmp_path / "file").write_text("")
    writer = Writer(store, Spool(tmp_path / "file" / "spool", "redis", BOOT))
    full(server.client)
    futures = [threads.submit(writer.call, _finish(host).arguments()) for host in ("web1", "web2")]
    wait_until(lambda: "wait in memory only" in caplog.text, 5, "a line in the log")
    mended(server.client)
    assert [future.result(timeout=10)[0] for future in futures] == [b"stored", b"stored"]
    assert caplog.text.count("wait in memory only") == 1
    writer.close()


def test_a_disk_that_fills_up_spoils_nothing(server: Redis, store: Store, tmp_path: Path) -> None:
    begin(server.client, "web1", "web2", "web3")
    spool = Spool(tmp_path, "redis", BOOT)
    assert spool.keep(_finish("web1").arguments())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    (path,) = tmp_path.iterdir()
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, before[1]))
    try:
        assert not spool.keep(_finish("web2").arguments())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert spool.keep(_finish("web3").arguments())
    assert [json.loads(line)[3] for line in path.read_text().splitlines()] == ["web1", "web3"]
    spool.strike()
    spool.strike()
