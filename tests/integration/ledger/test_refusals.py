"""What each transition of the ledger refuses, on a real Redis; what is refused leaves everything as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from opsrunner.ledger import keys
from opsrunner.ledger.records import Outcome
from opsrunner.ledger.store import Store
from opsrunner.ledger.transitions import Budget, Decision, Finish, Move, Readmission, Reopening, Start
from tests.integration.ledger.conftest import BOOT, HOSTS, OTHER, RUN

LEFT = [Move(host, None, "", "", False) for host in HOSTS]


def written(store: Store) -> int:
    """Changes that Redis ever made."""
    changes: int = store.redis.info("persistence")["rdb_changes_since_last_save"]
    return changes


def claim(store: Store, host: str = "web1", token: str = "t1", run_id: str = RUN, **more: Any) -> str:
    return store.claim(run_id, "0.0.0", 0, 0, token, BOOT, [host], **more)[host].verdict


def start(store: Store, host: str = "web1", token: str = "t1", run_id: str = RUN, boot: str = BOOT, **more: Any) -> str:
    answer = store.call(Start(run_id, 0, host, token, boot, "w1", **more).arguments())
    return str(answer[0].decode())


def finish(store: Store, host: str = "web1", token: str = "t1", status: Any = "ok", score: int | None = 1) -> str:
    position = "" if score is None else str(score)
    ended = "" if score is not None else status
    record = Finish(RUN, token, Outcome(0, host, status, {}, None, 1.0, 2.0, "w1"), score, position, ended)
    return str(store.call(record.arguments())[0].decode())


def lost(host: str = "web1") -> Outcome:
    return Outcome(0, host, "lost", {"msg": "gone"}, None, 1.0, 2.0, "w2")


def decision(lap: int = 0, **stands: str) -> Decision:
    return Decision(lap, b"the plan", [], 3, stands, "for web1")


def end(store: Store, run_id: str = RUN, cursor: str = "0.0.0") -> None:
    store.place(run_id, cursor, LEFT)
    assert store.close(run_id, cursor, "failed", 2, "")


def reopen(store: Store, *hosts: Readmission) -> bool:
    finished = (store.redis.hget(keys.run(RUN), "finished") or b"").decode()
    return store.reopen(RUN, Reopening(finished, "on it goes", hosts))


# ---------------------------------------------------------------------- starts
@pytest.mark.parametrize("words", [((), None), (("web1",), None), ((), 0), (("web1",), 0)])
def test_what_is_cancelled_is_neither_claimed_nor_started(store: Store, words: Any) -> None:
    claim(store)
    store.request_cancel(RUN, "me", *words)
    before = written(store)
    assert start(store) == "stop"
    assert claim(store, token="t2") == "stop"
    assert written(store) == before


def test_cancel_of_a_part_spares_the_others(store: Store) -> None:
    claim(store, "web2")
    store.request_cancel(RUN, "me", ["web1"])
    store.request_cancel(RUN, "me", ["web2"], 1)
    assert start(store, "web2") == "go"


def test_a_ledger_that_knows_less_than_a_worker_was_told_lets_it_do_nothing(store: Store) -> None:
    claim(store)
    assert start(store, known=1) == "stop"
    assert claim(store, "web2", known=1) == "stop"
    assert start(store, known=0) == "go"


def test_a_budget_that_is_used_up_lets_nobody_start_until_a_slot_is_free(store: Store) -> None:
    # A zone's name is the user's: it may hold blanks.
    budgets = (Budget(keys.run_slots(RUN), 2), Budget(keys.zone_slots("a b"), 1))
    for host in HOSTS:
        claim(store, host)
    assert start(store, "web1", budgets=budgets) == "go"
    before = written(store)
    assert start(store, "web2", budgets=budgets) == "full"
    assert written(store) == before, "the run's own budget had room, and nothing of it was taken"
    assert start(store, "web1", budgets=budgets) == "go", "its answer may have been lost"
    assert finish(store, "web1") == "stored"
    assert start(store, "web2", budgets=budgets) == "go"
    store.redis.delete(keys.boot(BOOT))
    assert store.reap(RUN, lost("web2"), again=True) == "pending"
    assert not store.redis.exists(keys.zone_slots("a b"), keys.run_slots(RUN), keys.slots(RUN))


def test_a_token_that_is_not_the_claims_changes_nothing(store: Store) -> None:
    claim(store)
    before = written(store)
    assert start(store, token="t2") == finish(store, token="t2") == "fenced"
    assert not store.hand_back(RUN, 0, "web1", "t2")
    assert start(store, "web2") == finish(store, "web2") == "fenced", "there is no claim at all"
    assert written(store) == before


def test_what_was_started_is_neither_given_back_nor_withdrawn_nor_reaped_from_the_living(store: Store) -> None:
    claim(store)
    assert start(store) == "go"
    before = written(store)
    assert not store.hand_back(RUN, 0, "web1", "t1")
    assert not store.withdraw(RUN, 0, Outcome(0, "web1", "cancelled"), "cancelled")
    assert store.reap(RUN, lost(), again=True) == "alive"
    assert claim(store, token="t2") == "taken"
    assert written(store) == before


def test_a_worker_without_a_lease_starts_nothing(store: Store) -> None:
    claim(store)
    store.redis.delete(keys.boot(BOOT))
    before = written(store)
    assert start(store) == "fenced"
    assert claim(store, "web2") == "stop"
    assert written(store) == before


# ---------------------------------------------------------------------- late plays
def test_who_a_late_play_is_for_is_decided_once(store: Store) -> None:
    store.redis.hset(keys.stood(RUN), "web2", "0|>")
    assert store.decide(RUN, "0.0.0", decision(web1="1|0", web2="1|0"))
    assert store.load_plan(RUN) == b"the plan"
    assert store.redis.hmget(keys.run(RUN), "lap", "reached") == [b"1", b"3"]
    assert store.redis.hgetall(keys.stood(RUN)) == {b"web1": b"1|0", b"web2": b"0|>"}
    before = written(store)
    assert not store.decide(RUN, "0.0.0", decision()), "another dispatcher has come to the same"
    assert written(store) == before


def test_additions_are_stored_with_the_outcome_and_once(store: Store) -> None:
    claim(store)
    added = store.seal_value(RUN, {"step": 0, "added": []})
    record = Finish(RUN, "t1", Outcome(0, "web1", "ok", {}, None, 1.0, 2.0, "w1"), 1, "1", additions=added)
    assert [store.call(record.arguments())[0] for _ in range(2)] == [b"stored", b"repeated"]
    assert store.additions(RUN) == [{"step": 0, "added": []}] and store.additions(RUN, 1) == []


# ---------------------------------------------------------------------- cursors
STALE: dict[str, Callable[[Store], Any]] = {
    "move": lambda store: store.move(RUN, "0.0.0", "0.0.1"),
    "enter": lambda store: store.enter(RUN, "new", "0.0.-1", 0, ("batch_started", "{}"), [("web1", 0, "0")]),
    "decide": lambda store: store.decide(RUN, "0.0.0", decision()),
    "place": lambda store: store.place(RUN, "0.0.0", [Move("web1", 1, "1", "stopped", True)]),
    "lock": lambda store: [] if store.lock(RUN, "0.0.0", ["web1"]) == ["web1"] else "took it",
    "release": lambda store: store.release(RUN, "0.0.0", ["web1"]),
    "close": lambda store: store.close(RUN, "0.0.0", "succeeded", 0, ""),
    "unpark": lambda store: store.unpark(RUN, "parked", [Readmission("web1", 0, "0", {0: True})]),
    "begin": lambda store: store.begin(RUN, "p", {"locking": 1}),
    "withdraw": lambda store: store.withdraw(RUN, 0, lost("web1"), "lost"),
}


@pytest.mark.parametrize("name", STALE)
def test_nothing_moves_a_run_that_has_ended(store: Store, name: str) -> None:
    end(store)
    before = written(store)
    assert not STALE[name](store)
    assert written(store) == before


@pytest.mark.parametrize("name", [name for name in STALE if name != "withdraw"])
def test_what_an_earlier_walk_sent_does_not_move_a_run_that_was_resumed(store: Store, name: str) -> None:
    end(store)
    assert reopen(store)
    store.enter(RUN, "new/1", "0.0.0/1", 0, ("batch_started", "{}"), [("web1", 0, "0")])
    store.lock(RUN, "0.0.0/1", ["web1"])
    before = written(store)
    assert not STALE[name](store)
    assert claim(store) == "stop", "and the shards of that walk are not claimed"
    assert written(store) == before


def test_parked_hosts_are_let_in_once(store: Store) -> None:
    claim(store)
    finish(store, status="unreachable", score=None)
    assert store.move(RUN, "0.0.0", "parked")
    again = [Readmission("web1", 0, "0", {0: True})]
    assert store.unpark(RUN, "parked", again)
    assert store.move(RUN, "new/1", "parked/1")
    assert not store.unpark(RUN, "parked", again), "that was the time before"
    assert store.redis.hget(keys.run(RUN), "retries") == b"1"


def test_a_host_that_has_left_is_not_brought_back(store: Store) -> None:
    cancelled = Outcome(0, "web1", "cancelled", {}, None, 1.0, 1.0, "w")
    assert store.withdraw(RUN, 0, cancelled, "cancelled")
    assert store.place(RUN, "0.0.0", [Move(host, 1, "1", "", False) for host in HOSTS])
    assert store.redis.zrange(keys.front(RUN), 0, -1) == [b"web2", b"web3"]


def test_a_run_is_reopened_once(store: Store) -> None:
    assert not reopen(store), "it goes on still"
    end(store)
    finished = store.redis.hget(keys.run(RUN), "finished").decode()
    assert store.reopen(RUN, Reopening(finished, "", ()))
    assert not store.reopen(RUN, Reopening(finished, "", ()))


# ---------------------------------------------------------------------- late news
def lose(store: Store) -> None:
    claim(store)
    start(store)
    store.redis.delete(keys.boot(BOOT))
    assert store.reap(RUN, lost(), again=False) == "lost"


def test_late_news_takes_the_place_of_lost_and_moves_the_stand_with_it(store: Store) -> None:
    lose(store)
    assert store.redis.hget(keys.stood(RUN), "web1") == b"0|0"
    assert finish(store) == "late"
    assert finish(store, status="failed") == "late", "the first word stands"
    assert not store.adopt(RUN, 1, "web1", "0|0", "0|2"), "of that step there is no news"
    assert store.adopt(RUN, 0, "web1", "0|0", "0|2")
    assert store.redis.hget(keys.steps(RUN, 0), "web1").startswith(b"T|ok")
    # Whoever resumes next, after this one died or at the same time, goes on behind the step.
    assert store.redis.hget(keys.stood(RUN), "web1") == b"0|1"
    assert not store.adopt(RUN, 0, "web1", "0|0", "0|2")
    assert finish(store) == "repeated"


@pytest.mark.parametrize(
    ("status", "stood", "after"), [("ok", "0|0", b"0|2"), ("failed", "0|0", b"0|0"), ("ok", "", b"0|0")]
)
def test_where_late_news_puts_a_host(store: Store, status: str, stood: str, after: bytes) -> None:
    """At the end of the play, where it failed, and where it had failed before it was lost elsewhere."""
    lose(store)
    outcome = Outcome(0, "web1", status, {}, None, 1.0, 2.0, "w1")  # type: ignore[arg-type]
    assert store.call(Finish(RUN, "t1", outcome, None, "", "").arguments())[0] == b"late"
    assert store.adopt(RUN, 0, "web1", stood, "0|2")
    assert store.redis.hget(keys.stood(RUN), "web1") == after


def test_late_news_of_a_run_that_was_held_is_kept(store: Store) -> None:
    claim(store)
    start(store)
    front = [(0, lost(host)) for host in HOSTS]
    assert not store.hold(RUN, "0.0.0", 9, "older", front[:2]), "web3 would vanish"
    assert not store.hold(RUN, "0.0.0", 9, "older", [(1, lost(host)) for host in HOSTS]), "they stand elsewhere"
    assert not store.hold(RUN, "0.0.0", 1, "older", front), "it knows as much"
    assert store.hold(RUN, "0.0.0", 9, "older", front)
    assert not store.hold(RUN, "0.0.0", 9, "older", front)
    assert finish(store, token="t2") == "fenced"
    assert finish(store) == "late"


# ---------------------------------------------------------------------- locks
def rings(store: Store) -> list[bytes]:
    found: list[bytes] = store.redis.lrange(keys.BELL, 0, -1)
    store.redis.delete(keys.BELL)
    return found


def test_the_next_in_line_is_rung_for_whoever_stood_before_it(store: Store) -> None:
    store.create_run("gone", {"title": "p"}, [], b"plan", {})
    for run_id, cursor in (("gone", "new"), (RUN, "0.0.0"), (OTHER, "new")):
        store.lock(run_id, cursor, ["web1"])
    store.redis.srem(keys.OPEN, "gone")  # its record was lost
    rings(store)
    store.release(RUN, "0.0.0", ["web1"])
    assert rings(store) == [OTHER.encode()]


def test_runs_take_turns_in_the_order_of_their_tickets(store: Store) -> None:
    assert store.lock(RUN, "0.0.0", ["web1", "web2"]) == []
    assert store.lock(OTHER, "new", ["web2", "web3"]) == ["web2"]
    assert store.lock(RUN, "0.0.0", ["web3"]) == ["web3"]
    rings(store)
    store.release(OTHER, "new", ["web2"])
    assert rings(store) == [], "who only waited wakes nobody"
    end(store, OTHER, "new")
    assert rings(store) == [RUN.encode()]
    assert store.lock(RUN, "0.0.0", ["web2", "web3"]) == []
    end(store)
    assert store.redis.smembers(keys.LOCKS) == set()


def test_claims_ask_for_the_lock(store: Store) -> None:
    store.redis.hset(keys.run(RUN), "locking", 1)
    assert claim(store) == "locked"
    store.lock(OTHER, "new", ["web1"])
    store.lock(RUN, "0.0.0", ["web1"])
    assert claim(store) == "locked"
    assert store.unlock("web1", "me", "so be it") == OTHER
    assert claim(store) == "go"


def test_starts_ask_for_the_lock(store: Store) -> None:
    store.redis.hset(keys.run(RUN), "locking", 1)
    store.lock(RUN, "0.0.0", ["web1"])
    assert claim(store) == "go"
    store.lock(OTHER, "new", ["web1"])
    assert store.unlock("web1", "me", "so be it") == RUN
    assert start(store) == "stop", "another run may be at work there by now"
    assert store.hand_back(RUN, 0, "web1", "t1")
