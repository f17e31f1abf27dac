"""``hosts:`` as a template, a list or both, and ``order:``, compiled by opsrunner and read by ansible-core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from opsrunner import inventory
from opsrunner.errors import InputError
from opsrunner.plan.compile import compile_playbook
from opsrunner.plan.model import Options, Plan

FLEET = """\
web: {hosts: {"web[1:4]": }}
db: {hosts: {db2: , db1: {partner: web2}}}
none:
"""
#: hosts, order, extra variables
PLAYS: list[tuple[Any, str | None, dict[str, Any]]] = [
    ("db:web", None, {}),
    ("db:web", "inventory", {}),
    ("db:web", "reverse_inventory", {}),
    ("db:web", "sorted", {}),
    ("db:web", "reverse_sorted", {}),
    ("web", "{{ o }}", {"o": "reverse_inventory"}),
    (["db", "web:!web1"], None, {}),
    ("web , db1", None, {}),
    ("web,", None, {}),
    ("{{ target }}", None, {"target": "web:!web1"}),
    ("{{ target }}", "reverse_inventory", {"target": ["web", "!web1"]}),
    ("{{ target }}:!web1", None, {"target": "web"}),
    (["{{ target }}", "db"], None, {"target": "web[0:1]"}),
    ("{{ groups['web'] }}", None, {}),
    ("{{ groups.web[0] }}", None, {}),
    ("{{ groups.web | reverse | list }}", None, {}),
    ("{{ target | default('db') }}", None, {}),
    ("{{ inner }}", None, {"inner": "{{ target }}", "target": "db"}),
    ("localhost", None, {}),
]
WRONG: list[tuple[Any, str | None, dict[str, Any]]] = [
    ("{{ target }}", None, {}),
    ("{{ target }}", None, {"target": ""}),
    ("{{ target }}", None, {"target": 5}),
    ("{{ target }}", None, {"target": ["web", None]}),
    (["{{ target }}", "db"], None, {"target": ["web1", "web2"]}),
    ("{{ groups.nope }}", None, {}),
    ("{{ hostvars.db1.partner }}", None, {}),
    ([], None, {}),
    ("", None, {}),
    (None, None, {}),
    (["web", ["db"]], None, {}),
    (["", "web1"], None, {}),
    ("web", "sideways", {}),
    ("web", "{{ o }}", {"o": "sideways"}),
]


@pytest.fixture
def folder(ansible: None, tmp_path: Path) -> Path:
    (tmp_path / "hosts.yml").write_text(FLEET)
    return tmp_path


def written(folder: Path, hosts: Any, order: str | None) -> Path:
    play = {"hosts": hosts, "gather_facts": False, "tasks": [], **({"order": order} if order else {})}
    path = folder / "p.yml"
    path.write_text(yaml.safe_dump([play], sort_keys=False))
    return path


def theirs(path: Path, extra: dict[str, Any]) -> list[str]:
    from ansible.inventory.manager import InventoryManager
    from ansible.parsing.dataloader import DataLoader
    from ansible.playbook import Playbook
    from ansible.template import Templar, trust_as_template
    from ansible.vars.manager import VariableManager

    loader = DataLoader()
    manager = InventoryManager(loader=loader, sources=[str(path.parent / "hosts.yml")])
    variables = VariableManager(loader=loader, inventory=manager)
    trusted = {name: trust_as_template(value) if isinstance(value, str) else value for name, value in extra.items()}
    variables._extra_vars = trusted
    (play,) = Playbook.load(str(path), variable_manager=variables, loader=loader).get_plays()
    play.post_validate(Templar(loader=loader, variables=variables.get_vars(play=play)))
    return [str(host.name) for host in manager.get_hosts(play.hosts, order=play.order)]


def visited(plan: Plan) -> tuple[str, ...]:
    """The hosts of the only play, in the order in which they are visited."""
    return tuple(host for batch in plan.plays[0].batches for host in batch)


def ours(path: Path, extra: dict[str, Any]) -> list[str]:
    fleet = inventory.load(["hosts.yml"], base=path.parent)
    return list(visited(compile_playbook(path, fleet, Options(), extra).plan))


@pytest.mark.parametrize(("hosts", "order", "extra"), PLAYS, ids=str)
def test_hosts_of_a_play(folder: Path, hosts: Any, order: str | None, extra: dict[str, Any]) -> None:
    path = written(folder, hosts, order)
    assert ours(path, extra) == theirs(path, extra)


@pytest.mark.parametrize(("hosts", "order", "extra"), WRONG, ids=str)
def test_what_ansible_refuses_too(folder: Path, hosts: Any, order: str | None, extra: dict[str, Any]) -> None:
    from ansible.errors import AnsibleError

    path = written(folder, hosts, order)
    with pytest.raises(AnsibleError):
        theirs(path, extra)
    with pytest.raises(InputError) as caught:
        ours(path, extra)
    errors = getattr(caught.value, "errors", (caught.value,))
    assert all(error.place and error.place.line > 0 for error in errors)


def test_a_shuffle_is_drawn_once(folder: Path) -> None:
    path = written(folder, "all", "shuffle")
    fleet = inventory.load(["hosts.yml"], base=folder)
    drawn = {visited(compile_playbook(path, fleet, Options(shuffle_seed=seed), {}).plan) for seed in range(20)}
    again = visited(compile_playbook(path, fleet, Options(shuffle_seed=7), {}).plan)
    assert len(drawn) > 10 and again in drawn
    assert {tuple(sorted(hosts)) for hosts in drawn} == {tuple(sorted(theirs(path, {})))}
    limited = visited(compile_playbook(path, fleet, Options(shuffle_seed=7, limit="web"), {}).plan)
    assert limited == tuple(host for host in again if host.startswith("web"))
