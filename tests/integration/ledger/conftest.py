"""A real Redis for the ledger's tests, and a run in it of one play with three hosts that has entered its batch."""

from __future__ import annotations

import pytest

from opsrunner.ledger import keys
from opsrunner.ledger.records import PlayOutline, StepOutline
from opsrunner.ledger.sealing import Sealer
from opsrunner.ledger.store import Store
from tests.integration.stack import Redis

RUN, OTHER, BOOT = "run1", "run2", "boot1"
HOSTS = ("web1", "web2", "web3")


@pytest.fixture
def store(server: Redis) -> Store:
    """Two runs; the first stands at the first step with all of its hosts. One worker lives."""
    server.client.flushall()
    store = Store(server.client, Sealer(b"k" * 32))
    steps = tuple(StepOutline(number, f"step {number}", "command", f"p:{number}:1") for number in range(2))
    for run_id in (RUN, OTHER):
        store.create_run(run_id, {"title": "p"}, [PlayOutline(0, "play", HOSTS, (3,), steps)], b"plan", {})
        assert store.begin(run_id, "p", {"locking": 0})
    server.client.set(keys.boot(BOOT), "w1")
    assert store.enter(RUN, "new", "0.0.0", 0, ("batch_started", "{}"), [(host, 0, "0") for host in HOSTS])
    return store
