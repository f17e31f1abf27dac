"""Where hosts are let in again, and which of their outcomes are forgotten, on a real Redis."""

from __future__ import annotations

from typing import Any

import pytest

from opsrunner.engine.resume import look, resume
from opsrunner.engine.walk import Stand, readmission
from opsrunner.errors import InputError
from opsrunner.ledger import keys
from opsrunner.ledger.reader import Reader
from opsrunner.ledger.records import Outcome
from opsrunner.ledger.store import Store
from opsrunner.ledger.transitions import Finish, Start
from opsrunner.plan.model import Plan, Play, Step
from tests.integration.ledger.conftest import BOOT, RUN

HOST = "web1"


def plan(**second: Any) -> Plan:
    """One host; a block of two steps with an always part of one, then another play."""
    block, always = ((1, "block"),), ((1, "always"),)
    steps = (
        Step(0, "first", "command", "p:1:1", path=block),  # type: ignore[arg-type]
        Step(1, "second", "command", "p:2:1", path=block, **second),  # type: ignore[arg-type]
        Step(2, "anyway", "command", "p:3:1", path=always),  # type: ignore[arg-type]
    )
    later = (Step(3, "later", "command", "p:4:1"),)
    plays = tuple(
        Play(number, "p", "p:1:1", "all", (HOST,), ((HOST,),), some) for number, some in enumerate((steps, later))
    )
    return Plan("p.yml", "playbook", "/", plays, {})


@pytest.fixture
def entered(store: Store) -> Store:
    """The run of that one host."""
    store.redis.delete(keys.front(RUN), keys.positions(RUN))
    assert store.enter(RUN, "0.0.0", "0.0.t0", 0, ("batch_started", "{}"), [(HOST, 0, "0")])
    return store


def do(store: Store, step: int, status: Any = "changed", score: int | None = None, token: str = "") -> str:
    """The host's step is claimed, started and finished, and the host goes to ``score``."""
    token = token or f"t{step}"
    begin(store, step, token)
    position = "" if score is None else str(score)
    ended = status if status not in ("ok", "changed") and score is None else ""
    outcome = Outcome(step, HOST, status, {}, None, 1.0, 2.0, "w1")
    return str(store.call(Finish(RUN, token, outcome, score, position, ended).arguments())[0].decode())


def begin(store: Store, step: int, token: str, guarded: bool = False) -> None:
    store.claim(RUN, "0.0.t0", step, step, token, BOOT, [HOST])
    store.call(Start(RUN, step, HOST, token, BOOT, "w1", guarded=guarded).arguments())


def lose(store: Store, step: int, guarded: bool = False) -> None:
    """The worker dies in the midst of the step, for good; and the run ends."""
    begin(store, step, f"t{step}", guarded)
    store.redis.delete(keys.boot(BOOT))
    outcome = Outcome(step, HOST, "lost", {}, None, 1.0, 2.0, "w1")
    # What the host itself guards is asked of it again; here nobody is left to ask.
    state = store.redis.hget(keys.steps(RUN, step), HOST).decode()
    store.redis.hset(keys.steps(RUN, step), HOST, state.removesuffix("g"))
    assert store.reap(RUN, outcome, again=False) == "lost"
    close(store)


def close(store: Store) -> None:
    assert store.close(RUN, "0.0.t0", "failed", 8, "")


def looked(store: Store, of: Plan, **more: Any) -> Any:
    reader = Reader(store.redis)
    record = reader.run(RUN)
    assert record
    return look(reader, of, record, **{"hosts": None, "step": None, "rerun_lost": False, **more})


def forgotten(store: Store, of: Plan, **more: Any) -> dict[int, bool]:
    found = readmission(Reader(store.redis), of, RUN, HOST, **more)
    assert found
    return dict(found.steps)


