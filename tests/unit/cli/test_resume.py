"""What ``opsrunner resume`` says before it begins."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from opsrunner.cli.resume import announcement, difference_lines, hosts_of, is_here, only_for, step_number
from opsrunner.engine.resume import Resumption
from opsrunner.errors import InputError
from opsrunner.inventory import Inventory
from opsrunner.ledger.records import PlayOutline, RunRecord, StepOutline
from opsrunner.plan.model import Plan, Play, Sources, Step
from opsrunner.plan.revise import Difference

STEPS = ("look", "restart", "7", "tell", "restart")
HOSTS = ("web01", "web02", "web03", "db1")


def plan(**more: Any) -> Plan:
    steps = tuple(Step(number, name, "ping", "p.yml:1:1") for number, name in enumerate(STEPS))
    groups = {"all": {"depth": 0, "children": ["web"], "hosts": [[3, 2]]}, "web": {"depth": 1, "hosts": [[0, 3]]}}
    inventory = {
        "files": [["/h.yml", "/"]],
        "hosts": [*HOSTS, "other"],
        "host_files": [[5, 0]],
        "host_variables": {},
        "groups": groups,
        "layers": [],
        "playbook_layer": None,
    }
    play = Play(0, "site", "p.yml:1:1", "all", HOSTS, (HOSTS,), steps)
    return Plan("p.yml", "playbook", "/", (play,), inventory, **more)


def record() -> RunRecord:
    steps = tuple(StepOutline(number, name, "ping", "p.yml:1:1") for number, name in enumerate(STEPS))
    play = PlayOutline(0, "site", HOSTS, (4,), steps)
    return RunRecord("261121-1", "failed", "p.yml", "playbook", "me", 1.0, 1.0, 2.0, 2, 4, (play,))


def test_who_goes_on_and_who_does_not() -> None:
    lost = "lost at step 3 'tell': pass --rerun-lost to run it again"
    resumption = Resumption(
        goes_on={"web02": (0, 3), "web01": (0, 1), "web03": (0, 3)},
        left={"db1": lost, "x1": lost, "x2": "gone\x1b[2J"},
        stands={},
        late={},
        guarded=frozenset(),
        finished="2.0",
    )
    assert list(announcement(plan(), resumption)) == [
        "1 host goes on at step 1 'restart': web01",
        "2 hosts go on at step 3 'tell': web[02-03]",
        f"left as it is: db1,x1 (2): {lost}",
        "left as it is: x2: gone\\x1b[2J",
    ]


def test_steps_by_number_and_by_name() -> None:
    assert step_number(record(), "3") == 3
    assert step_number(record(), "look") == 0
    assert step_number(record(), "7") == 2  # no step has that number
    for text, words in {
        "restart": ("2 steps are named 'restart'", "1, 4"),
        "lok": ("no step 'lok'", "did you mean 'look'?"),
        "99": ("no step '99'", "0-4"),
    }.items():
        with pytest.raises(InputError) as caught:
            step_number(record(), text)
        assert all(word in "\n".join(caught.value.lines()) for word in words)


def test_hosts_are_those_of_the_run() -> None:
    inventory = Inventory.from_data(plan().inventory)
    assert hosts_of(plan(), inventory, "web:!web02", {}) == ["web01", "web03"]
    assert hosts_of(plan(), inventory, "db1,@failed-of-last", {"failed-of-last": ["other"]}) == ["db1"]
    with pytest.raises(InputError, match="none of the run's hosts"):
        hosts_of(plan(), inventory, "other", {})
    with pytest.raises(InputError, match="web9"):
        hosts_of(plan(), inventory, "web9", {})


def test_only_the_zones_that_are_needed() -> None:
    narrowed = only_for(plan(zones={"north": ("web01", "web02"), "south": ("db1",)}), {"web02": 1})
    assert narrowed.zones == {"north": ("web02",)}


def test_differences_are_folded_and_counted() -> None:
    found = (Difference("variables changed: a", ("web01", "web02")), *(Difference(f"step {n}\n") for n in range(24)))
    lines = list(difference_lines(found, tuple(f"/f{n}.yml" for n in range(7))))
    assert lines[:3] == [
        "changed: /f0.yml, /f1.yml, /f2.yml, /f3.yml, /f4.yml and 2 more",
        "  web[01-02] (2): variables changed: a",
        "  step 0\\n",
    ]
    assert len(lines) == 22
    assert lines[-1] == "  and 5 more"


def test_what_is_not_here_is_not_compared(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    gone = Sources(("/nowhere/hosts.yml",), "/nowhere", "bastion1", playbook="/nowhere/site.yml")
    assert not is_here(plan(sources=gone))
    assert capsys.readouterr().err == (
        "/nowhere/site.yml is not on this machine (the run came from bastion1): "
        "not compared, going on with the plan as it was stored\n"
    )
    assert not is_here(plan())
    assert "does not tell what it was made from" in capsys.readouterr().err
    (tmp_path / "site.yml").touch()
    assert is_here(plan(sources=SimpleNamespace(playbook=str(tmp_path / "site.yml"), inventories=())))
    assert is_here(plan(sources=Sources(("a,b",), "/", "m")))
    assert not is_here(plan(sources=Sources(("/nowhere/h.yml",), "/", "m")))
