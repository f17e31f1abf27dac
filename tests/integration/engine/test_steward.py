"""Workers that die: what they had not begun goes to others, what they had is settled, whoever leads."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from opsrunner.engine import lead
from opsrunner.engine.steward import SWEEP
from opsrunner.ledger.following import Ledger
from tests.fleet import Fleet
from tests.integration.engine.marks import Marks
from tests.integration.stack import Stack, statuses, wait_until

LEASE = 4.0
#: Seconds that a busy machine may add to each of these.
BUSY = 10.0


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, engine_fleet: Fleet) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("steward"), OPSRUNNER_LEASE=str(LEASE), OPSRUNNER_HEARTBEAT="1") as stack:
        stack.inventory(engine_fleet.inventory_yaml(12))
        yield stack


@pytest.fixture
def stack(shared: Stack) -> Stack:
    """Servers with the workers one and two, a new one in the place of one that a test has killed."""
    shared.revive("one", "two")
    return shared


def leader(stack: Stack) -> str:
    """The worker that leads, "" while nobody does: as long as there is no work."""
    assert stack.redis
    boot = stack.redis.client.get("opsrunner:leader") or b""
    return (stack.redis.client.get(f"opsrunner:boot:{boot.decode()}") or b"").decode()


def begun(stack: Stack, run: str) -> dict[str, dict[str, float]]:
    """Worker → host → when it began the run's only step there."""
    assert stack.redis
    found: dict[str, dict[str, float]] = {}
    for event in Ledger(stack.redis.client).events(run):
        if event.kind == "host_started":
            found.setdefault(event.data["worker"], {})[event.data["host"]] = event.at
    return found


def kill(stack: Stack, name: str) -> float:
    """Kill the worker at once; when that was, by Redis' clock."""
    assert stack.redis
    stack.workers[name].kill()
    stack.workers[name].wait()
    return Ledger(stack.redis.client).now()


def check(stack: Stack, run: str, marks: Marks, killed: str, at: float) -> None:
    """What the killed worker had begun is lost, everything else was done, once, and in time."""
    long = statuses(stack.ending(run, code=8), "long")
    taken = begun(stack, run)
    lost = set(taken[killed])
    assert Counter(long.values()) == {"lost": len(lost), "changed": 12 - len(lost)}
    assert {host for host, status in long.items() if status == "lost"} == lost
    # What was begun just before the kill may not have reached its host.
    assert marks.repeated() == {} and set(long) - lost <= set(marks.of("long")) <= set(long)
    survivors = [when for worker, hosts in taken.items() if worker != killed for when in hosts.values()]
    within = LEASE + lead.LEASE + SWEEP + BUSY
    times = [at, *sorted(when for when in survivors if when > at)]
    assert len(times) > 1 and max(after - before for before, after in pairwise(times)) < within


def test_the_leader_is_killed(stack: Stack, marks: Marks) -> None:
    # With so few forks most hosts wait: some are claimed by the worker that dies, some by nobody.
    run = stack.start(marks.play(marks.task("long", "sleep 1.5")), "--forks", "4")
    wait_until(lambda: leader(stack) in begun(stack, run), 20, "the leader at work")
    killed = leader(stack)
    at, began = kill(stack, killed), time.monotonic()
    [other] = {"one", "two"} - {killed}
    wait_until(lambda: leader(stack) == other, lead.LEASE + SWEEP + BUSY, "the other worker to lead")
    assert time.monotonic() - began < lead.LEASE + SWEEP + BUSY
    check(stack, run, marks, killed, at)


def test_two_lead_at_once(stack: Stack, marks: Marks) -> None:
    stack.worker("three")
    assert stack.redis
    client, over = stack.redis.client, threading.Event()

    def depose() -> None:
        while not over.wait(0.05):
            client.delete("opsrunner:leader")

    deposer = threading.Thread(target=depose)
    deposer.start()
    try:
        run = stack.start(marks.play(marks.task("long", "sleep 1")), "--forks", "3")
        wait_until(lambda: "three" in begun(stack, run), 20, "worker three at work")
        check(stack, run, marks, "three", kill(stack, "three"))
    finally:
        over.set()
        deposer.join()


def test_jobs_outlive_the_worker_that_began_them(stack: Stack, marks: Marks, tmp_path: Path) -> None:
    variables = f"  vars: {{ansible_async_dir: '{tmp_path}/jobs'}}\n"
    left = marks.task("left", f"until [ -e {tmp_path}/go ]; do sleep .1; done; echo end") + "      async: 60\n"
    waited = marks.task("waited", "sleep 3; echo said") + "      async: 60\n"
    run = stack.start(marks.play(left + "      poll: 0\n", waited, hosts="h0001", keywords=variables))
    wait_until(lambda: marks.of("waited"), 20, "the job that is waited for")
    [killed] = begun(stack, run)
    kill(stack, killed)
    [play] = stack.ending(run)["plays"]
    told = {task["name"]: task["hosts"]["h0001"] for task in play["tasks"]}
    assert (told["left"]["status"], told["left"]["finished"]) == ("changed", False)
    assert (told["waited"]["status"], told["waited"]["stdout"]) == ("changed", "said")
    assert marks.lines() == ["left h0001", "waited h0001"], "each was begun once"
    (tmp_path / "go").touch()
    later = f"- hosts: h0001\n  gather_facts: false\n{variables}  tasks:\n" + "".join(
        f"    - async_status: jid={told['left']['ansible_job_id']} mode={mode}\n"
        "      register: r\n      until: r.erased is defined or r is finished\n      delay: 1\n"
        for mode in ("status", "cleanup")
    )
    [play] = stack.play(later)["plays"]
    assert play["tasks"][0]["hosts"]["h0001"]["stdout"] == "end"
    assert list((tmp_path / "jobs").iterdir()) == []
