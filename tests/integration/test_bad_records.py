"""What stands in Redis may be anything: readers say so in words, and a worker goes on with what is sound."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsrunner.cli import main
from tests.integration.stack import Stack
from tests.unit.fuzz.profile import fuzzed

PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - {command: 'echo {{ "x" * 2000 }}', register: said}
    - {command: 'false', ignore_errors: true}
    - {debug: {msg: '{{ said.rc }}'}, loop: [1, 2]}
"""
OUTLINE = b'[{"number":0,"name":"a","hosts":[5],"batches":["x"],"steps":[{}]}]'
OUTLINES = (b"[]", b"{}", b"[1]", b"x", b"[" * 5000, b'[{"number":1}]', OUTLINE)
BAD = [
    *(b"", b"x", b"\xff\xfe", b"T", b"T|ok", b"T|weird||1|2|w", b"T|ok||a|b|w", b"C|", b"R|1", b"-1", b"9" * 400),
    *(b"nan", b"{}", b"[]", b"null", b'{"a":', b"z\0", b"zxyz", b"j{", b"j[]", b"j5", b"j\xff", b"\x01" + b"a" * 40),
    *(b"l", b"l" + bytes(12), b"l" + b"\0\0\0\x03" * 3 + b"j{}abcdef", b"1e999", *map(zlib.compress, OUTLINES)),
]
EVENTS = ("outcome", "output", "step_started", "batch_started", "play_started", "run_finished", "notice", "nothing")
WORDS = [
    *("runs", "runs --output json", "show last", "show RUN -v", "show RUN --output json", "logs RUN", "status"),
    *("logs RUN --host web1", "report RUN --json -", "report RUN --html -", "report RUN --junit -", "diff RUN RUN"),
    *("workers", "route web1", "show RUN:plan", "logs RUN:events", "show \udcff", "show \x1b", "watch RUN"),
    *(
        "runs --limit " + "9" * 30,
        "logs RUN --host web[1-99999999]",
        "cancel RUN --wait 0",
        "logs RUN --step " + "9" * 30,
    ),
]


class Ledger:
    """A run that has ended, whose keys can be damaged and put back."""

    def __init__(self, stack: Stack) -> None:
        assert stack.redis
        self.stack = stack
        self.client = stack.redis.client
        self.run = stack.play(PLAYBOOK)["run"]
        stack.workers["w1"].terminate()
        stack.workers["w1"].wait()
        self._whole = {key: self.client.dump(key) for key in self.client.keys("*")}
        self.keys = sorted(key for key in self._whole if self.run.encode() in key or key == b"opsrunner:runs")

    def mend(self) -> None:
        self.client.flushall()
        for key, value in self._whole.items():
            self.client.restore(key, 0, value)

    def damage(self, chance: Random) -> None:
        """Change one key: its value, its type, or that it is there at all."""
        key, bad, how = chance.choice(self.keys), chance.choice(BAD), chance.random()
        kind = self.client.type(key)
        if how < 0.2:
            self.client.delete(key)
            if how < 0.1:
                chance.choice((lambda: self.client.set(key, bad), lambda: self.client.rpush(key, bad)))()
        elif kind == b"hash":
            self.client.hset(key, chance.choice([*sorted(self.client.hkeys(key)), b"\xff", b"new"]), bad)
        elif kind == b"string":
            self.client.set(key, bad)
        elif kind == b"zset":
            self.client.zadd(key, {bad: chance.choice((0, 1e300))})
        elif kind == b"stream":
            self.client.xadd(key, {b"k": chance.choice(EVENTS), b"d": bad})


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    with Stack(tmp_path_factory.mktemp("records")) as stack:
        stack.worker("w1")
        stack.inventory("all: {vars: {ansible_connection: local}, hosts: {'web[1:3]': }}\n")
        yield Ledger(stack)


@fuzzed(250)
@given(line=st.sampled_from(WORDS), seed=st.integers(0, 2**63), times=st.integers(0, 2))
def test_a_damaged_record_is_told_in_words(
    ledger: Ledger, capfd: pytest.CaptureFixture[str], line: str, seed: int, times: int
) -> None:
    ledger.mend()
    chance = Random(seed)
    for _ in range(times):
        ledger.damage(chance)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ledger.stack.environment.items():
            patch.setenv(name, value)
        patch.chdir(ledger.stack.folder)
        code = main.run(line.replace("RUN", ledger.run).split(" "))
    said = capfd.readouterr()
    # 1 is what `cancel` answers for a run that does not end in time, and `watch` for one that is gone.
    told = "knows nothing of run" in said.err or "has not ended yet" in said.err
    assert code in {0, 2, 64, 65, 69, 99} or (code == 1 and told), said.err
    assert "Traceback" not in said.err
    assert "unexpected error" not in said.err


def _spoil(client: Any, run: str) -> None:
    """Everything that a worker looks at unasked: the bell, the open runs, the workers, messages."""
    for bad in (b"", b"\xff\xfe", b"nobody", b"x" * 1000, b"\n", run.encode()):
        client.rpush("opsrunner:bell", bad)
        client.sadd("opsrunner:open", bad)
    client.set("opsrunner:run:stringy", b"x")
    client.sadd("opsrunner:open", "stringy")
    client.hset("opsrunner:run:half", mapping={"status": "running", "cursor": "x", "created": "nan"})
    client.sadd("opsrunner:open", "half")
    client.set("opsrunner:run:half:plan", b"\x01" + os.urandom(40))
    for name, text in (("broken", b"{"), ("listed", b"[]"), ("odd", b'{"name": 5}')):
        client.zadd("opsrunner:workers", {name: 1})
        client.set(f"opsrunner:worker:{name}", text)
    client.zadd("opsrunner:workers", {b"\xff\xfe": 1})


def test_a_worker_goes_on_with_what_is_sound(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack:
        stack.worker("w1")
        assert stack.redis
        stack.inventory("all: {vars: {ansible_connection: local}, hosts: {'web[1:3]': }}\n")
        ended = stack.play(PLAYBOOK)["run"]
        _spoil(stack.redis.client, ended)
        assert stack.play(PLAYBOOK, timeout=60)["status"] == "succeeded"
        assert stack.workers["w1"].poll() is None
