"""The playbooks that come with opsrunner compile against the inventory that comes with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from opsrunner import inventory
from opsrunner.plan.codec import decode, encode
from opsrunner.plan.compile import compile_playbook
from opsrunner.plan.model import Compiled, Options

ROOT = Path(__file__).parents[3]
PLAYBOOKS = sorted(path.name for path in (ROOT / "playbooks").glob("*.yml"))


def compiled(name: str) -> Compiled:
    fleet = inventory.load([str(ROOT / "inventory")], base=ROOT)
    return compile_playbook(ROOT / "playbooks" / name, fleet, Options(), {})


def test_all_are_there() -> None:
    assert {"restart.yml", "healthcheck.yml", "patch.yml", "run_script.yml", "collect_logs.yml"} <= set(PLAYBOOKS)


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_it_compiles(name: str) -> None:
    found = compiled(name)
    assert found.warnings == ()
    assert decode(encode(found.plan)) == found.plan
    (play,) = found.plan.plays
    assert len(play.hosts) == 6
    assert play.steps


def test_restart_takes_two_hosts_at_a_time() -> None:
    (play,) = compiled("restart.yml").plan.plays
    assert [len(batch) for batch in play.batches] == [2, 2, 2]
    assert "wait_for" in [step.module for step in play.steps]


def test_patch_takes_a_tenth() -> None:
    (play,) = compiled("patch.yml").plan.plays
    assert [len(batch) for batch in play.batches] == [1] * 6
    assert play.max_fail_percentage == 5


def test_the_script_travels_along() -> None:
    found = compiled("run_script.yml")
    digest = found.plan.files["files/host_report.sh"]
    assert found.files[digest].startswith(b"#!/bin/sh")
