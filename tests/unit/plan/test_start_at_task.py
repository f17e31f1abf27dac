"""``--start-at-task``: what comes before is not part of the plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from opsrunner import inventory
from opsrunner.errors import InputError
from opsrunner.plan.compile import compile_playbook
from opsrunner.plan.model import Options, Plan

BOOK = """
- hosts: all
  gather_facts: false
  tasks: [{name: Prepare, ping: }]
- hosts: all
  gather_facts: false
  tasks: [{name: Install app, ping: }, {name: Start, ping: }]
"""


def _plan(directory: Path, start: str) -> Plan:
    path = directory / "site.yml"
    path.write_text(BOOK)
    options = Options(start_at_task=start, force_handlers=True)
    return compile_playbook(path, inventory.load(["web1,"], base=directory), options, {}).plan


def test_steps_before_it_are_left_out_in_every_play(tmp_path: Path) -> None:
    plan = _plan(tmp_path, "Inst*")
    assert [[(step.number, step.name) for step in play.steps] for play in plan.plays] == [
        [],
        [(0, "Install app"), (1, "Start")],
    ]
    assert all(play.force_handlers for play in plan.plays)


def test_a_slip_gives_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no task is named 'Strat'") as told:
        _plan(tmp_path, "Strat")
    assert told.value.remedy == "did you mean Start?"
