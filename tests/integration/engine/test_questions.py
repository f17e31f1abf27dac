"""A step asks whoever follows the run: at a terminal, from another one later, and nobody where there is none."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from tests.integration.stack import Stack, statuses

PLAY = """
- hosts: h0001,h0002
  gather_facts: false
  tasks:
    - pause: {prompt: Which way}
      register: way
    - pause: {prompt: The word, echo: false}
      register: word
    - name: told
      assert: {that: "way.user_input == 'left' and word.user_input == 'mellon'"}
      run_once: true
"""


class Typist:
    """One command at a terminal of its own."""

    def __init__(self, stack: Stack, *words: str) -> None:
        self.ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "opsrunner", *words],
            cwd=stack.folder,
            env={**stack.environment, "TERM": "xterm"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),  # which makes it the terminal of ^C
        )
        os.close(theirs)
        self.shown = ""

    def sees(self, text: str) -> None:
        deadline = time.monotonic() + 60
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            try:
                self.shown += os.read(self.ours, 4096).decode(errors="replace")
            except OSError:  # the other end is closed
                raise AssertionError(self.shown) from None

    def types(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def ends(self) -> int:
        try:
            while data := os.read(self.ours, 4096):
                self.shown += data.decode(errors="replace")
        except OSError:
            pass
        return self.process.wait(30)


@contextmanager
def terminal(stack: Stack, *words: str) -> Iterator[Typist]:
    typist = Typist(stack, *words)
    try:
        yield typist
    finally:
        typist.process.kill()
        typist.process.wait()
        os.close(typist.ours)


def test_the_operator_answers_and_another_terminal_goes_on(stack: Stack) -> None:
    assert stack.redis
    (stack.folder / "play.yml").write_text(PLAY)
    with terminal(stack, "run", "play.yml") as first:
        first.sees("Which way:")
        first.types("left\n")
        first.sees("The word:")
        first.types("\x03")
        assert first.ends() == 99
    run = first.shown.split()[1]
    assert "running" in stack.opsrunner("show", run).stdout
    with terminal(stack, "watch", run) as second:
        second.sees("The word:")
        assert "Which way:" not in second.shown
        second.types("mellon\n")
        assert second.ends() == 0
        assert "mellon" not in second.shown
    assert b"mellon" not in dump(stack.redis.client)


def test_each_task_is_asked_for(stack: Stack) -> None:
    tasks = "".join(f"    - name: task {number}\n      command: echo {number}\n" for number in range(4))
    (stack.folder / "play.yml").write_text(f"- hosts: h0001,h0002\n  gather_facts: false\n  tasks:\n{tasks}")
    with terminal(stack, "run", "play.yml", "--step", "--output", "plain") as typist:
        for number, word in enumerate(["y", "", "c"]):
            typist.sees(f"Perform task: task {number} (N)o/(y)es/(c)ontinue:")
            typist.types(f"{word}\n")
        assert typist.ends() == 0
        assert "task 3 (N)o" not in typist.shown
    document = stack.opsrunner("show", typist.shown.split()[1], "--output", "json").stdout
    found = [statuses(json.loads(document), f"task {number}") for number in range(4)]
    assert [set(one.values()) for one in found] == [{"changed"}, {"skipped"}, {"changed"}, {"changed"}]
    assert "there is none" in stack.opsrunner("run", "play.yml", "--step", code=64, stdin="").stderr


def test_where_nobody_can_be_asked_the_run_goes_on(stack: Stack) -> None:
    document = stack.play(PLAY.replace("left", "").replace("mellon", ""))
    assert statuses(document, "told") == {"h0001": "ok"}
    (result,) = document["plays"][0]["tasks"][0]["hosts"].values()
    assert result["warnings"] == ["Not waiting for response to prompt as stdin is not interactive"]


def dump(client: redis.Redis) -> bytes:
    """All that Redis holds, as far as it can be read."""
    parts = []
    for key in client.scan_iter():
        kind = client.type(key)
        reads = {
            b"hash": client.hgetall,
            b"string": client.get,
            b"stream": client.xrange,
            b"list": lambda key: client.lrange(key, 0, -1),
            b"set": client.smembers,
            b"zset": lambda key: client.zrange(key, 0, -1),
        }
        parts.append(repr(reads[kind](key)).encode())
    return b"".join(parts)
