"""Commands that are ended by a time-out or a cancel: looked for on the host afterwards."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.faults.conftest import World, playbook, results, running_with
from tests.integration.stack import wait_until


@dataclass(frozen=True)
class Case:
    """A task that never ends by itself; WORD is an argument that nobody else's processes have."""

    task: str
    fate: str = "killed"
    #: Whether a process with the word is still there afterwards.
    left: bool = False
    #: Most seconds that it may take, on a busy machine; the sleeps are of hours.
    takes: float = 60.0


CASES = {
    "plain": Case("command: sleep WORD"),
    "pipe": Case("shell: yes | sleep WORD"),
    "root": Case("shell: sleep WORD; echo no\n      become: true"),
    "somebody": Case("shell: sleep WORD; echo no\n      become: true\n      become_user: nobody"),
    "loop": Case("command: sleep {{ item }}\n      loop: ['0.1', 'WORD']"),
    "script": Case("script: waits.sh WORD"),
    # TERM is not heard: KILL comes after ten seconds.
    "stubborn": Case("shell: trap '' TERM; echo deaf; sleep WORD; sleep WORD; sleep WORD", takes=75.0),
    # What is promised is the process group; who makes a session of its own has left it.
    "daemon": Case("shell: setsid sleep WORD & sleep 600", left=True),
    "raw": Case("raw: sleep WORD", "could not be killed (pid unknown)", left=True),
}


def tasks(words: Mapping[str, str], timeout: int) -> str:
    return "".join(
        f"    - name: {name}\n      when: inventory_hostname == '{name}'\n      timeout: {timeout}\n"
        f"      {CASES[name].task.replace('WORD', word)}\n"
        for name, word in words.items()
    )


@pytest.fixture
def words(world: World) -> Iterator[dict[str, str]]:
    """Case → its word: seconds of a sleep, told apart from other test processes by our pid."""
    files = world.stack.folder / "files"
    files.mkdir(exist_ok=True)
    (files / "waits.sh").write_text('#!/bin/sh\necho begun\nsleep "$1" & sleep "$1"\n')
    made = {name: f"7{number}00.{os.getpid()}" for number, name in enumerate(CASES)}
    try:
        yield made
    finally:
        for word in made.values():
            for pid in running_with(word):
                os.kill(pid, signal.SIGKILL)


def check(words: Mapping[str, str], document: dict[str, Any], status: str, said: str) -> None:
    for name, word in words.items():
        case = CASES[name]
        told = results(document, name)[name]
        assert told["status"] == status, name
        assert told["seconds"] < case.takes, name
        shown = told["results"][-1] if name == "loop" and status == "failed" else told
        assert f"{said}: {case.fate}" in shown["msg"], name
        assert bool(running_with(word)) == case.left, name


def test_a_step_past_its_timeout(world: World, words: dict[str, str]) -> None:
    world.hosts({name: {} for name in words})
    document = world.play(tasks(words, timeout=2), code=2, strategy="free")
    check(words, document, "failed", "timed out after 2 s")
    assert results(document, "stubborn")["stubborn"]["stdout"] == "deaf\n"
    assert [item["failed"] for item in results(document, "loop")["loop"]["results"]] == [False, True]


def test_a_cancelled_run(world: World, words: dict[str, str]) -> None:
    del words["stubborn"]  # once is enough to wait for
    world.hosts({name: {} for name in words})
    (world.stack.folder / "play.yml").write_text(playbook(tasks(words, timeout=600), strategy="free"))
    running = world.stack.popen("run", "play.yml", "--output", "json")
    wait_until(lambda: all(running_with(word) for word in words.values()), 30, "all commands to run")
    done = world.stack.opsrunner("cancel", "last")
    for name in words:
        assert f"{name}: cancelled: " in done.stdout or f"{name}: item 2 of 2: cancelled: " in done.stdout
    output, _ = running.communicate(timeout=60)
    assert running.returncode == 99
    document = json.loads(output)
    check(words, document, "cancelled", "cancelled")
    assert [item["item"] for item in results(document, "loop")["loop"]["results"]] == ["0.1"]
