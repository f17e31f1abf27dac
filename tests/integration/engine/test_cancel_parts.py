"""Cancelling one host or one step of a run; the others go on."""

from __future__ import annotations

import subprocess
import uuid
from pathlib import Path

from tests.integration.stack import Stack, statuses, wait_until


def two_steps(mark: Path, word: str, pattern: str = "h0001:h0002:h0003", words: str = "") -> str:
    """The first step waits on every host for a file of its own."""
    return f"""
- hosts: '{pattern}'
  gather_facts: false
{words}  tasks:
    - name: first
      shell: |
        echo {{{{ inventory_hostname }}}} >> {mark}
        while [ ! -e {mark}.{{{{ inventory_hostname }}}} ]; do sleep 0.05; : {word}; done
    - name: second
      shell: echo second {{{{ inventory_hostname }}}} >> {mark}
"""


def began(mark: Path, count: int) -> bool:
    return mark.exists() and len(mark.read_text().split()) == count


def still_running(word: str) -> list[str]:
    return subprocess.run(["pgrep", "-af", word], capture_output=True, text=True, check=False).stdout.splitlines()


def test_one_host_leaves_the_others_go_on(stack: Stack, tmp_path: Path) -> None:
    mark, word = tmp_path / "mark", uuid.uuid4().hex
    run = stack.start(two_steps(mark, word))
    wait_until(lambda: began(mark, 3), 20, "three commands")
    said = stack.opsrunner("cancel", run, "--host", "h0002").stdout
    assert "h0002: cancelled: killed" in said
    assert not still_running("inventory_hostname") and len(still_running(word)) == 2, "h0002's process is gone"
    for host in ("h0001", "h0003"):
        Path(f"{mark}.{host}").touch()
    document = stack.ending(run, 99)
    assert statuses(document, "first") == {"h0001": "changed", "h0002": "cancelled", "h0003": "changed"}
    assert statuses(document, "second") == {"h0001": "changed", "h0003": "changed"}
    assert document["status"] == "failed" and document["stats"]["h0002"]["cancelled"] == 1  # type: ignore[index]


def test_a_host_that_waits_at_the_barrier_is_withdrawn(stack: Stack, tmp_path: Path) -> None:
    mark, word = tmp_path / "mark", uuid.uuid4().hex
    run = stack.start(two_steps(mark, word))
    wait_until(lambda: began(mark, 3), 20, "three commands")
    Path(f"{mark}.h0003").touch()
    wait_until(lambda: len(still_running(word)) == 2, 10, "h0003 at the barrier")
    wait_until(lambda: stack.redis and stack.redis.client.hget(f"opsrunner:run:{run}:pos", "h0003") == b"1", 10, "it")
    said = stack.opsrunner("cancel", run, "--host", "h0003").stdout
    assert "h0003: cancelled before it was sent" in said
    for host in ("h0001", "h0002"):
        Path(f"{mark}.{host}").touch()
    document = stack.ending(run, 99)
    assert statuses(document, "second") == {"h0001": "changed", "h0002": "changed", "h0003": "cancelled"}
    assert "second h0003" not in mark.read_text()


def test_one_step_is_cancelled_on_every_host(stack: Stack, tmp_path: Path) -> None:
    mark, word = tmp_path / "mark", uuid.uuid4().hex
    run = stack.start(two_steps(mark, word))
    wait_until(lambda: began(mark, 3), 20, "three commands")
    said = stack.opsrunner("cancel", run, "--step", "0").stdout
    assert said.count("cancelled: killed") == 3
    assert not still_running(word)
    assert set(statuses(stack.ending(run, 99), "first").values()) == {"cancelled"}


def test_a_step_to_come_is_cancelled_for_one_host(stack: Stack, tmp_path: Path) -> None:
    mark, word = tmp_path / "mark", uuid.uuid4().hex
    run = stack.start(two_steps(mark, word, words="  strategy: free\n"))
    wait_until(lambda: began(mark, 3), 20, "three commands")
    stack.opsrunner("cancel", run, "--host", "h0001", "--step", "1")
    for host in ("h0001", "h0002", "h0003"):
        Path(f"{mark}.{host}").touch()
    document = stack.ending(run, 99)
    assert statuses(document, "second") == {"h0001": "cancelled", "h0002": "changed", "h0003": "changed"}
    assert "second h0001" not in mark.read_text()


def test_a_slip_is_refused(stack: Stack, tmp_path: Path) -> None:
    mark, word = tmp_path / "mark", uuid.uuid4().hex
    run = stack.start(two_steps(mark, word, "h0001"))
    wait_until(lambda: began(mark, 1), 20, "the command")
    assert "did you mean h0001?" in stack.opsrunner("cancel", run, "--host", "h001", code=65).stderr
    assert "no step 7" in stack.opsrunner("cancel", run, "--step", "7", code=65).stderr
    assert still_running(word)
    stack.opsrunner("cancel", run)
    assert not still_running(word)