def test_everything_from_the_stand_on_is_forgotten(entered: Store) -> None:
    do(entered, 0, score=1)
    do(entered, 1, "failed", score=2)
    assert do(entered, 2) == "stored"
    assert entered.redis.hget(keys.stood(RUN), HOST) == b"0|1"
    assert forgotten(entered, plan()) == {1: True, 2: True}
    assert forgotten(entered, plan(), ask_guard=True) == {1: False, 2: True}
    assert forgotten(entered, plan(), stand=Stand.decode("0|0")) == {0: True, 1: True, 2: True}
    assert forgotten(entered, plan(), stand=Stand.decode("0|3")) == {}


def test_nothing_is_known_of_a_host_that_never_went_wrong(entered: Store) -> None:
    do(entered, 0, score=1)
    assert readmission(Reader(entered.redis), plan(), RUN, HOST) is None
    assert readmission(Reader(entered.redis), plan(), RUN, HOST, Stand.decode("0|>")) is None


def test_a_lost_step_is_left_alone_unless_told_otherwise(entered: Store) -> None:
    do(entered, 0, score=1)
    lose(entered, 1)
    assert looked(entered, plan()).left == {HOST: "lost at step 1 'second': pass --rerun-lost to run it again"}
    assert looked(entered, plan(), rerun_lost=True).goes_on == {HOST: (0, 1)}
    assert looked(entered, plan(rerun="safe")).goes_on == {HOST: (0, 1)}
    # From a step before it the host would come through it again.
    assert looked(entered, plan(), step=0).left.keys() == {HOST}
    assert looked(entered, plan(), step=2).goes_on == {HOST: (0, 2)}


def test_a_guarded_step_asks_the_host(entered: Store) -> None:
    do(entered, 0, score=1)
    lose(entered, 1, guarded=True)
    found = looked(entered, plan())
    assert (found.goes_on, found.guarded) == ({HOST: (0, 1)}, {HOST})


def test_a_step_that_was_lost_behind_a_failure_is_not_run_again_unasked(entered: Store) -> None:
    do(entered, 0, score=1)
    do(entered, 1, "failed", score=2)
    lose(entered, 2)
    assert looked(entered, plan()).left == {HOST: "lost at step 2 'anyway': pass --rerun-lost to run it again"}
    assert looked(entered, plan(), rerun_lost=True).goes_on == {HOST: (0, 1)}


def lose_and_hear_late(store: Store, status: str = "changed", score: int | None = 2) -> None:
    do(store, 0, score=1)
    lose(store, 1)
    assert do(store, 1, status, score, token="t1") == "late"


def test_late_news_lets_the_host_go_on_behind_the_step(entered: Store) -> None:
    lose_and_hear_late(entered)
    found = looked(entered, plan())
    resume(entered, RUN, plan(), found, by="me", files={}, revised=False)
    assert entered.redis.hget(keys.stood(RUN), HOST) == b"0|2"
    assert entered.redis.hget(keys.steps(RUN, 1), HOST).startswith(b"T|changed")


@pytest.mark.parametrize("score", [2, None])
def test_late_news_that_was_taken_by_a_resume_that_died_is_not_run_again(entered: Store, score: int | None) -> None:
    lose_and_hear_late(entered, score=score)
    end = "0|2" if score else "1|0"
    found = looked(entered, plan())
    # It dies between taking the news and opening the run.
    entered.adopt(RUN, 1, HOST, "0|1", "0|3")
    again = looked(entered, plan())
    assert f"{again.goes_on[HOST][0]}|{again.goes_on[HOST][1] - 3 * again.goes_on[HOST][0]}" == end
    # Another had looked before that, and comes through.
    resume(entered, RUN, plan(), found, by="me", files={}, revised=False)
    assert entered.redis.hget(keys.steps(RUN, 1), HOST).startswith(b"T|changed")
    with pytest.raises(InputError, match="taken up by somebody else"):
        resume(entered, RUN, plan(), again, by="you", files={}, revised=False)
