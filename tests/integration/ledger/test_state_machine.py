"""The ledger's state machine under a post that delays, repeats and loses, beside a model in plain Python.

The real engine moves real runs on in a real Redis: chance chooses who does what next, which messages come late or
twice, which answers are never seen, which worker loses its lease, and when Redis comes back from an older copy.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from opsrunner.engine.dispatch import advance
from opsrunner.settings import Settings
from tests.integration.ledger.machine import Machine
from tests.integration.ledger.world import ZONE, Worker, compiled, key_file
from tests.integration.stack import Redis

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("s")
    server = Redis(folder / "r", "--appendonly", "no")
    configured = Settings(key_file=str(key_file(folder)))
    staff = [Worker(configured, server.url, name, (ZONE,)) for name in ("w1", "w2", "w3")]
    try:
        yield server, compiled(folder), staff
    finally:
        for worker in staff:
            worker.end()
        server.stop()


@pytest.mark.timeout(1200)  # ten seconds of work, for which a loaded machine may take long
def test_whatever_comes_in_whatever_order(scene: Any) -> None:
    Machine.scene = scene
    profile = settings(
        max_examples=EXAMPLES or 24,
        stateful_step_count=120,
        deadline=None,
        derandomize=not EXAMPLES,
        database=None,
        phases=[Phase.generate],  # what fails is shown as it was found: making it smaller takes many minutes
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    run_state_machine_as_test(Machine, settings=profile)


def test_a_step_that_runs_once_runs_once_in_every_batch(scene: Any) -> None:
    """While the second batch's host is at work, the first batch's outcome does not speak for the second."""
    Machine.scene = scene
    machine = Machine()
    worker, run = machine.world.workers[0], machine.world.model.runs["r1"]
    while not (run.cursor.startswith("0.1.") and run.front and set(run.front.values()) == {4}):
        machine.work(worker, "r1")
    advance(worker, "r1", machine.sender)
    machine.take_shard(worker, machine.world.shards[-1], None)
    job = machine.jobs[-1]
    machine.begin(job, None)
    assert (job.phase, job.step.name) == ("started", "once")
    advance(worker, "r1", machine.sender)
    assert run.front == {"h3": 4, "h4": 4}
    machine.conclude(job, "ok", None)
    advance(worker, "r1", machine.sender)
    assert 4 not in run.front.values(), "now it has spoken for both"
    machine.world.check()
