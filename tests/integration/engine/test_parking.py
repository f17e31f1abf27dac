"""Unreachable hosts that are kept, and finished when they answer again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.integration.stack import Stack, statuses, wait_until


@pytest.fixture
def away(tmp_path: Path, stack: Stack) -> Iterator[Fleet]:
    """Two more hosts, d0001 and d0002, whose sshd is stopped; started again at the same port by the test."""
    fleet = Fleet.start(tmp_path / "sshd")
    text = fleet.inventory_yaml(2).replace("fleet:", "away:").replace(" h000", " d000")
    (stack.folder / "inventory" / "away.yml").write_text(text)
    fleet.stop()
    yield fleet
    fleet.stop()
    (stack.folder / "inventory" / "away.yml").unlink()


PLAY = """
- hosts: '{pattern}'
  gather_facts: false
{words}  tasks:
    - name: first
      shell: echo first {{{{ inventory_hostname }}}} >> {mark}
      register: said
      notify: again
    - name: second
      shell: echo second {{{{ inventory_hostname }}}} {{{{ said.rc }}}} >> {mark}
  handlers:
    - name: again
      shell: echo handler {{{{ inventory_hostname }}}} >> {mark}
"""


@pytest.mark.parametrize("words", ["", "  serial: 1\n"])
def test_parked_hosts_are_finished_when_they_answer(stack: Stack, away: Fleet, tmp_path: Path, words: str) -> None:
    mark = tmp_path / "mark"
    run = stack.start(PLAY.format(pattern="away:h0001", mark=mark, words=words), "--park", "2m")
    wait_until(lambda: stack.redis and stack.redis.client.hget(f"opsrunner:run:{run}", "cursor") == b"parked", 30, "it")
    assert "handler h0001" in mark.read_text(), "the others are through"
    assert stack.opsrunner("locks").stdout == "no host is locked\n", "a parked host is anybody's"
    away.process = Fleet.start(away.directory, port=away.port).process
    done = stack.opsrunner("watch", run, "--output", "json", timeout=60)
    document = json.loads(done.stdout)
    for task in ("first", "second", "again"):
        assert statuses(document, task) == dict.fromkeys(("d0001", "d0002", "h0001"), "changed")
    lines = mark.read_text().splitlines()
    assert sorted(lines) == sorted(set(lines)) and "second d0002 0" in lines, "nothing twice"


def test_parking_ends(stack: Stack, away: Fleet, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    text = PLAY.format(pattern="away:h0001", mark=mark, words="")
    (stack.folder / "play.yml").write_text(text)
    done = stack.opsrunner("run", "play.yml", "--output", "plain", "--park", "6s", code=4, timeout=60)
    assert "parked: d0001, d0002" in done.stdout
    assert "first h0001" in mark.read_text() and "d0001" not in mark.read_text()


def test_a_parked_run_can_be_cancelled(stack: Stack, away: Fleet, tmp_path: Path) -> None:
    run = stack.start(PLAY.format(pattern="away", mark=tmp_path / "mark", words=""), "--park", "1h")
    wait_until(lambda: stack.redis and stack.redis.client.hget(f"opsrunner:run:{run}", "cursor") == b"parked", 30, "it")
    stack.opsrunner("cancel", run)
    assert stack.opsrunner("watch", run, "--output", "plain", code=99)
