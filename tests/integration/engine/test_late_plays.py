"""Plays whose hosts the run adds: decided once, whoever dies, and kept by resume."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsrunner.ledger import keys
from tests.fleet import Fleet
from tests.integration.engine.test_resume import noted, noting, resumed
from tests.integration.stack import Stack, statuses, wait_until


@pytest.fixture
def own_stack(tmp_path: Path, engine_fleet: Fleet) -> Iterator[Stack]:
    with Stack(tmp_path / "own", OPSRUNNER_LEASE="2", OPSRUNNER_HEARTBEAT="0.5") as stack:
        stack.inventory(engine_fleet.inventory_yaml(3))
        yield stack


def added(notes: Path) -> str:
    return f"""
- hosts: h0001
  gather_facts: false
  tasks:
    - name: add
      add_host:
        name: "new{{{{ item }}}}"
        groups: fleet,made
        ansible_host: "{{{{ hostvars['h000' ~ item].ansible_host }}}}"
        opsrunner_zone: far
      loop: [2, 3]
- hosts: made
  gather_facts: false
  serial: 1
  tasks:
{noting("late", notes)}"""


def test_a_worker_dies_between_the_decision_and_the_first_step(own_stack: Stack, tmp_path: Path) -> None:
    first = own_stack.worker("one")
    run = own_stack.start(added(tmp_path))
    assert own_stack.redis
    client = own_stack.redis.client
    # Nobody serves the hosts' zone: their play is decided and entered, and nothing of it is sent.
    told = "no live worker for new2"
    wait_until(lambda: any(told in str(data) for _, data in client.xrange(keys.events(run))), 20, told)
    first.kill()
    first.wait()
    own_stack.worker("two", "--zone", "far")
    document = own_stack.ending(run)
    assert statuses(document, "late") == {"new2": "changed", "new3": "changed"}
    assert noted(tmp_path, "late") == {"new2": 1, "new3": 1}
    assert client.hget(keys.run(run), "lap") == b"1", "decided once"
    assert "2 hosts × 1 step" in own_stack.opsrunner("show", run).stdout
    assert not [name for name in client.scan_iter(f"{keys.run(run)}*") if client.ttl(name) < 0], "all of it has an end"


GROUPED = """
- hosts: fleet[0:2]
  gather_facts: false
  tasks:
    - name: first
      command: test {{{{ inventory_hostname }}}} != h0003 -o -e {notes}/mended
    - name: group
      group_by: key=made_{{{{ 'a' if inventory_hostname in ('h0001', 'h0003') else 'b' }}}}
- hosts: made_a:h0004
  gather_facts: false
  tasks:
{late}
- hosts: h0002
  gather_facts: false
  tasks:
{last}"""


def test_resume_keeps_the_hosts_of_a_late_play_and_adds_who_has_come(stack: Stack, tmp_path: Path) -> None:
    # h0004 is in the late play, too, so that the run is not over when h0001 fails there.
    late = noting("late", tmp_path, f"test {{{{ inventory_hostname }}}} = h0004 -o -e {tmp_path}/mended")
    text = GROUPED.format(notes=tmp_path, late=late, last=noting("last", tmp_path))
    run = stack.play(text, code=2)["run"]
    assert noted(tmp_path, "late") == {"h0001": 1, "h0004": 1} and noted(tmp_path, "last") == {"h0002": 1}
    (tmp_path / "mended").touch()
    document = resumed(stack, run)
    assert statuses(document, "late") == dict.fromkeys(("h0001", "h0003", "h0004"), "changed")
    assert noted(tmp_path, "late") == {"h0001": 2, "h0003": 1, "h0004": 1}
    assert noted(tmp_path, "last") == Counter({"h0002": 1}), "what was done is not done again"
    done = json.loads(stack.opsrunner("watch", run, "--output", "json").stdout)
    assert done["status"] == "succeeded"
    assert "does not add up" not in stack.opsrunner("show", run).stdout
