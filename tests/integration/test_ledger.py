"""The ledger's transitions on a real Redis: each atomic, repeatable, fenced."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from opsrunner.ledger import keys
from opsrunner.ledger.expiry import GRACE, forget
from opsrunner.ledger.following import Ledger
from opsrunner.ledger.records import Outcome, PlayOutline, StepOutline
from opsrunner.ledger.sealing import Sealer
from opsrunner.ledger.spool import Spool
from opsrunner.ledger.store import Store
from opsrunner.ledger.transitions import Finish, Move, Start
from opsrunner.ledger.values import pointer
from opsrunner.ledger.writer import APART, Writer
from tests.integration.stack import Redis

RUN, BOOT = "run1", "boot1"
HOSTS = ("web1", "web2", "web3")
BATCH = json.dumps({"play": 0, "batch": 0, "batches": 1, "hosts": HOSTS})


@pytest.fixture
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    with Redis(tmp_path_factory.mktemp("r"), "--appendonly", "no") as server:
        yield server.client


@pytest.fixture
def store(client: redis.Redis) -> Store:
    """A run of one play with two steps, entered by its three hosts, and one live worker."""
    store = Store(client, Sealer(b"k" * 32))
    play = PlayOutline(
        0,
        "play",
        HOSTS,
        (3,),
        (StepOutline(0, "first", "command", "p:1:1"), StepOutline(1, "second", "command", "p:2:1")),
    )
    store.create_run(
        RUN, {"title": "p.yml", "kind": "playbook", "user": "me@here"}, [play], b"the plan", {"d": b"file"}
    )
    client.hset(keys.run(RUN), mapping={"status": "running"})
    client.set(keys.boot(BOOT), "w1")
    assert store.enter(RUN, "new", "0.0.0", 0, ("batch_started", BATCH), [(host, 0, "0") for host in HOSTS])
    return store


def claim(
    store: Store, *hosts: str, token: str = "t1", boot: str = BOOT, cursor: str = "0.0.0", step: int = 0
) -> list[str]:
    claims = store.claim(RUN, cursor, step, step, token, boot, hosts or HOSTS)
    return [claims[host].verdict for host in hosts or HOSTS]


def begin(store: Store, host: str, token: str = "t1", boot: str = BOOT) -> bytes:
    answer: list[bytes] = store.call(Start(RUN, 0, host, token, boot, "w1").arguments())
    return answer[0]


def finish(
    store: Store, host: str, token: str = "t1", status: str = "changed", score: int | None = 1, **more: object
) -> bytes:
    outcome = Outcome(0, host, status, {"rc": 0, "stdout": "hello"}, None, 1.0, 2.0, "w1")  # type: ignore[arg-type]
    record = Finish(RUN, token, outcome, score, "" if score is None else str(score), **more)  # type: ignore[arg-type]
    answer: list[bytes] = store.call(record.arguments())
    return answer[0]


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def test_a_second_delivery_finds_the_claim(store: Store) -> None:
    assert claim(store) == ["go", "go", "go"]
    assert claim(store) == ["go", "go", "go"], "the same delivery may ask again: its answer may have been lost"
    assert claim(store, token="t2") == ["taken", "taken", "taken"]


def test_of_many_at_once_one_gets_each_host(store: Store) -> None:
    with ThreadPoolExecutor(8) as threads:
        verdicts = list(threads.map(lambda n: claim(store, token=f"t{n}"), range(40)))
    for number in range(3):
        assert sorted(verdict[number] for verdict in verdicts) == ["go"] + ["taken"] * 39


def test_nothing_starts_without_its_own_claim(store: Store) -> None:
    assert begin(store, "web1") == b"fenced"
    claim(store, "web1")
    assert begin(store, "web1", token="other") == b"fenced"
    assert begin(store, "web1") == b"go"
    assert begin(store, "web1") == b"go", "the answer may have been lost"


def test_a_finished_host_moves_on_once(store: Store, client: redis.Redis) -> None:
    claim(store, "web1")
    begin(store, "web1")
    assert finish(store, "web1") == b"stored"
    assert finish(store, "web1") == b"repeated"
    assert finish(store, "web1", token="t2") == b"fenced"
    assert client.zscore(keys.front(RUN), "web1") == 1
    assert claim(store, "web1", token="t2") == ["moved"]
    events = [fields[b"k"] for _, fields in client.xrange(keys.events(RUN))]
    assert events == [b"batch_started", b"host_started", b"outcome"]


def test_what_comes_together_is_one_entry_of_the_stream_and_many_events(store: Store, client: redis.Redis) -> None:
    claim(store)
    first = client.xlen(keys.events(RUN))
    starts = [Start(RUN, 0, host, "t1", BOOT, "w1").arguments() for host in HOSTS]
    answers = store.call_many(starts)
    assert [answer[0] for answer in answers] == [b"go"] * 3
    assert len({answer[1] for answer in answers}) == 3, "each has its own sequence number"
    assert [answer[0] for answer in store.call_many([*starts, *starts])] == [b"go"] * 6, "they are told of once"
    assert client.xlen(keys.events(RUN)) == first + 1
    reader = Ledger(client)
    told = [event for event in reader.events(RUN) if event.kind == "host_started"]
    assert [event.data["host"] for event in told] == list(HOSTS)
    for number, event in enumerate(told):
        assert [one.data["host"] for one in reader.events(RUN, after=event.id)] == list(HOSTS[number + 1 :])


def test_one_that_is_fenced_among_many_that_are_alike(store: Store, client: redis.Redis) -> None:
    claim(store)
    starts = [Start(RUN, 0, host, "t1", BOOT, "w1").arguments() for host in HOSTS]
    foreign = Start(RUN, 0, HOSTS[1], "t2", BOOT, "w1").arguments()
    assert [answer[0] for answer in store.call_many([starts[0], foreign, starts[2]])] == [b"go", b"fenced", b"go"]
    outcomes = [Outcome(0, host, "ok", {"rc": 0}, None, 1.0, 2.0, "w1") for host in HOSTS]
    ends = [Finish(RUN, "t1", outcome, 1, "1").arguments() for outcome in outcomes]
    store.call(ends[1])
    assert [answer[0] for answer in store.call_many(ends)] == [b"stored", b"repeated", b"stored"]
    told = [event for event in Ledger(client).events(RUN) if event.kind == "outcome"]
    assert sorted(event.data["host"] for event in told) == sorted(HOSTS), "each is told of once"
    assert all(client.zscore(keys.front(RUN), host) == 1 for host in HOSTS)


def test_one_that_cannot_be_carried_out_keeps_no_other_from_it(store: Store, client: redis.Redis) -> None:
    """Something that is not ours stands where a step's states do."""
    claim(store, "web1")
    client.set(keys.steps(RUN, 1), "not ours")
    good, bad = (Start(RUN, step, "web1", "t1", BOOT, "w1").arguments() for step in (0, 1))
    answers = store.call_many([bad, good, bad])
    assert answers[1][0] == b"go"
    assert all(isinstance(answer, redis.exceptions.ResponseError) for answer in (answers[0], answers[2]))


