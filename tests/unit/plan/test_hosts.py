"""Which hosts a play is for, in what order and in which batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from opsrunner import inventory
from opsrunner.plan.codec import decode, encode

if TYPE_CHECKING:
    from tests.unit.plan.conftest import Project


@pytest.mark.parametrize(
    ("keywords", "options", "batches"),
    [
        ("hosts: web", {}, [["web1", "web2", "web3", "web4"]]),
        ("hosts: [web, '!web2']", {}, [["web1", "web3", "web4"]]),
        ("hosts: 'db:web1'\n  order: reverse_inventory", {}, [["web1", "db2", "db1"]]),
        ("hosts: all\n  order: sorted", {"limit": "web"}, [["web1", "web2", "web3", "web4"]]),
        ("hosts: web\n  serial: 3", {}, [["web1", "web2", "web3"], ["web4"]]),
        ("hosts: web\n  serial: [1, '50%']", {}, [["web1"], ["web2", "web3"], ["web4"]]),
        ("hosts: web\n  serial: '{{ n }}'\n  vars: {n: 2}", {}, [["web1", "web2"], ["web3", "web4"]]),
        ("hosts: web\n  serial: '{{ [1, 3] }}'", {}, [["web1"], ["web2", "web3", "web4"]]),
        ("hosts: '{{ who }}'", {"extra_vars": {"who": "db"}}, [["db1", "db2"]]),
        ("hosts: '{{ groups.db }}'", {}, [["db1", "db2"]]),
        ("hosts: localhost", {}, [["localhost"]]),
    ],
)
def test_hosts(project: Project, keywords: str, options: dict[str, Any], batches: list[list[str]]) -> None:
    play = project.play(f"- {keywords}\n", **options)
    assert [list(batch) for batch in play.batches] == batches
    assert set(play.hosts) == {host for batch in batches for host in batch}


def test_what_a_play_is_told(project: Project) -> None:
    play = project.play(
        "- name: on {{ groups.db | length }}\n  hosts: db\n  strategy: free\n  max_fail_percentage: '{{ 10 + 20 }}'\n"
        "  force_handlers: true\n  vars: {a: 1, d: 2020-01-02}\n"
    )
    assert (play.name, play.pattern, play.strategy) == ("on 2", "db", "free")
    assert (play.max_fail_percentage, play.force_handlers) == (30.0, True)
    assert play.vars == {"a": 1, "d": "2020-01-02"}


def test_a_play_that_limit_leaves_nobody_is_skipped(project: Project) -> None:
    compiled = project.compile("- hosts: web\n- hosts: db\n", limit="db")
    assert [play.hosts for play in compiled.plan.plays] == [(), ("db1", "db2")]
    (warning,) = compiled.warnings
    assert "leaves none of the hosts of 'web'" in warning


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("- hosts: wbe\n", {}, "wbe"),
        ("- hosts: web\n", {"limit": "db"}, "no play has any host"),
        ("- hosts: web\n", {"limit": "wbe"}, "wbe"),
        ("- hosts: '{{ nobody }}'\n", {}, "hosts cannot be rendered"),
        ("- hosts: web\n  serial: '{{ nobody }}'\n", {}, "serial cannot be rendered"),
        ("- hosts: web\n  serial: \"{{ 'x' }}\"\n", {}, "serial takes a number"),
        ("- hosts: web\n  strategy: \"{{ 'x' }}\"\n", {}, "takes a strategy"),
    ],
)
def test_no_hosts(project: Project, text: str, options: dict[str, Any], words: str) -> None:
    (fault,) = project.faults(text, **options)
    assert words in fault.what


def test_no_hosts_may_be_allowed(project: Project) -> None:
    compiled = project.compile("- hosts: wbe\n", allow_empty=True)
    assert compiled.plan.plays[0].batches == ()
    assert "no host matches 'wbe'" in compiled.warnings[0]


def test_variables_beside_the_playbook_travel_along(project: Project) -> None:
    project.write("group_vars/web.yml", "beside: yes\n")
    compiled = project.compile("- hosts: web\n")
    again = inventory.Inventory.from_data(decode(encode(compiled.plan)).inventory)
    assert again.variables("web1")["beside"] is True
    assert compiled.plan.directory == str(project.directory)


def test_files_of_limit_and_lookups_are_read_here(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write("who", "web1\nweb3\n")
    project.write("files/pattern", "web")
    monkeypatch.chdir(project.directory)
    play = project.play("- hosts: \"{{ lookup('file', 'pattern') }}\"\n", limit="@who")
    assert play.hosts == ("web1", "web3")


def test_a_slip_in_limit_is_told_once(project: Project) -> None:
    (fault,) = project.faults("- hosts: web\n- hosts: db\n", limit="web:nobody")
    assert "nobody" in fault.what
