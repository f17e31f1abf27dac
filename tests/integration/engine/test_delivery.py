"""Messages that come twice, late, to the wrong worker, or make no sense: every host-step is done exactly once."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from tests.fleet import Fleet
from tests.integration.engine.marks import Marks
from tests.integration.stack import Stack, statuses, wait_until

QUEUES = ("opsrunner", "opsrunner.one", "opsrunner.two")
#: What kombu's name of a list ends with that holds a run's own messages, which are of the highest priority.
FIRST = "\x06\x169"
#: Copies of one message at once.
FLOOD = 50


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, engine_fleet: Fleet) -> Iterator[Stack]:
    # Copies are put into the lists of Redis.
    with Stack(
        tmp_path_factory.mktemp("delivery"), broker="redis", OPSRUNNER_LEASE="4", OPSRUNNER_HEARTBEAT="1"
    ) as stack:
        stack.inventory(engine_fleet.inventory_yaml(18))
        yield stack


@pytest.fixture
def stack(shared: Stack) -> Stack:
    shared.revive("one", "two")
    return shared


class Copies:
    """Sends what workers send each other, once more."""

    def __init__(self, stack: Stack) -> None:
        assert stack.redis
        self.redis = stack.redis.client
        self._app = Celery(broker=stack.redis.url)

    def send(self, task: str, *arguments: object, queue: str = "opsrunner", **named: object) -> None:
        self._app.send_task(f"opsrunner.{task}", arguments, named, queue=queue, priority=9, ignore_result=True)

    def of_everything(self, run: str, cursors: set[str]) -> None:
        """Every shard of every epoch with every cursor, to every queue; every stage's end; the bell."""
        epochs = int(self.redis.hget(f"opsrunner:run:{run}", "epoch") or 0)
        for cursor in cursors:
            for epoch in range(epochs + 2):
                for number in range(2):
                    for queue in QUEUES:
                        self.send("run_shard", run, cursor, epoch, number, queue=queue)
            self.send("finish_stage", run, cursor)
        self.redis.rpush("opsrunner:bell", run, run, "261121-000000-none")

    def cursor(self, run: str) -> str:
        return (self.redis.hget(f"opsrunner:run:{run}", "cursor") or b"").decode()


def log(stack: Stack, name: str) -> str:
    return (stack.folder / f"{name}.log").read_text()


def emptied(copies: Copies) -> bool:
    return not any(copies.redis.llen(queue + priority) for queue in QUEUES for priority in ("", FIRST))


def test_copies_of_every_message_before_while_and_after(stack: Stack, tmp_path: Path) -> None:
    kinds = {"linear": "", "free": "  strategy: free\n", "serial": "  serial: 3\n"}
    written = {kind: Marks(tmp_path / kind) for kind in kinds}
    copies = Copies(stack)
    copies.send("run_shard", "261121-000000-none", "0.0.0", 1, 0)
    runs = {}
    for number, (kind, keywords) in enumerate(kinds.items()):
        tasks = [written[kind].task(f"s{step}", "sleep 0.5") for step in range(3)]
        once = tasks[1].replace("shell:", "run_once: true\n      shell:") if kind == "linear" else tasks[1]
        text = written[kind].play(
            tasks[0], once, tasks[2], hosts=f"fleet[{6 * number}:{6 * number + 5}]", keywords=keywords
        )
        runs[kind] = stack.start(text)
    seen: dict[str, set[str]] = {run: {"0.0.0", "0.0.t0"} for run in runs.values()}
    over = threading.Event()

    def pester() -> None:
        while not over.wait(0.1):
            for run, cursors in seen.items():
                cursors.add(copies.cursor(run))
                copies.of_everything(run, cursors - {"", "new"})

    pesterer = threading.Thread(target=pester)
    pesterer.start()
    try:
        documents = {kind: stack.ending(run) for kind, run in runs.items()}
    finally:
        over.set()
        pesterer.join()
    for run, cursors in seen.items():
        copies.of_everything(run, cursors - {"", "new"})
    wait_until(lambda: emptied(copies), 60, "every copy to be consumed")
    for kind, document in documents.items():
        done = [Counter(statuses(document, f"s{step}").values()) for step in range(3)]
        assert done == [{"changed": 6}, {"changed": 1 if kind == "linear" else 6}, {"changed": 6}], kind
        assert written[kind].repeated() == {}, kind
        assert len(written[kind].lines()) == (13 if kind == "linear" else 18), kind
    for name in ("one", "two"):
        assert "Traceback" not in log(stack, name)