def test_what_cannot_be_written_keeps_no_other_from_being_written(store: Store, client: redis.Redis) -> None:
    """Something that is not ours stands where a step's results do."""
    claim(store, "web1", "web2")
    client.set(keys.results(RUN, 0), "not ours")
    outcomes = [Outcome(0, host, "ok", {}, None, 1.0, 2.0, "w1") for host in ("web1", "web2")]
    store.call_many([Finish(RUN, "t1", outcome, 1, "1").arguments() for outcome in outcomes])
    assert [client.zscore(keys.front(RUN), host) for host in ("web1", "web2")] == [1, 1]
    told = [event.data["host"] for event in Ledger(client).events(RUN) if event.kind == "outcome"]
    assert told == ["web1", "web2"]


def test_a_batch_that_was_left_cannot_be_claimed(store: Store) -> None:
    assert store.move(RUN, "0.0.0", "0.0.1")
    assert not store.move(RUN, "0.0.0", "0.0.2"), "whoever comes second finds another cursor"
    assert claim(store) == ["stop", "stop", "stop"]


def test_a_worker_without_a_lease_neither_claims_nor_starts(store: Store, client: redis.Redis) -> None:
    assert claim(store, "web1", boot="gone") == ["stop"]
    claim(store, "web2")
    client.delete(keys.boot(BOOT))
    assert begin(store, "web2") == b"fenced"


