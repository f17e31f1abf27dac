"""Which plays gather facts, and which are spared it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.plan.conftest import Project

USES = [
    "tasks: [{debug: {msg: '{{ ansible_distribution }}'}}]",
    "tasks: [{ping: , when: ansible_facts.os_family == 'x'}]",
    "tasks: [{debug: {var: ansible_hostname}}]",
    "tasks: [{debug: {msg: '{{ ansible_ssh_host_key_rsa_public }}'}}]",
    "tasks: [{block: [{ping: }], when: ansible_system == 'Linux'}]",
    "tasks: [{debug: {msg: '{{ hostvars[item] }}'}, loop: [a]}]",
    "tasks: [{debug: {msg: '{{ hostvars.a[item] }} {{ hostvars.a.port }}'}, loop: [a]}]",
    "tasks: [{debug: {msg: '{{ hostvars[item].values() }}'}, loop: [a]}]",
    "tasks: [{debug: {msg: \"{{ hostvars[item]['ansible_' ~ item] }}\"}, loop: [a]}]",
    "tasks: [{debug: {msg: \"{{ lookup('vars', item) }}\"}, loop: [a]}]",
    "vars: {name: '{{ ansible_fqdn }}'}\n  tasks: [{debug: {msg: '{{ name }}'}}]",
    "tasks: [{ping: }]\n  handlers: [{name: x, debug: {var: ansible_eth0}}]",
]
DOES_NOT = [
    "tasks: [{debug: {msg: '{{ ansible_host }} {{ ansible_check_mode }} {{ ansible_ssh_user }}'}}]",
    "vars: {ansible_own: 1}\n  tasks: [{debug: {var: ansible_own}}]",
    "tasks: [{ping: , register: ansible_out}, {debug: {var: ansible_out}}]",
    "tasks: [{set_fact: {ansible_x: 1}}, {debug: {var: ansible_x}}]",
    "tasks: [{debug: {msg: '{{ hostvars[item].port }} {{ hostvars.b.port }}'}, loop: [a]}]",
    "tasks: [{command: 'cat vars/main.yml'}]",
]


def gathers(project: Project, text: str) -> list[bool]:
    plays = project.compile(text).plan.plays
    numbers = [step.number for play in plays for step in play.steps]
    assert numbers == list(range(len(numbers)))
    return [bool(play.steps) and play.steps[0].name == "Gathering Facts" for play in plays]


@pytest.mark.parametrize("text", USES)
def test_a_play_that_may_use_a_fact_gathers(project: Project, text: str) -> None:
    assert gathers(project, f"- hosts: all\n  {text}\n") == [True]
    assert gathers(project, f"- hosts: all\n  gather_facts: false\n  {text}\n") == [False]


@pytest.mark.parametrize("text", DOES_NOT)
def test_a_play_that_cannot_use_a_fact_is_spared(project: Project, text: str) -> None:
    assert gathers(project, f"- hosts: all\n  {text}\n") == [False]
    assert gathers(project, f"- hosts: all\n  gather_facts: true\n  {text}\n") == [True]


def test_plays_before_one_that_uses_facts_gather_for_it(project: Project) -> None:
    uses = "- hosts: all\n  gather_facts: false\n  tasks: [{debug: {msg: '{{ hostvars.a.ansible_fqdn }}'}}]\n"
    plain = "- hosts: all\n  tasks: [{ping: }]\n"
    assert gathers(project, plain + uses + plain) == [True, False, False]


def test_a_template_file_may_use_a_fact(project: Project) -> None:
    text = "- hosts: all\n  tasks: [{template: {src: x.j2, dest: /tmp/x}}]\n"
    project.write("templates/x.j2", "{{ port }}")
    assert gathers(project, text) == [False]
    project.write("templates/x.j2", "{{ ansible_fqdn }}")
    assert gathers(project, text) == [True]


def test_what_the_play_says_holds_for_its_gathering(project: Project) -> None:
    text = (
        "- hosts: all\n  gather_facts: '{{ wanted }}'\n  vars: {wanted: true}\n  become: true\n  gather_subset: min\n"
        "  gather_timeout: 3\n  fact_path: /x\n  environment: {A: b}\n  tags: t\n  tasks: [{ping: }]\n"
    )
    step = project.play(text).steps[0]
    assert step.arguments == {"gather_subset": ["min"], "gather_timeout": 3, "fact_path": "/x"}
    assert (step.become, step.environment, step.tags) == (True, ({"A": "b"},), ("t",))