def test_a_flood_of_the_very_messages(stack: Stack, marks: Marks) -> None:
    """What Celery sent to a worker that never reads it, chord and all, many times to those who do."""
    copies = Copies(stack)
    two = json.loads(copies.redis.get("opsrunner:worker:two"))
    ghost = {**two, "name": "ghost", "boot": "ghost", "queue": "opsrunner.ghost"}
    copies.redis.set("opsrunner:worker:ghost", json.dumps(ghost), ex=60)
    copies.redis.zadd("opsrunner:workers", {"ghost": 1})
    run = stack.start(marks.play(marks.task("first", "sleep 0.3"), marks.task("second")))
    wait_until(lambda: copies.redis.llen(f"opsrunner.ghost{FIRST}"), 20, "the message that nobody reads")
    message = copies.redis.lindex(f"opsrunner.ghost{FIRST}", -1)  # the first; more may have been sent since
    assert len(marks.of("first")) < 18
    for queue in QUEUES:
        copies.redis.lpush(queue + FIRST, *[message] * FLOOD)
    copies.redis.delete("opsrunner:worker:ghost")
    document = stack.ending(run)
    assert set(statuses(document, "first").values()) == set(statuses(document, "second").values()) == {"changed"}
    copies.redis.lpush(f"opsrunner.one{FIRST}", *[message] * FLOOD)
    wait_until(lambda: emptied(copies), 30, "every copy to be consumed")
    assert marks.repeated() == {} and len(marks.lines()) == 36


def test_messages_of_earlier_laps_and_of_runs_that_are_gone(stack: Stack, marks: Marks) -> None:
    copies = Copies(stack)
    tasks = [marks.task("first"), marks.task("again", f"test -e {marks.file}.go"), marks.task("slow", "sleep 60")]
    run = stack.start(marks.play(*tasks, hosts="fleet[0:3]"))
    stack.ending(run, code=2)
    Path(f"{marks.file}.go").touch()
    resumed = stack.popen("resume", run)
    try:
        wait_until(lambda: len(marks.of("slow")) == 4, 30, "every host at work in the second lap")
        copies.of_everything(run, {"0.0.0", "0.0.1", "0.0.2"})
        wait_until(lambda: emptied(copies), 30, "every copy to be consumed")
        # A copy of the first lap must not come between the run and those who watch over it.
        began = time.monotonic()
        stack.opsrunner("cancel", run)
        resumed.communicate(timeout=50)
        assert time.monotonic() - began < 40, "what runs is killed"
    finally:
        resumed.kill()
        resumed.communicate()
    assert Counter(marks.lines()) == Counter(
        [f"{name} {host}" for name in ("first", "again", "again", "slow") for host in marks.of("slow")]
    )
    before = marks.lines()
    copies.of_everything(run, {"0.0.0", "0.0.1", "0.0.2"})
    for key in copies.redis.scan_iter(f"opsrunner:run:{run}*"):
        if b":shards:" not in key:
            copies.redis.delete(key)
    copies.redis.sadd("opsrunner:open", run, b"\xff")
    copies.of_everything(run, {"0.0.0", "0.0.1", "0.0.2"})
    wait_until(lambda: emptied(copies), 30, "every copy to be consumed")
    wait_until(lambda: not copies.redis.sismember("opsrunner:open", run), 15, "the run taken off the list")
    copies.redis.srem("opsrunner:open", b"\xff")
    assert marks.lines() == before
    for name in ("one", "two"):
        assert "Traceback" not in log(stack, name)