def test_a_cancelled_run_neither_claims_nor_starts(store: Store) -> None:
    claim(store, "web1")
    store.request_cancel(RUN, "me")
    assert begin(store, "web1") == b"stop"
    assert claim(store, "web2") == ["stop"]


def lost(host: str) -> Outcome:
    return Outcome(0, host, "lost", {"msg": "gone"}, None, 1.0, 2.0, "w2")


def test_reaping_gives_back_what_was_only_claimed_and_loses_what_was_started(store: Store, client: redis.Redis) -> None:
    claim(store, *HOSTS)
    begin(store, "web1")
    begin(store, "web3")
    assert store.reap(RUN, lost("web1"), again=False) == "alive"
    client.delete(keys.boot(BOOT))
    assert store.reap(RUN, lost("web1"), again=False) == "lost"
    assert store.reap(RUN, lost("web1"), again=False) == "none"
    assert store.reap(RUN, lost("web2"), again=False) == "pending"
    assert store.reap(RUN, lost("web3"), again=True) == "pending"
    assert finish(store, "web1") == b"late", "what a worker says that wakes up late is kept beside the loss"
    assert finish(store, "web1") == b"late", "and the answer may have been lost"
    assert finish(store, "web1", token="t9") == b"fenced"
    assert client.hget(keys.steps(RUN, 0), "web1").startswith(b"T|lost")
    assert client.zscore(keys.front(RUN), "web1") is None
    client.set(keys.boot("boot2"), "w2")
    assert claim(store, token="t2", boot="boot2") == ["moved", "go", "go"]


def test_withdrawing_spares_what_runs(store: Store) -> None:
    claim(store, "web1", "web2")
    begin(store, "web1")
    cancelled = [Outcome(0, host, "cancelled", {}, None, 1.0, 1.0, "w") for host in HOSTS]
    assert [store.withdraw(RUN, 0, outcome, "cancelled") for outcome in cancelled] == [False, True, True]


def test_a_run_closes_once(store: Store, client: redis.Redis) -> None:
    assert not store.close(RUN, "0.0.0", "succeeded", 0, ""), "its hosts have something left to do"
    store.place(RUN, "0.0.0", [Move(host, None, "", "", False) for host in HOSTS])
    assert not store.close(RUN, "0.0.1", "succeeded", 0, ""), "it stands elsewhere"
    assert store.close(RUN, "0.0.0", "succeeded", 0, "")
    assert not store.close(RUN, "0.0.0", "failed", 2, "")
    record = Ledger(client).find("last")
    assert (record.status, record.exit_code) == ("succeeded", 0)
    assert claim(store) == ["stop", "stop", "stop"]


def test_the_plan_and_files_cannot_be_read_in_redis(store: Store, client: redis.Redis) -> None:
    assert store.load_plan(RUN) == b"the plan"
    assert store.load_file(RUN, "d") == b"file"
    for key in client.scan_iter("*"):
        kind = client.type(key)
        stored = client.get(key) if kind == b"string" else b"".join(client.hvals(key)) if kind == b"hash" else b""
        assert stored is not None
        assert b"the plan" not in stored


def test_variables_follow_the_host(store: Store) -> None:
    claim(store, "web1")
    given = (("out", pointer(0, "web1")), ("fact", store.seal_value(RUN, {"a": [1]})))
    finish(store, "web1", variables=given)
    version, values = store.host_variables(RUN, "web1")
    assert version == 1
    assert values == {"fact": {"a": [1]}, "out": {"rc": 0, "stdout": "hello", "stdout_lines": ["hello"]}}
    assert store.host_variables(RUN, "web2") == (0, {})


