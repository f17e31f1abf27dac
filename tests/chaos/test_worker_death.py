"""Workers die during a run: nothing runs twice, nothing is lost silently, the run ends."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import Fleet
from tests.integration.stack import Stack, statuses, wait_until

HOSTS = 50
#: How often everything is gone through; `make chaos N=…` says.
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "1"))


@pytest.fixture(params=range(ROUNDS))
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    fleet = Fleet.start(tmp_path_factory.mktemp("sshd"))
    stack = Stack(tmp_path_factory.mktemp("stack"))
    stack.inventory(fleet.inventory_yaml(HOSTS))
    try:
        stack.worker("one")
        stack.worker("two")
        yield stack
    finally:
        stack.close()
        fleet.stop()


def playbook(folder: Path, rerun: str = "never") -> str:
    """Three steps; each appends the host's name to the step's file, then takes a moment."""
    steps = "".join(
        f"    - name: s{n}\n      shell: echo {{{{ inventory_hostname }}}} >> {folder}/s{n}; sleep 1\n"
        f"      rerun: {rerun}\n"
        for n in range(3)
    )
    return f"- hosts: fleet\n  gather_facts: false\n  tasks:\n{steps}"


def check_books(folder: Path, document: dict[str, Any]) -> Counter[str]:
    """The ledger agrees with the hosts' files: good is exactly once, lost is once or never, nobody is missing."""
    totals: Counter[str] = Counter()
    for number in range(3):
        done = Counter((folder / f"s{number}").read_text().split()) if (folder / f"s{number}").exists() else Counter()
        told = statuses(document, f"s{number}")
        assert max(done.values(), default=0) <= 1, f"twice: {[host for host, times in done.items() if times > 1]}"
        assert set(done) <= set(told)
        for host, status in told.items():
            assert status in ("changed", "lost")
            if status == "changed":
                assert done[host] == 1
        totals.update(told.values())
    lost = [host for host, counts in document["stats"].items() if counts["lost"]]
    assert len(document["stats"]) == HOSTS
    assert all(counts["ok"] == 3 for host, counts in document["stats"].items() if host not in lost)
    return totals


def start(stack: Stack, text: str) -> str:
    (stack.folder / "play.yml").write_text(text)
    return stack.opsrunner("run", "play.yml", "--detach").stdout.strip()


def ending(stack: Stack, run: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        stack.opsrunner("watch", run, "--output", "json", code=None, timeout=90).stdout
    )
    return document


@pytest.mark.parametrize("moment", [0.3, 1.5])
def test_a_killed_worker(stack: Stack, moment: float) -> None:
    run = start(stack, playbook(stack.folder))
    wait_until(lambda: (stack.folder / "s0").exists(), 20, "the first command")
    time.sleep(moment)
    stack.workers["one"].kill()
    stack.workers["one"].wait()
    killed = time.monotonic()
    document = ending(stack, run)
    assert time.monotonic() - killed < 40
    totals = check_books(stack.folder, document)
    assert totals["lost"], "the dead worker had begun something"
    assert document["exit_code"] == 8


def test_every_worker_dies_and_a_new_one_carries_on(stack: Stack) -> None:
    run = start(stack, playbook(stack.folder))
    wait_until(lambda: (stack.folder / "s0").exists(), 20, "the first command")
    for name in ("one", "two"):
        stack.workers[name].kill()
        stack.workers[name].wait()
    stack.worker("three")
    document = ending(stack, run)
    check_books(stack.folder, document)


def test_a_paused_worker_sends_nothing_for_what_it_lost(stack: Stack) -> None:
    run = start(stack, playbook(stack.folder))
    wait_until(lambda: (stack.folder / "s0").exists(), 20, "the first command")
    os.kill(stack.workers["one"].pid, signal.SIGSTOP)
    document = ending(stack, run)
    os.kill(stack.workers["one"].pid, signal.SIGCONT)
    time.sleep(3)
    check_books(stack.folder, document)


def test_redis_killed_and_back_with_its_file(stack: Stack) -> None:
    run = start(stack, playbook(stack.folder))
    wait_until(lambda: (stack.folder / "s0").exists(), 20, "the first command")
    assert stack.redis
    time.sleep(1.2)
    stack.redis.stop(signal.SIGKILL)
    time.sleep(1)
    stack.redis.start()
    document = ending(stack, run)
    check_books(stack.folder, document)
