"""``--at`` and ``--in``, and ``max_runtime``: workers see to both, without any beat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsrunner.ledger import keys
from opsrunner.ledger.following import Ledger
from opsrunner.ledger.records import ENDED, RunRecord
from tests.integration.schedule.plays import HOSTS, PLAY
from tests.integration.stack import Stack, wait_until


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path) as stack:
        stack.inventory(HOSTS)
        (tmp_path / "play.yml").write_text(PLAY)
        yield stack


def record(stack: Stack, run_id: str) -> RunRecord:
    assert stack.redis
    found = Ledger(stack.redis.client).run(run_id)
    assert found
    return found


def has_ended(stack: Stack, run_id: str) -> bool:
    return record(stack, run_id).status in ENDED


def test_a_planned_run_outlives_workers_and_redis_and_runs_as_it_was_compiled(stack: Stack) -> None:
    worker = stack.worker("one")
    later = stack.opsrunner("run", "play.yml", "--in", "1h").stdout.strip()
    done = stack.opsrunner("run", "play.yml", "--in", "6s")
    run_id = done.stdout.strip()
    assert f"opsrunner cancel {run_id}" in done.stderr
    assert "at 20" in stack.opsrunner("runs").stdout
    (stack.folder / "play.yml").write_text(PLAY.replace("/marks", "/others"))
    worker.terminate()
    worker.wait(30)
    assert stack.redis
    stack.redis.stop()
    stack.redis.start()
    stack.worker("two")
    wait_until(lambda: has_ended(stack, run_id), 150, "the planned run to end")
    assert record(stack, run_id).status == "succeeded"
    assert sorted((stack.folder / "marks").read_text().split()) == ["here1", "here2"]
    assert record(stack, later).status == "scheduled"
    assert stack.opsrunner("cancel", later).stdout.strip() == f"{later} cancelled"
    assert record(stack, later).status == "cancelled"
    assert stack.redis.client.ttl(keys.plan(later)) > 0  # type: ignore[operator]
    assert "never began" in stack.opsrunner("resume", later, code=65).stderr


def test_without_a_worker_until_its_deadline_it_fails(stack: Stack) -> None:
    done = stack.opsrunner("exec", "all", "--in", "0s", "--start-deadline", "1s", "--", "echo", "hello")
    run_id = done.stdout.strip()
    assert "warning: no live worker" in done.stderr
    due = record(stack, run_id).due
    assert due
    assert stack.redis
    wait_until(lambda: Ledger(stack.redis.client).now() > due + 1, 150, "the deadline")  # type: ignore[union-attr]
    stack.worker("one")
    wait_until(lambda: has_ended(stack, run_id), 150, "it to be given up")
    assert (record(stack, run_id).status, record(stack, run_id).exit_code) == ("failed", 69)


def test_a_run_that_goes_on_for_longer_than_it_may_is_cancelled_and_says_so(stack: Stack) -> None:
    stack.worker("one")
    (stack.folder / "schedules.yml").write_text(
        "- {name: slow, every: 1h, playbook: play.yml, inventory: inventory/, max_runtime: 1s, vars: {pause: 300}}\n"
    )
    run_id = stack.opsrunner("schedule", "run", "slow", "--detach").stdout.strip()
    document = stack.ending(run_id, code=99)
    assert "max_runtime: it went on for more than 1 s" in json.dumps(document)
    assert "max_runtime" in str(record(stack, run_id).reason)


def test_options_of_another_start_are_refused_and_nothing_is_stored(stack: Stack) -> None:
    for words, why in (
        (["--in", "1m", "--output", "json"], "--output has no meaning for a run that begins later"),
        (["--start-deadline", "1m"], "--start-deadline goes with --at or --in"),
    ):
        assert why in stack.opsrunner("run", "play.yml", *words, code=64).stderr
    assert stack.redis
    assert not stack.redis.client.exists(keys.RUNS)