def test_a_run_once_step_shares_its_variables(store: Store) -> None:
    claim(store, "web1")
    finish(store, "web1", variables=(("out", pointer(0, "web1")),), once=True)
    store.share_once(RUN, 0, HOSTS)
    assert store.host_variables(RUN, "web3")[1]["out"]["stdout"] == "hello"


def test_readers_see_outcomes_counts_and_the_stream(store: Store, client: redis.Redis) -> None:
    claim(store)
    finish(store, "web1")
    finish(store, "web2", status="failed", score=None, ended="failed")
    ledger = Ledger(client)
    assert [(o.host, o.status, o.result["stdout"]) for o in ledger.outcomes(RUN)] == [
        ("web1", "changed", "hello"),
        ("web2", "failed", "hello"),
    ]
    stats = ledger.stats(ledger.find(RUN))
    assert stats["web1"]["changed"] == 1
    assert stats["web2"]["failures"] == 1
    assert sum(stats["web3"].values()) == 0
    assert ledger.ended(RUN) == {"web2": "failed"}
    store.place(RUN, "0.0.0", [Move("web3", None, "", "", False), Move("web1", None, "", "", False)])
    store.close(RUN, "0.0.0", "failed", 2, "")
    events = [event for event in ledger.follow(RUN) if event]
    assert [event.kind for event in events] == ["batch_started", "outcome", "outcome", "run_finished"]
    assert events[1].outcome is not None
    assert events[1].outcome.result["stdout_lines"] == ["hello"]
    assert json.dumps(events[-1].data) == '{"status": "failed", "exit_code": 2}'


def test_scripts_come_back_after_the_cache_was_flushed(store: Store, client: redis.Redis) -> None:
    claim(store, "web1")
    client.script_flush()
    assert claim(store, "web2") == ["go"]


def test_the_writer_waits_while_redis_is_paused_and_stores_all(
    threads: ThreadPoolExecutor, store: Store, client: redis.Redis, tmp_path: Path
) -> None:
    claim(store)
    writer = Writer(store, Spool(tmp_path, "redis", BOOT))
    client.execute_command("CLIENT", "PAUSE", "300")
    futures = [threads.submit(writer.call, Start(RUN, 0, host, "t1", BOOT, "w1").arguments()) for host in HOSTS]
    assert [future.result(timeout=10)[0] for future in futures] == [b"go"] * 3
    writer.close()


@pytest.mark.parametrize("at_work", [0, 1000])
def test_round_trips_are_apart_while_more_threads_are_at_work(
    store: Store, client: redis.Redis, tmp_path: Path, at_work: int
) -> None:
    writer = Writer(store, Spool(tmp_path, "redis", BOOT), crowd=lambda: at_work)
    start = Start(RUN, 0, "web1", "t1", BOOT, "w1").arguments()
    writer.call(start)  # loads the scripts
    client.config_resetstat()
    answered = threading.Semaphore(0)
    began = time.monotonic()
    for _ in range(20):
        writer.hand_in(start, lambda _answer: answered.release())
        if at_work:
            time.sleep(APART / 10)
        else:
            assert answered.acquire(timeout=10), "there is nobody to be waited for"
    assert at_work == 0 or all(answered.acquire(timeout=10) for _ in range(20))
    most = 2 + (time.monotonic() - began) / APART
    writer.close()
    round_trips = client.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert round_trips <= most if at_work else round_trips == 20


def test_a_run_that_was_forgotten_before_its_time_was_set_goes_all_the_same(store: Store, client: redis.Redis) -> None:
    store.expire_run(RUN, [1], ["a"], 9000)
    assert client.ttl(keys.run(RUN)) > GRACE
    record = Ledger(client).run(RUN)
    assert record
    forget(client, record)
    store.expire_run(RUN, [1], ["a"], 9000)  # the worker that closes it is late
    assert 0 < client.ttl(keys.run(RUN)) <= GRACE
    assert client.zscore(keys.RUNS, RUN) is None
