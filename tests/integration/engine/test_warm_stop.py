"""Workers that are told to stop: what was sent is finished, the rest goes to others, nothing is done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from opsrunner.ledger.following import Ledger
from tests.fleet import Fleet
from tests.integration.engine.marks import Marks
from tests.integration.stack import Stack, statuses, wait_until

#: Seconds within which another worker has begun what a leaving one handed back: sooner than a lease could have ended.
TAKEN_OVER_WITHIN = 6.5


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, engine_fleet: Fleet) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("warm")) as stack:
        yield stack


@pytest.fixture
def stack(shared: Stack, engine_fleet: Fleet) -> Stack:
    """Servers with the workers one and two, new ones in the place of those that a test has stopped."""
    shared.inventory(engine_fleet.inventory_yaml(24))
    shared.revive("one", "two")
    return shared


def events(stack: Stack, run: str, kind: str) -> list[dict[str, Any]]:
    said = stack.opsrunner("watch", run, "--output", "jsonl", code=None).stdout
    return [event for event in map(json.loads, said.splitlines()) if event["kind"] == kind]


def clock(stack: Stack) -> float:
    assert stack.redis
    seconds, micros = stack.redis.client.time()
    return float(seconds + micros / 1e6)


def up(stack: Stack, worker: str) -> float:
    """Seconds for which the worker has been there."""
    records = json.loads(stack.opsrunner("workers", "--json").stdout)
    return clock(stack) - next(float(record["started"]) for record in records if record["name"] == worker)


def listed(stack: Stack) -> dict[str, bool]:
    """Worker → whether it is shown as leaving."""
    lines = stack.opsrunner("workers").stdout.splitlines()[1:]
    return {line.split()[0]: line.endswith("leaving") for line in lines}


def test_what_was_sent_is_finished_and_the_rest_goes_to_the_other(stack: Stack, tmp_path: Path) -> None:
    kinds: dict[str, tuple[str, tuple[str, ...]]] = {
        "linear": ("", ()),
        "free": ("  strategy: free\n", ()),
        "serial": ("  serial: 2\n", ()),
        "few forks": ("", ("--forks", "2")),
    }
    written = {kind: Marks(tmp_path / kind.replace(" ", "-")) for kind in kinds}
    runs = {}
    for number, (kind, (keywords, words)) in enumerate(kinds.items()):
        marks = written[kind]
        tasks = [marks.task("before"), marks.task("long", "sleep 2"), marks.task("after")]
        hosts = f"fleet[{6 * number}:{6 * number + 5}]"
        runs[kind] = stack.start(marks.play(*tasks, hosts=hosts, keywords=keywords), *words)
    leaving = stack.workers["one"]
    wait_until(lambda: any(started_by(stack, run, "one", "long") for run in runs.values()), 30, "the long step")
    told = clock(stack)
    leaving.terminate()
    assert leaving.wait(20) == 0
    for kind, run in runs.items():
        document = stack.ending(run)
        found = {name: Counter(statuses(document, name).values()) for name in ("before", "long", "after")}
        assert list(found.values()) == [{"changed": 6}] * 3, kind
        assert written[kind].repeated() == {}, kind
        begun = events(stack, run, "host_started")
        assert max((event["at"] for event in begun if event["worker"] == "one"), default=0) < told + 1.5, kind
        later = [event["at"] for event in begun if event["at"] > told]
        assert max((after - before for before, after in pairwise([told, *later])), default=0) < TAKEN_OVER_WITHIN, kind


def started_by(stack: Stack, run: str, worker: str, step: str) -> bool:
    """Whether that worker has begun that step on a host."""
    assert stack.redis
    ledger = Ledger(stack.redis.client)
    numbers = {outline.name: outline.number for play in ledger.find(run).plays for outline in play.steps}
    begun = [event.data for event in ledger.events(run) if event.kind == "host_started"]
    return any(one["worker"] == worker and one["step"] == numbers[step] for one in begun)


def test_told_twice_it_is_cut_and_what_it_had_begun_is_lost_at_once(stack: Stack, marks: Marks, tmp_path: Path) -> None:
    # A worker takes nobody for dead until it has had its own lease for as long as leases last.
    wait_until(lambda: up(stack, "two") > 10, 60, "worker two to have been up for a while")
    run = stack.start(marks.play(marks.held("long", tmp_path / "release"), marks.task("after"), hosts="fleet[0:11]"))
    wait_until(lambda: len(marks.of("long")) == 12, 30, "every host at work")
    stack.workers["one"].terminate()
    wait_until(lambda: listed(stack).get("one"), 30, "the worker shown as leaving")
    cut = clock(stack)
    stack.workers["one"].terminate()
    assert stack.workers["one"].wait(20) == 128 + signal.SIGTERM
    (tmp_path / "release").touch()
    document = stack.ending(run, code=8)
    long = statuses(document, "long")
    lost = {host for host, status in long.items() if status == "lost"}
    assert lost and Counter(long.values()) == {"lost": len(lost), "changed": 12 - len(lost)}
    assert set(statuses(document, "after")) == set(long) - lost
    assert marks.repeated() == {}
    settled = {event["host"]: event["at"] for event in events(stack, run, "outcome") if event["status"] == "lost"}
    assert set(settled) == lost and max(settled.values()) < cut + TAKEN_OVER_WITHIN, "nobody waited for a lease to end"


def test_workers_are_replaced_one_by_one_during_a_run(
    stack: Stack, marks: Marks, engine_fleet: Fleet, tmp_path: Path
) -> None:
    stack.inventory(engine_fleet.inventory_yaml(30))
    tasks = [marks.task(f"s{number}", "sleep 1") for number in range(6)]
    tasks.insert(5, marks.held("held", tmp_path / "release"))  # the last step is left to the new ones
    run = stack.start(marks.play(*tasks))
    wait_until(lambda: marks.of("s0"), 30, "the run")
    for old, new in (("one", "three"), ("two", "four")):
        stack.worker(new)
        stack.workers[old].terminate()
    (tmp_path / "release").touch()
    document = stack.ending(run)
    for name in (*(f"s{number}" for number in range(6)), "held"):
        assert Counter(statuses(document, name).values()) == {"changed": 30}
    assert marks.repeated() == {}
    assert {event["worker"] for event in events(stack, run, "host_started")} > {"three", "four"}
    for name in ("one", "two", "three", "four"):
        stack.workers[name].terminate()
    assert {name: stack.workers[name].wait(20) for name in ("one", "two", "three", "four")} == dict.fromkeys(
        ("one", "two", "three", "four"), 0
    )


def test_without_another_worker_the_run_waits_and_says_so(stack: Stack, marks: Marks, tmp_path: Path) -> None:
    stack.worker("lonely", "--zone", "far")
    text = marks.play(marks.held("long", tmp_path / "release"), marks.task("after"), hosts="h0001:h0002")
    run = stack.start(text, "-e", "opsrunner_zone=far")
    wait_until(lambda: len(marks.of("long")) == 2, 30, "both hosts at work")
    stack.workers["lonely"].send_signal(signal.SIGINT)
    wait_until(lambda: listed(stack).get("lonely"), 30, "the worker shown as leaving")
    assert listed(stack) == {"lonely": True, "one": False, "two": False}
    (tmp_path / "release").touch()
    assert stack.workers["lonely"].wait(20) == 0, "^C is no rougher than SIGTERM"
    assert listed(stack) == {"one": False, "two": False}
    wait_until(lambda: "no live worker for h0001, h0002" in said(stack, run), 30, "the run to say so")
    assert marks.of("after") == []
    stack.worker("other", "--zone", "far")
    document = stack.ending(run)
    assert set(statuses(document, "long").values()) == set(statuses(document, "after").values()) == {"changed"}
    assert marks.repeated() == {}
    stack.workers["other"].terminate()
    stack.workers["other"].wait(20)


def said(stack: Stack, run: str) -> str:
    assert stack.redis
    entries = stack.redis.client.xrange(f"opsrunner:run:{run}:events")
    return "\n".join(fields[b"d"].decode() for _, fields in entries if fields[b"k"] == b"notice")


def test_several_processes_are_told_together(stack: Stack, tmp_path: Path) -> None:
    """As on a terminal: ^C goes to the whole foreground process group, and counts once."""
    pairs = {name: supervisor(stack, name) for name in ("stopped", "cut")}
    written = {name: Marks(tmp_path / name) for name in pairs}
    try:
        wait_until(lambda: len([name for name in listed(stack) if "-" in name]) == 4, 30, "the processes")
        runs = {}
        for number, (name, marks) in enumerate(written.items()):
            text = marks.play(marks.held("long", tmp_path / "release"), hosts=f"fleet[{8 * number}:{8 * number + 7}]")
            runs[name] = stack.start(text, "-e", f"opsrunner_zone={name}")
        for marks in written.values():
            wait_until(lambda marks=marks: len(marks.of("long")) == 8, 30, "every host at work")
        os.killpg(pairs["stopped"].pid, signal.SIGINT)
        os.killpg(pairs["cut"].pid, signal.SIGINT)
        wait_until(lambda: sum(listed(stack).get(f"cut-{n}", False) for n in (1, 2)) == 2, 30, "both shown as leaving")
        os.killpg(pairs["cut"].pid, signal.SIGINT)
        assert pairs["cut"].wait(20) == 128 + signal.SIGTERM
        (tmp_path / "release").touch()
        assert pairs["stopped"].wait(20) == 0
        assert set(statuses(stack.ending(runs["stopped"]), "long").values()) == {"changed"}
        assert set(statuses(stack.ending(runs["cut"], code=8), "long").values()) == {"lost"}
        assert {name: marks.repeated() for name, marks in written.items()} == {"stopped": {}, "cut": {}}
    finally:
        for pair in pairs.values():
            pair.terminate()
            pair.wait(20)


def supervisor(stack: Stack, name: str) -> subprocess.Popen[bytes]:
    """Two worker processes under one command, for a zone of their own."""
    return subprocess.Popen(
        [sys.executable, "-m", "opsrunner", "worker", "--name", name, "--zone", name, "--processes", "2"],
        cwd=stack.folder,
        env=stack.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def test_down_leaves_a_run_alone_unless_forced(tmp_path: Path, marks: Marks, engine_fleet: Fleet) -> None:
    with Stack(tmp_path / "embedded", embedded=True) as stack:
        stack.inventory(engine_fleet.inventory_yaml(2))
        run = stack.start(marks.play(marks.held("long", tmp_path / "release"), marks.task("after")))
        wait_until(lambda: len(marks.of("long")) == 2, 30, "both hosts at work")
        refused = stack.opsrunner("down", code=64).stderr
        assert run in refused and "opsrunner down --force" in refused
        down = stack.popen("down", "--force")
        wait_until(lambda: listed(stack).get("local"), 30, "the worker shown as leaving")
        (tmp_path / "release").touch()
        assert "worker  stopped" in down.communicate(timeout=60)[0]
        assert marks.of("after") == []
        # What was sent was finished before the worker ended; the rest is done by the next one.
        stack.opsrunner("up")
        document = stack.ending(run)
        assert set(statuses(document, "long").values()) == set(statuses(document, "after").values()) == {"changed"}
        assert marks.repeated() == {}