def test_the_end_of_a_stage_that_celery_never_tells_of(stack: Stack, marks: Marks) -> None:
    copies = Copies(stack)
    run = stack.start(marks.play(marks.task("first", "sleep 1.5"), marks.task("second"), hosts="fleet[0:5]"))
    wait_until(lambda: len(marks.of("first")) == 6, 30, "every host at work")
    forget_results(copies)
    began = time.monotonic()
    stack.ending(run)
    assert time.monotonic() - began < 40
    assert marks.repeated() == {} and len(marks.lines()) == 12


def test_a_shard_that_expired_is_sent_anew(stack: Stack, marks: Marks) -> None:
    copies = Copies(stack)
    records = {name: json.loads(copies.redis.get(f"opsrunner:worker:{name}")) for name in ("one", "two")}
    boots = {record["boot"].encode() for record in records.values()}
    wait_until(lambda: copies.redis.get("opsrunner:leader") in boots, 60, "one of them to lead")
    leader = copies.redis.get("opsrunner:leader")
    [other] = [name for name, record in records.items() if record["boot"].encode() != leader]
    stack.workers[other].send_signal(signal.SIGSTOP)
    try:
        run = stack.start(marks.play(marks.task("only")))
        wait_until(lambda: copies.redis.delete(f"opsrunner:run:{run}:shards:1"), 10, "the shards")
    finally:
        stack.workers[other].send_signal(signal.SIGCONT)
    document = stack.ending(run)
    assert list(statuses(document, "only").values()) == ["changed"] * 18
    assert marks.repeated() == {} and len(marks.lines()) == 18


def forget_results(copies: Copies) -> None:
    """What Celery keeps to know when a chord is through."""
    found = [key for pattern in ("celery-task-meta-*", "*.j", "*.t", "*.s") for key in copies.redis.scan_iter(pattern)]
    assert found
    copies.redis.delete(*found)


def test_garbage_is_dropped_in_one_line_each(stack: Stack, marks: Marks) -> None:
    copies = Copies(stack)
    told = len(log(stack, "one"))
    for arguments in ((), ("a", "b", "c", "d"), (None, {}, [], 1), ("a", "0.0.0", 1)):
        copies.send("run_shard", *arguments, queue="opsrunner.one")
        copies.send("finish_stage", *arguments, queue="opsrunner.one")
    copies.send("run_shard", "a", "0.0.0", 1, 0, more="than ours", queue="opsrunner.one")
    run = stack.start(marks.play(marks.task("first"), hosts="h0001"))
    stack.ending(run)
    copies.send("run_shard", run, "no cursor", 1, 0, queue="opsrunner.one")
    raw = [b"not json", b"\xff\xfe", b"{}", b"[1]", b"null", b'"text"', b"1"]
    properties = {"delivery_tag": "x", "delivery_info": {"exchange": "", "routing_key": "x"}, "body_encoding": "base64"}
    message = {"body": "%%%", "headers": {"task": "opsrunner.run_shard", "id": "x"}, "properties": properties}
    raw += [json.dumps(message).encode(), json.dumps({**message, "properties": {}}).encode()]
    for text in raw:
        copies.redis.lpush("opsrunner.one", text)
    copies.redis.rpush("opsrunner:bell", b"\xff", b"", b"no run", run)
    wait_until(lambda: emptied(copies) and not copies.redis.llen("opsrunner:bell"), 20, "all of it to be consumed")
    stack.ending(stack.start(marks.play(marks.task("second"))))
    assert stack.workers["one"].poll() is None and len(marks.lines()) == 19
    lines = [line for line in log(stack, "one")[told:].splitlines() if "ERROR" in line]
    assert "Traceback" not in log(stack, "one")[told:]
    assert len([line for line in lines if "none of ours" in line]) == 9
    assert len([line for line in lines if "no task" in line]) == len(raw)
    assert not [key for key in copies.redis.scan_iter("opsrunner:run:*") if b"no run" in key], "nothing is left of it"
