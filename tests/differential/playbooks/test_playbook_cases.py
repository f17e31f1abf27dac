"""Playbooks give on real hosts what Ansible gave when its answers were recorded; some are asked live again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.differential.playbooks.harness import Place, by_ansible, by_opsrunner, cases, differences, digest
from tests.differential.playbooks.record import recorded
from tests.fleet import Fleet
from tests.integration.stack import Stack

CASES = cases()
RECORDED = recorded()
#: Asked live in every run of the tests: a record that is wrong would be found here.
LIVE = ["a command, a shell line and a failure"]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A worker that stays for all cases; the environment of this process leads the command line to it."""
    stack = Stack(tmp_path_factory.mktemp("cases"))
    kept = dict(os.environ)
    try:
        stack.worker("one")
        os.environ.clear()
        os.environ.update(stack.environment)
        yield stack
    finally:
        os.environ.clear()
        os.environ.update(kept)
        stack.close()


@pytest.fixture(scope="module")
def case_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet.start(tmp_path_factory.mktemp("sshd"))
    yield fleet
    fleet.stop()


@pytest.mark.parametrize("name", CASES)
def test_as_recorded(name: str, worker: Stack, case_fleet: Fleet, tmp_path: Path) -> None:
    case = CASES[name]
    record = RECORDED.get(name)
    again = f"record Ansible's answer: python -m tests.differential.playbooks.record {name!r}"
    assert record is not None, again
    assert record["case"] == digest(case), f"the case was changed; {again}"
    found = by_opsrunner(Place(tmp_path / "case", case_fleet, case))
    told = list(differences(record["answer"], found))
    assert not told, "\n".join(told)


@pytest.mark.parametrize("name", LIVE)
def test_the_record_is_what_ansible_answers(name: str, case_fleet: Fleet, tmp_path: Path) -> None:
    answer = by_ansible(Place(tmp_path / "case", case_fleet, CASES[name]))
    told = list(differences(RECORDED[name]["answer"], answer))
    assert not told, "\n".join(told)
