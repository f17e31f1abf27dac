"""Runs whose plan no worker can open: told once, and gone when they are cancelled."""

from __future__ import annotations

from pathlib import Path

from opsrunner.ledger import keys
from tests.fleet import Fleet
from tests.integration.stack import Stack, wait_until


def test_a_run_that_cannot_be_opened_ends_when_it_is_cancelled(engine_fleet: Fleet, tmp_path: Path) -> None:
    with Stack(tmp_path) as stack:
        stack.inventory(engine_fleet.inventory_yaml(2))
        stack.worker("one")
        assert stack.redis
        client = stack.redis.client
        run = stack.start("- hosts: all\n  gather_facts: false\n  tasks:\n    - command: echo hello\n", "--in", "1h")
        client.set(keys.plan(run), b"of another version")
        client.zadd(keys.PLANNED, {run: 0})
        wait_until(lambda: client.hexists(keys.run(run), "told:one"), 60, "the worker says that it cannot open it")
        assert client.sismember(keys.OPEN, run)

        assert "cancelled" in stack.opsrunner("cancel", run, code=0).stdout
        shown = stack.opsrunner("show", run, code=0).stdout
        assert "its plan could not be opened" in shown
        assert "2 not reached" in shown
        assert not client.sismember(keys.OPEN, run)
        assert client.ttl(keys.run(run)) > 0
