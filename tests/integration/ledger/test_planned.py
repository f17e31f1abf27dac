"""Runs that wait for a time of their own: launched once, called off once, too late once."""

from __future__ import annotations

import pytest

from opsrunner.ledger import keys
from opsrunner.ledger.following import Ledger
from opsrunner.ledger.store import Store


def plan(store: Store, run_id: str, *, ahead: float, deadline: float = 60.0) -> None:
    header = {"title": "p", "due": store.now() + ahead, "start_deadline": deadline}
    store.create_run(run_id, header, [], b"plan", {})


def status(store: Store, run_id: str) -> str:
    record = Ledger(store.redis).run(run_id)
    assert record
    return record.status


def test_a_planned_run_is_nobodys_until_it_is_launched(store: Store) -> None:
    plan(store, "later", ahead=1000)
    assert status(store, "later") == "scheduled"
    assert store.planned() == ["later"]
    assert store.planned(store.now()) == []
    assert not store.redis.sismember(keys.OPEN, "later")
    assert not store.begin("later", "p", {"locking": 0})


def test_it_is_launched_once(store: Store) -> None:
    plan(store, "now", ahead=-1)
    bells = store.redis.llen(keys.BELL)
    assert store.launch("now")
    assert not store.launch("now")
    assert not store.call_off("now", "me")
    assert (status(store, "now"), store.planned()) == ("submitted", [])
    assert store.redis.sismember(keys.OPEN, "now")
    assert store.redis.llen(keys.BELL) == bells + 1


def test_it_is_called_off_once_and_then_never_launched(store: Store) -> None:
    plan(store, "never", ahead=-1)
    assert store.call_off("never", "me")
    assert not store.call_off("never", "me")
    assert not store.launch("never")
    record = Ledger(store.redis).run("never")
    assert record
    assert (record.status, record.exit_code, record.reason) == ("cancelled", 99, "cancelled by me")
    assert [event.kind for event in Ledger(store.redis).events("never")] == ["run_finished"]


def test_what_is_launched_too_late_has_failed(store: Store) -> None:
    plan(store, "late", ahead=-61)
    assert not store.launch("late")
    record = Ledger(store.redis).run("late")
    assert record
    assert (record.status, record.exit_code) == ("failed", 69)
    assert record.reason == "no worker was there in time to begin it"
    assert not store.redis.sismember(keys.OPEN, "late")
    store.expire_record(record, 60)
    assert 0 < store.redis.ttl(keys.plan("late")) <= 60


@pytest.mark.parametrize("run_id", ["gone", "run1"])
def test_launching_what_does_not_wait_does_nothing(store: Store, run_id: str) -> None:
    store.redis.zadd(keys.PLANNED, {run_id: 1.0})
    assert not store.launch(run_id)
    assert store.planned() == []
    if run_id == "run1":
        assert status(store, run_id) == "running"
