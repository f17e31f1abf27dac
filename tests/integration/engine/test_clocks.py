"""Redis' clock counts: nodes and desks whose own clocks are wrong, or are set while a run goes on."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import Fleet, free_port
from tests.integration.engine.marks import Marks
from tests.integration.stack import Stack, statuses, wait_until

HOUR, YEAR = 3600.0, 400 * 86400.0
#: Found by Python at its start: the process's clock is off by what the file says at that moment.
SITECUSTOMIZE = """
import datetime, os, time
file, real = os.environ["CLOCK_OFFSET"], time.time
def shifted():
    with open(file) as text:
        return real() + float(text.read() or 0)
class Shifted(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(shifted(), tz)
gmtime, localtime = time.gmtime, time.localtime
time.time = shifted
time.gmtime = lambda seconds=None: gmtime(shifted() if seconds is None else seconds)
time.localtime = lambda seconds=None: localtime(shifted() if seconds is None else seconds)
datetime.datetime = Shifted
"""

SetClock = Callable[[str, float], None]


@pytest.fixture(scope="module")
def clocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file per process that holds how far its clock is off."""
    folder = tmp_path_factory.mktemp("clocks")
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
    return folder


@pytest.fixture(scope="module")
def shared(clocks: Path, tmp_path_factory: pytest.TempPathFactory, engine_fleet: Fleet) -> Iterator[Stack]:
    """Two workers, 400 days ahead and 400 days behind."""
    (clocks / "desk").write_text("0")
    with Stack(tmp_path_factory.mktemp("clocks"), CLOCK_OFFSET=str(clocks / "desk")) as stack:
        stack.environment["PYTHONPATH"] = f"{clocks}:{stack.environment['PYTHONPATH']}"
        stack.inventory(
            engine_fleet.inventory_yaml(8)
            + f"away:\n  hosts:\n    gone: {{ansible_host: 127.0.0.1, ansible_port: {free_port()}}}\n"
        )
        for name, offset in (("one", YEAR), ("two", -YEAR)):
            (clocks / name).write_text(str(offset))
            stack.environment["CLOCK_OFFSET"] = str(clocks / name)
            stack.worker(name)
        stack.environment["CLOCK_OFFSET"] = str(clocks / "desk")
        yield stack


@pytest.fixture
def stack(shared: Stack, set_clock: SetClock) -> Stack:
    for name, offset in (("one", YEAR), ("two", -YEAR), ("desk", 0.0)):
        set_clock(name, offset)
    return shared


@pytest.fixture
def set_clock(clocks: Path) -> SetClock:
    def put(name: str, offset: float) -> None:
        draft = clocks / f"{name}.new"
        draft.write_text(str(offset))
        draft.replace(clocks / name)

    return put


def events(stack: Stack, run: str, kind: str) -> list[dict[str, Any]]:
    said = stack.opsrunner("watch", run, "--output", "jsonl", code=None).stdout
    return [event for event in map(json.loads, said.splitlines()) if event["kind"] == kind]


def terminal_times(stack: Stack, run: str, step: int) -> list[tuple[float, float]]:
    """When each host began and ended the step, as the ledger has it."""
    assert stack.redis
    states = stack.redis.client.hvals(f"opsrunner:run:{run}:step:{step}")
    return [(float(began), float(ended)) for _, _, _, began, ended, _ in (s.decode().split("|") for s in states)]


def test_runs_come_in_their_order_and_their_times_are_right(stack: Stack, marks: Marks, set_clock: SetClock) -> None:
    began = time.time()
    runs = []
    for offset in (YEAR, -YEAR, HOUR, -HOUR):
        set_clock("desk", offset)
        run = stack.start(marks.play(marks.task(f"s{len(runs)}", "sleep 1")))
        stack.ending(run)
        runs.append(run)
    listed = json.loads(stack.opsrunner("runs", "--output", "json").stdout)
    assert [one["run"] for one in listed] == runs[::-1] == sorted(runs, reverse=True)
    for one in listed:
        assert began <= one["created"] <= one["started"] <= one["finished"] <= time.time()
        assert 1 <= one["finished"] - one["started"] < 20
        times = terminal_times(stack, one["run"], 0)
        assert len(times) == 8
        # As of a beat, whose answer takes its time.
        assert all(one["started"] - 0.5 < begun < ended < one["finished"] + 0.5 for begun, ended in times)
        assert all(0.9 < ended - begun < 20 for begun, ended in times)
    assert {event["worker"] for event in events(stack, runs[0], "outcome")} == {"one", "two"}
    assert stack.opsrunner("show", "last").stdout.splitlines()[0].startswith(f"run {runs[-1]}")
    assert marks.repeated() == {}


def test_clocks_that_are_set_during_a_run_change_nothing(stack: Stack, marks: Marks, set_clock: SetClock) -> None:
    run = stack.start(marks.play(marks.task("long", "sleep 2.5"), marks.task("after"), hosts="fleet"))
    wait_until(lambda: len(marks.of("long")) == 8, 30, "every host at work")
    for offset in (HOUR, -YEAR, YEAR):
        for name in ("one", "two", "desk"):
            set_clock(name, offset)
        time.sleep(0.4)
    document = stack.ending(run)
    assert list(statuses(document, "long").values()) == list(statuses(document, "after").values()) == ["changed"] * 8
    [long] = [task for play in document["plays"] for task in play["tasks"] if task["name"] == "long"]
    assert {result["delta"].rpartition(":")[0] for result in long["hosts"].values()} == {"0:00"}
    assert all(2.5 <= float(result["delta"].rpartition(":")[2]) < 10 for result in long["hosts"].values())
    assert all(2.4 < ended - begun < 20 for begun, ended in terminal_times(stack, run, 0))
    assert marks.repeated() == {}


def test_deadlines_come_neither_early_nor_late(stack: Stack, marks: Marks, set_clock: SetClock) -> None:
    """Waiting for a lock, parking, what is told of a run that goes on, and how long runs are kept."""
    assert stack.redis
    client = stack.redis.client
    kept = stack.start(marks.play(marks.task("kept"), hosts="h0005"))
    stack.ending(kept)
    parked = stack.start("- hosts: away\n  gather_facts: false\n  tasks:\n    - command: 'true'\n", "--park", "1h")
    holder = stack.start(
        marks.play(marks.task("holds", f"while [ ! -e {marks.file}.go ]; do sleep 0.1; done"), hosts="h0001")
    )
    wait_until(lambda: marks.of("holds"), 30, "the run that holds the host")
    began = time.monotonic()
    waiting = stack.start(marks.play(marks.task("waits"), hosts="h0001"), "--lock-timeout", "4s")
    wait_until(lambda: client.zcard(f"opsrunner:run:{waiting}:waiting"), 10, "the run that waits")
    for name in ("one", "two", "desk"):
        set_clock(name, 2 * YEAR)
    assert statuses(stack.ending(waiting, code=2), "waits") == {"h0001": "failed"}
    assert 4 <= time.monotonic() - began < 60
    # An hour has not passed. After five seconds it is tried again, perhaps just now.
    wait_until(lambda: client.hget(f"opsrunner:run:{parked}", "cursor").startswith(b"parked"), 30, "the parked run")
    assert 3500 < float(client.hget(f"opsrunner:run:{parked}", "parked_until")) - time.time() < 3600
    for offset in (HOUR, -HOUR):
        set_clock("desk", offset)
        told_seconds(stack, holder)
    Path(f"{marks.file}.go").touch()
    stack.ending(holder)
    stack.opsrunner("cancel", parked)
    stack.ending(parked, code=99)
    assert {kept, parked, holder, waiting} <= {
        one["run"] for one in json.loads(stack.opsrunner("runs", "--output", "json").stdout)
    }
    for run in (kept, parked, holder, waiting):
        assert 29 * 86400 < client.ttl(f"opsrunner:run:{run}") <= 30 * 86400


def told_seconds(stack: Stack, run: str) -> None:
    """A run and workers of some seconds ago are told to be that old."""
    [row] = [line for line in stack.opsrunner("runs").stdout.splitlines() if line.startswith(run)]
    for line in (row, stack.opsrunner("show", run).stdout.splitlines()[1]):
        assert re.search(r" \d+(\.\d+)? s( |$)", line), line
    ages = [line.split()[-1].partition("m")[0] for line in stack.opsrunner("workers").stdout.splitlines()[1:]]
    assert len(ages) == 2 and all(0 <= int(minutes) < 10 for minutes in ages)
