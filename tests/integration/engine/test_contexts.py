"""What a worker keeps in memory of its runs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsrunner import settings
from opsrunner.engine.node import RUNS_KEPT, Node
from opsrunner.engine.steward import Steward
from opsrunner.engine.submit import submit
from opsrunner.engine.verdict import Front
from opsrunner.ledger.sealing import create_key
from opsrunner.plan.model import Options
from opsrunner.plan.read import read_playbook
from tests.integration.stack import Redis, Stack


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A worker's own parts on a server of its own; nothing of it runs."""
    with Redis(tmp_path / "redis") as server:
        environment = {
            "CELERY_BROKER_URL": server.url,
            "OPSRUNNER_STATE_DIR": str(tmp_path),
            "OPSRUNNER_KEY_FILE": str(tmp_path / "key"),
        }
        create_key(tmp_path / "key")
        chosen = settings.load(environment, tmp_path)
        node = Node(chosen, chosen.ledger_url, "one", ("default",))
        yield node
        node.end()


def planned(node: Node, folder: Path, runs: int) -> list[str]:
    """Runs of one ping each that are in the ledger and not begun."""
    (folder / "hosts.yml").write_text("all: {hosts: {h1: }}\n")
    (folder / "site.yml").write_text("- {hosts: h1, gather_facts: false, strategy: free, tasks: [{ping: }]}\n")
    compiled = read_playbook(folder / "site.yml", ["hosts.yml"], Options(), {}, base=folder)
    return [submit(node.store, compiled.plan, compiled.files, user="me") for _ in range(runs)]


def test_a_run_at_work_is_watched_over_however_many_come_after_it(node: Node, tmp_path: Path) -> None:
    runs = planned(node, tmp_path, RUNS_KEPT + 4)
    at_work = node.context(runs[0], 0)
    for run in runs[1:]:
        node.context(run, 0)
    gc.collect()
    assert {context.run_id for context in node.contexts()} == {runs[0], *runs[-RUNS_KEPT:]}
    assert node.context(runs[0], 0) is at_work, "its commands are reached when it is cancelled"
    node.forget(runs[-1])
    gc.collect()
    assert runs[-1] not in {context.run_id for context in node.contexts()}


def test_a_host_that_finishes_while_it_is_looked_at_is_let_be(node: Node, tmp_path: Path) -> None:
    [run] = planned(node, tmp_path, 1)
    play = node.context(run, 0).plan.plays[0]
    front = Front(node.redis, run, play.batches[0])
    assert front.index_of == {}  # nobody is there any more
    assert Steward(node, lambda *_: None)._examine(run, play, front, ["h1"]) == ([], False)


LONG = """
- hosts: fleet[0:1]
  gather_facts: false
  strategy: STRATEGY
  tasks:
    - {command: seq 1 4000, register: said}
    - assert:
        that:
          - said.rc == 0 and said.stdout_lines | length == 4000
          - said.stdout.endswith('4000') and hostvars[inventory_hostname].said.stdout_lines[0] == '1'
    - {set_fact: {copied: "{{ said }}"}}
    - {assert: {that: [copied == said, copied.stdout_lines == said.stdout_lines]}}
    - {command: 'echo {{ item }} {{ said.stdout_lines[-1] }}', loop: '{{ said.stdout_lines[:2] }}', register: told}
    - {debug: {msg: '{{ told.results | map(attribute="stdout") | list }}'}}
"""


@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_long_outputs_are_registered_like_short_ones(stack: Stack, strategy: str) -> None:
    document = stack.play(LONG.replace("STRATEGY", strategy))
    tasks = document["plays"][0]["tasks"]
    assert [one["msg"] for one in tasks[-1]["hosts"].values()] == [["1 4000", "2 4000"]] * 2
    assert [len(one["stdout_lines"]) for one in tasks[0]["hosts"].values()] == [4000] * 2
