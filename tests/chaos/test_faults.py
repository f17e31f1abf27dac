"""Runs under faults: nothing twice, the ledger agrees with the hosts, nothing left behind, every run ends."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest

from tests.chaos.conftest import ROUND
from tests.chaos.injector import KINDS, LINK_KINDS
from tests.chaos.networks import Namespaces, Plain, namespaces_allowed
from tests.chaos.rounds import carry_out
from tests.chaos.scenarios import CANCEL, FORMS, Scenario, scenario

MODE = Namespaces.mode if namespaces_allowed() else Plain.mode
#: What CI runs, with short faults: three or four each, together every kind but a cancel, and no form of playbook twice.
FIXED = (140, 218, 251, 253, 270, 315)
PLAIN = (8,)
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "0"))
BASE = int(os.environ.get("CHAOS_SEED", "0"))


def brief(seed: int, mode: str) -> Scenario:
    return scenario(seed, mode, least=3, most=4, longest=12.0)


SCENARIOS = (
    [brief(seed, MODE) for seed in FIXED]
    + [brief(seed, Plain.mode) for seed in PLAIN]
    + [scenario(seed, MODE) for seed in range(BASE, BASE + ROUNDS)]
)


@pytest.mark.timeout(500)
@pytest.mark.parametrize("what", SCENARIOS, ids=lambda what: f"{what.mode}-{what.form}-seed{what.seed}")
def test_a_run_under_faults(
    what: Scenario, tmp_path_factory: pytest.TempPathFactory, record_property: Callable[[str, object], None]
) -> None:
    done = carry_out(what, tmp_path_factory.mktemp("site"))
    record_property(ROUND, json.dumps(done.record()))
    assert not done.faults(), done.story()


def test_the_fixed_seeds_meet_every_kind_of_fault() -> None:
    drawn = [brief(seed, Namespaces.mode) for seed in FIXED]
    assert len({one.form for one in drawn}) == len(FIXED) <= len(FORMS)
    assert {fault.kind for one in drawn for fault in one.faults} == set(KINDS) - {CANCEL}
    assert not {fault.kind for seed in PLAIN for fault in brief(seed, Plain.mode).faults} & LINK_KINDS
