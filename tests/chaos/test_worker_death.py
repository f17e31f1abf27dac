"""Workers die during a run: nothing runs twice, nothing is lost silently, the run ends."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from opsrunner.ledger import keys
from tests.chaos.books import Books, Play
from tests.chaos.scenarios import steps
from tests.fleet import Fleet
from tests.integration.stack import Stack, wait_until

HOSTS = 50
PLAYS = (Play(steps("s", 3)),)


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    fleet = Fleet.start(tmp_path_factory.mktemp("sshd"))
    try:
        with Stack(tmp_path_factory.mktemp("stack")) as stack:
            stack.inventory(fleet.inventory_yaml(HOSTS))
            stack.worker("one")
            stack.worker("two")
            yield stack
    finally:
        fleet.stop()


@pytest.fixture
def books(stack: Stack) -> Books:
    return Books(stack.folder / "books")


def start(stack: Stack, books: Books) -> str:
    """Submit the run and wait for its first command."""
    run = stack.start(books.playbook(PLAYS))
    wait_until(books.begun, 20, "the first command")
    return run


def check_books(stack: Stack, books: Books, run: str, document: dict[str, Any]) -> Counter[str]:
    """The ledger agrees with the hosts' files, and the recap with both; gives how often each outcome was had."""
    assert stack.redis
    found = books.audit(stack.redis.client, run, PLAYS)
    assert not found.faults(), "\n".join(found.faults())
    assert set(found.outcomes) <= {"changed", "lost"}
    assert len(document["stats"]) == HOSTS
    lost = [host for host, counts in document["stats"].items() if counts["lost"]]
    assert all(counts["ok"] == 3 for host, counts in document["stats"].items() if host not in lost)
    return found.outcomes


def kill_at_work(stack: Stack, run: str, name: str) -> None:
    """Kill the worker at a moment when it has begun something, and cannot tell how it ended."""
    assert stack.redis
    client, worker = stack.redis.client, stack.workers[name]
    boot = json.loads(client.get(keys.worker(name)) or b"{}")["boot"]

    def at_work() -> bool:
        states = [state.decode() for number in range(3) for state in client.hvals(keys.steps(run, number))]
        return any(state.startswith("R|") and state.split("|")[2] == boot for state in states)

    def stopped_at_work() -> bool:
        if not at_work():
            return False
        worker.send_signal(signal.SIGSTOP)
        time.sleep(0.05)  # what it has sent to Redis arrives
        if at_work():
            return True
        worker.send_signal(signal.SIGCONT)
        return False

    wait_until(stopped_at_work, 60, f"{name} at work")
    worker.kill()
    worker.wait()


@pytest.mark.parametrize("moment", [0.3, 1.5])
def test_a_killed_worker(stack: Stack, books: Books, moment: float) -> None:
    run = start(stack, books)
    time.sleep(moment)
    kill_at_work(stack, run, "one")
    killed = time.monotonic()
    document = stack.ending(run, None, timeout=90)
    assert time.monotonic() - killed < 40
    totals = check_books(stack, books, run, document)
    assert totals["lost"], "the dead worker had begun something"
    assert document["exit_code"] == 8


def test_every_worker_dies_and_a_new_one_carries_on(stack: Stack, books: Books) -> None:
    run = start(stack, books)
    for name in ("one", "two"):
        stack.workers[name].kill()
        stack.workers[name].wait()
    stack.worker("three")
    check_books(stack, books, run, stack.ending(run, None, timeout=90))


def test_a_paused_worker_sends_nothing_for_what_it_lost(stack: Stack, books: Books) -> None:
    run = start(stack, books)
    os.kill(stack.workers["one"].pid, signal.SIGSTOP)
    document = stack.ending(run, None, timeout=90)
    os.kill(stack.workers["one"].pid, signal.SIGCONT)
    time.sleep(3)
    check_books(stack, books, run, document)


def test_redis_killed_and_back_with_its_file(stack: Stack, books: Books) -> None:
    run = start(stack, books)
    assert stack.redis
    time.sleep(1.2)
    stack.redis.stop(signal.SIGKILL)
    time.sleep(1)
    stack.redis.start()
    check_books(stack, books, run, stack.ending(run, None, timeout=90))
