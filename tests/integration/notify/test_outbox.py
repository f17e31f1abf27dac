"""The outbox and what is told of a run, on a real Redis without workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from opsrunner.errors import InputError, LedgerDamaged
from opsrunner.ledger import keys
from opsrunner.ledger.client import client_for
from opsrunner.ledger.encoding import encode_terminal
from opsrunner.ledger.reader import Reader
from opsrunner.ledger.records import Outcome, PlayOutline, RunRecord, StepOutline
from opsrunner.ledger.results import encode_result
from opsrunner.ledger.sealing import Sealer
from opsrunner.ledger.store import Store
from opsrunner.notify.facts import facts_of, samples
from opsrunner.notify.model import Notifier, Secret, Webhook
from opsrunner.notify.outbox import ANNOUNCED, Outbox
from opsrunner.notify.watch import Watch
from tests.integration.stack import Redis

KEEP = 86400.0
OPS = Notifier("ops", Webhook(Secret("text", "https://chat.example.com/T0KEN")), on=("start", "success", "recovery"))


@pytest.fixture
def store(server: Redis) -> Iterator[Store]:
    client = client_for(server.url)
    client.flushdb()
    yield Store(client, Sealer(b"k" * 32))
    client.close()


@pytest.fixture
def outbox(store: Store) -> Outbox:
    return Outbox(store.redis, store.sealer)


@pytest.fixture
def watch(store: Store, outbox: Outbox) -> Watch:
    return Watch(outbox, Reader(store.redis), web_url="", kept=KEEP)


def posted(outbox: Outbox, identity: str = "run:end:ops") -> bool:
    return outbox.post(identity, OPS, samples()[0], kept=KEEP)


def alive(store: Store, boot: str) -> None:
    store.redis.set(keys.boot(boot), "1")


def test_one_notification_is_taken_once_and_settled_by_who_took_it(store: Store, outbox: Outbox) -> None:
    alive(store, "b1")
    assert posted(outbox)
    assert not posted(outbox)
    token, taken = outbox.take("b1", "one", 4)
    assert taken == ["run:end:ops"]
    assert outbox.take("b2", "two", 4)[1] == []
    notification, notifier, facts = outbox.opened("run:end:ops")
    assert (notification.state, notification.attempts, notification.worker) == ("sending", 1, "one")
    assert (notifier, facts) == (OPS, samples()[0])
    assert not outbox.settle("run:end:ops", "other", "delivered", "", kept=KEEP)
    assert outbox.settle("run:end:ops", token, "waiting", "later", wait=3600, kept=KEEP)
    assert outbox.take("b1", "one", 4)[1] == []
    (found,) = outbox.listed()
    assert (found.state, found.note) == ("waiting", "later")
    assert found.due is not None
    assert found.due - found.created > 3000
    store.redis.zadd(keys.OUTBOX, {"run:end:ops": 0})
    token, _ = outbox.take("b1", "one", 4)
    assert outbox.settle("run:end:ops", token, "delivered", "HTTP 204", kept=KEEP)
    assert store.redis.ttl(keys.notification("run:end:ops")) > KEEP - 60
    assert not posted(outbox)
    with pytest.raises(LookupError):
        outbox.opened("run:end:ops")
    assert not store.redis.exists(keys.OUTBOX, f"{keys.OUTBOX}:sending")


def test_what_a_dead_process_has_in_hand_is_due_again(store: Store, outbox: Outbox) -> None:
    alive(store, "b1")
    posted(outbox)
    first, _ = outbox.take("b1", "one", 4)
    assert outbox.take("b2", "two", 4)[1] == []
    store.redis.delete(keys.boot("b1"))
    alive(store, "b2")
    second, taken = outbox.take("b2", "two", 4)
    assert taken == ["run:end:ops"]
    assert not outbox.settle("run:end:ops", first, "failed", "late", kept=KEEP)
    assert outbox.settle("run:end:ops", second, "delivered", "", kept=KEEP)


def test_what_was_given_up_can_be_sent_again_by_another_notifier(store: Store, outbox: Outbox) -> None:
    alive(store, "b1")
    posted(outbox)
    mended = Notifier("ops", Webhook(Secret("text", "https://new.example.com/T0KEN")))
    token, _ = outbox.take("b1", "one", 4)
    assert not outbox.retry("run:end:ops", mended, samples()[0]), "it is in somebody's hands"
    assert outbox.settle("run:end:ops", token, "failed", "HTTP 404", kept=KEEP)
    assert store.redis.ttl(keys.notification("run:end:ops")) > 0
    (given_up,) = outbox.undelivered("run")
    _, notifier, facts = outbox.opened(given_up.id)
    assert (notifier, facts) == (OPS, samples()[0])
    assert outbox.retry(given_up.id, mended, facts)
    (found,) = outbox.listed()
    assert (found.state, found.attempts, found.target) == ("waiting", 0, "https://new.example.com/…")
    assert found.since > found.created
    assert store.redis.ttl(keys.notification(given_up.id)) == -1
    token, taken = outbox.take("b1", "one", 4)
    assert (taken, outbox.opened(given_up.id)[1]) == ([given_up.id], mended)
    assert outbox.settle(given_up.id, token, "waiting", "HTTP 503", wait=3600, kept=KEEP)
    assert outbox.retry(given_up.id, mended, facts), "what waits is due at once"
    token, taken = outbox.take("b1", "one", 4)
    assert outbox.settle(given_up.id, token, "delivered", "", kept=KEEP)
    assert not outbox.retry(given_up.id, mended, facts)
    assert not outbox.undelivered()


def test_what_another_version_wrote_is_told(store: Store, outbox: Outbox) -> None:
    posted(outbox)
    sealed = store.sealer.seal(b'{"notifier": {"pager": {}}}', purpose=b"notification:run:end:ops")
    store.redis.hset(keys.notification("run:end:ops"), "sealed", sealed)
    with pytest.raises(LedgerDamaged, match="cannot be read in the ledger"):
        outbox.opened("run:end:ops")


def test_what_is_gone_is_passed_over(store: Store, outbox: Outbox) -> None:
    store.redis.zadd(keys.OUTBOX, {"gone": 0})
    assert outbox.take("b1", "one", 4)[1] == []
    assert not store.redis.exists(keys.OUTBOX)


def test_nothing_lies_in_the_clear_and_another_key_opens_nothing(store: Store, outbox: Outbox) -> None:
    outbox.announce("r", [OPS])
    posted(outbox)
    whole = repr([store.redis.dump(name) for name in store.redis.scan_iter()])
    assert "T0KEN" not in whole
    assert "no such service" not in whole
    other = Outbox(store.redis, Sealer(b"x" * 32))
    with pytest.raises(InputError, match="does not open with this node's key"):
        other.notifiers("r")
    with pytest.raises(InputError, match="does not open with this node's key"):
        other.opened("run:end:ops")


# ------------------------------------------------------------------ runs
def run(store: Store, run_id: str, status: str, at: float, **fields: Any) -> RunRecord:
    """A run of one play that ended a second after it began, unless it is running."""
    step = StepOutline(0, "Restart", "command", "p.yml:1:1")
    header = {"title": "p.yml", "kind": "playbook", "user": "me", "check": 0, **fields}
    store.create_run(run_id, header, [PlayOutline(0, "p", ("web1",), (1,), (step,))], b"", {})
    times = {"created": at, "started": at} | ({} if status == "running" else {"finished": at + 1, "exit_code": 0})
    store.redis.hset(keys.run(run_id), mapping={"status": status, **times})
    store.redis.zadd(keys.RUNS, {run_id: at})
    found = Reader(store.redis).run(run_id)
    assert found is not None
    return found


def test_the_run_before(store: Store) -> None:
    reader = Reader(store.redis)

    def before(last: RunRecord) -> str | None:
        found = reader.previous(last)
        return found.id if found else None

    first = run(store, "a", "failed", 100)
    assert before(first) is None
    for number, fields in enumerate(
        ({"title": "q.yml"}, {"kind": "exec"}, {"check": 1}, {"schedule": "nightly"}, {"schedule": "weekly"})
    ):
        run(store, f"b{number}", "succeeded", 110 + number, **fields)
    run(store, "c", "cancelled", 120)
    run(store, "d", "running", 121)
    assert before(run(store, "e", "succeeded", 130)) == "a"
    assert before(run(store, "f", "succeeded", 131, schedule="nightly", title="other.yml")) == "b3"
    assert before(run(store, "g", "succeeded", 132, check=1)) == "b2"
    assert before(run(store, "h", "succeeded", 133)) == "e"


def test_what_is_watched(store: Store, outbox: Outbox, watch: Watch) -> None:
    def told() -> set[tuple[str, str]]:
        return {(one.run, one.event) for one in outbox.listed()}

    for name in ("r1", "r2", "damaged", "foreign", "never"):
        outbox.announce(name, [OPS])
    run(store, "r0", "failed", 100)
    run(store, "r1", "running", 200)
    run(store, "damaged", "running", 201)
    store.redis.hset(keys.run("damaged"), "started", "noon")
    run(store, "foreign", "succeeded", 202, title="other.yml")
    store.redis.set(keys.notify("foreign"), Sealer(b"x" * 32).seal(b"[]", purpose=b"notify:foreign"))
    watch.look()
    watch.look()
    assert told() == {("r1", "start")}
    store.redis.hset(keys.run("r1"), mapping={"status": "succeeded", "finished": 205, "exit_code": 0})
    run(store, "r2", "succeeded", 300)
    watch.look()
    assert told() == {("r1", "start"), ("r1", "recovery"), ("r2", "success")}
    assert set(outbox.watched()) == {"damaged", "foreign", "never"}
    # Another worker that comes to lead tells nothing again, though the run is watched again.
    store.redis.zadd(keys.NOTIFY, {"r1": 1})
    Watch(outbox, Reader(store.redis), web_url="", kept=KEEP).look()
    assert len(outbox.listed()) == 3
    store.redis.zincrby(keys.NOTIFY, -ANNOUNCED - 60, "never")
    watch.look()
    assert "never" not in outbox.watched()
    assert not store.redis.exists(keys.notify("never"))


def test_a_run_that_was_resumed_is_watched_on(store: Store, outbox: Outbox) -> None:
    outbox.announce("r", [OPS])
    run(store, "r", "failed", 100)
    outbox.leave("r", "99")  # it has ended at another time since
    assert "r" in outbox.watched()
    outbox.leave("r", "101")
    assert "r" not in outbox.watched()


def test_facts_of_a_large_run_stay_small(store: Store) -> None:
    hosts = tuple(f"web{number:03}" for number in range(0, 600, 2))
    step = StepOutline(0, "Restart", "command", "p.yml:1:1")
    header = {"title": "p.yml", "kind": "playbook", "user": "me", "check": 0}
    store.create_run("big", header, [PlayOutline(0, "p", hosts, (len(hosts),), (step,))], b"", {})
    pipeline = store.redis.pipeline()
    for number, host in enumerate(hosts):
        result = {"rc": 1, "msg": f"kind {number % 20}", "stderr": "long\n" * 500 + "x" * 5000}
        outcome = Outcome(0, host, "failed" if number % 3 else "ok", result, None, 1.0, 2.0, "w")
        pipeline.hset(keys.steps("big", 0), host, encode_terminal(outcome))
        pipeline.hset(keys.results("big", 0), host, encode_result(result))
    pipeline.hset(keys.run("big"), mapping={"status": "failed", "started": 1, "finished": 3, "exit_code": 2})
    pipeline.execute()
    reader = Reader(store.redis)
    record = reader.run("big")
    assert record is not None
    facts = facts_of(reader, record, "failure", web_url="https://ops.example.com/")
    assert facts["meaning"] == "200 of 300 hosts failed"
    assert facts["counts"]["failures"] == 200
    assert (len(facts["failures"]), facts["more_failures"], len(facts["recap"])) == (10, 10, 2)
    assert facts["failures"][0]["count"] == 10
    assert facts["recap"][0]["hosts"].endswith(",… (200)")
    assert facts["url"] == "https://ops.example.com/runs/big"
    assert len(repr(facts)) < 20_000
