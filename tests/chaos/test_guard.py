"""Guarded steps whose worker dies: the next worker asks the host, and nothing is lost."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opsrunner.engine.guard import attempt_name
from tests.fleet import Fleet
from tests.integration.stack import Stack, statuses, wait_until

HOSTS = 20
ATTEMPTS = Path(f"/var/tmp/opsrunner-{os.getuid()}")


@pytest.fixture
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet.start(tmp_path_factory.mktemp("sshd"))
    yield fleet
    fleet.stop()


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory, fleet: Fleet) -> Iterator[Stack]:
    with Stack(
        tmp_path_factory.mktemp("stack"), OPSRUNNER_LEASE="4", OPSRUNNER_HEARTBEAT="1", OPSRUNNER_GUARD_PATIENCE="5"
    ) as stack:
        stack.inventory(fleet.inventory_yaml(HOSTS))
        stack.worker("one")
        stack.worker("two")
        yield stack


def playbook(folder: Path, seconds: float) -> str:
    step = "echo {{ inventory_hostname }} >> %s/s%d; sleep %s; echo said {{ inventory_hostname }}"
    tasks = "".join(
        f"    - name: s{number}\n      shell: {step % (folder, number, seconds)}\n      register: said{number}\n"
        for number in range(2)
    )
    return f"- hosts: fleet\n  gather_facts: false\n  guard: true\n  tasks:\n{tasks}"


def once_each(stack: Stack, document: dict[str, Any]) -> None:
    for number in range(2):
        done = Counter((stack.folder / f"s{number}").read_text().split())
        told = statuses(document, f"s{number}")
        assert set(told.values()) == {"changed"} and len(told) == HOSTS
        assert done == Counter(told.keys()), "every command ran exactly once"
        for task in document["plays"][0]["tasks"]:
            assert all(result["stdout"] == f"said {host}" for host, result in task["hosts"].items())


def left(run: str) -> list[Path]:
    return list(ATTEMPTS.glob(f"{run}.*"))


def test_a_dead_workers_commands_are_asked_for(stack: Stack) -> None:
    run = stack.start(playbook(stack.folder, 6))
    wait_until(lambda: (stack.folder / "s0").exists(), 20, "the first command")
    time.sleep(1)
    stack.workers["one"].kill()
    stack.workers["one"].wait()
    once_each(stack, stack.ending(run, timeout=90))
    assert not left(run), "the hosts have forgotten it"
    assert stack.redis and not stack.redis.client.exists(f"opsrunner:run:{run}:guarded")


def test_commands_that_ended_while_nobody_looked(stack: Stack) -> None:
    run = stack.start(playbook(stack.folder, 2))
    wait_until(lambda: (stack.folder / "s0").exists(), 20, "the first command")
    for name in ("one", "two"):
        stack.workers[name].kill()
        stack.workers[name].wait()
    time.sleep(4)
    stack.worker("three")
    document = stack.ending(run, timeout=90)
    once_each(stack, document)
    assert not left(run)


def test_a_lost_guarded_step_is_asked_for_by_resume(stack: Stack, fleet: Fleet) -> None:
    """The host stays away for longer than anybody waits: lost, and resume needs no --rerun-lost."""
    run = stack.start(playbook(stack.folder, 3).replace("hosts: fleet", "hosts: fleet[0:1]"))
    begun = stack.folder / "s0"
    wait_until(lambda: begun.exists() and len(begun.read_text().split()) == 2, 20, "the commands of both hosts")
    fleet.stop()
    document = stack.ending(run, 8, timeout=90)
    assert set(statuses(document, "s0").values()) == {"lost"}
    assert left(run)
    fleet.process = Fleet.start(fleet.directory, port=fleet.port).process
    stack.opsrunner("resume", run, timeout=60)
    told = statuses(stack.ending(run, timeout=90), "s0")
    assert set(told.values()) == {"changed"}
    assert sorted((stack.folder / "s0").read_text().split()) == sorted(told)
    assert not left(run)


def test_what_a_dead_worker_did_not_tidy_is_tidied_when_the_run_ends(stack: Stack) -> None:
    run = stack.start(playbook(stack.folder, 3).replace("hosts: fleet", "hosts: fleet[0:1]"))
    wait_until(lambda: (stack.folder / "s1").exists(), 20, "the second step")
    assert stack.redis
    # As if the worker had died after the first step's outcome was stored.
    leftover = ATTEMPTS / f"{attempt_name(run, 0, 'h0001', 0)}.0"
    leftover.mkdir()
    stack.redis.client.sadd(f"opsrunner:run:{run}:guarded", "0|h0001")
    stack.ending(run, timeout=90)
    wait_until(lambda: not left(run), 10, "the directory to go")
    assert not stack.redis.client.exists(f"opsrunner:run:{run}:guarded")
