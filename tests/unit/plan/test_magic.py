"""Variables that Ansible sets and opsrunner does not are refused where a template names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.plan.conftest import Project

PLAY = "- hosts: web\n  gather_facts: false\n  tasks:\n    - debug: {{msg: '{0}'}}\n"


@pytest.mark.parametrize(
    ("text", "what", "remedy"),
    [
        ("{{ ansible_forks }}", "ansible_forks is not set", "give --forks N, or -e ansible_forks=N"),
        ("{{ ansible_delegated_vars.x }}", "ansible_delegated_vars is not set", "use hostvars[HOST]"),
        ("{{ ansible_timeout | default(3) }}", "ansible_timeout is not set", "set it in the inventory or the playbook"),
        ("{{ ansible_failed_hosts }}", "ansible_failed_hosts is not set", None),
        ("{{ ansible_failed_task.uuid }}", "ansible_failed_task.uuid is not known", None),
        ("{{ ansible_failed_task[\"loop\"] }}", "ansible_failed_task.loop is not known", None),
    ],
)  # fmt: skip
def test_what_is_never_set_is_refused(project: Project, text: str, what: str, remedy: str | None) -> None:
    (fault,) = project.faults(PLAY.format(text))
    assert fault.what == what
    assert fault.place is not None and (fault.place.line, fault.place.column) == (4, 20)
    assert fault.remedy == remedy or remedy is None


@pytest.mark.parametrize(
    "text",
    [
        *("{{ ansible_failed_task.name }} {{ ansible_failed_result.msg }}", "{{ ansible_version.full }}"),
        *("{{ ansible_host }} {{ ansible_facts }} {{ role_name | default(1) }}", "{{ hostvars.web1.ansible_timeout }}"),
    ],
)
def test_the_others_are_not(project: Project, text: str) -> None:
    project.play(PLAY.format(text))


def test_who_sets_it_may_name_it(project: Project) -> None:
    text = PLAY.format("{{ ansible_forks }} {{ ansible_timeout }}")
    project.play(text, extra_vars={"ansible_forks": 3, "ansible_timeout": 1})
    project.play(text.replace("  tasks:", "  vars: {ansible_forks: 3, ansible_timeout: 1}\n  tasks:"))
    project.play(text, forks=3, extra_vars={"ansible_timeout": 1})
