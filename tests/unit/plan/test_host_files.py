"""vars_files that only a host can tell: which files travel, and which of them a host takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from opsrunner import vault
from opsrunner.plan.codec import decode, encode
from opsrunner.plan.host_files import layers_of
from opsrunner.plan.model import HostFiles, Options
from opsrunner.plan.read import read_playbook
from opsrunner.plan.revise import differences
from opsrunner.templating import Layer, LookupContext, Scope, Templar
from tests.unit.plan.conftest import Project
from tests.vaulted import PASSWORD, encrypted, inline

HEAD = "- hosts: web\n  gather_facts: false\n"
FAMILY = "{{ ansible_facts.os_family }}"


def taken(files: HostFiles, **variables: Any) -> tuple[dict[str, Any], str | None]:
    """What a host with these variables has of the files, and what is wrong with that."""
    templar = Templar(lookups=LookupContext(environment={}, read_file=str, directory="/"))

    def scope_after(found: Sequence[Mapping[str, Any]]) -> Scope:
        layers = (variables, *found, {"playbook_dir": files.directory})
        return Scope(templar, [Layer(one, True) for one in layers])

    found, problem = layers_of(files, scope_after, templar, gathered="ansible_facts" in variables)
    return {name: value for one in found for name, value in one.items()}, problem and problem.message


def of_debian(files: HostFiles) -> dict[str, Any]:
    variables, problem = taken(files, ansible_facts={"os_family": "Debian"})
    assert problem is None
    return variables


def host_files(project: Project, entries: str, **options: Any) -> HostFiles:
    compiled = project.compile(f"{HEAD}  vars_files: {entries}\n", **options)
    files = decode(encode(compiled.plan)).plays[0].host_files
    assert files is not None
    return files


@pytest.mark.parametrize("folder", ["vars/", "", "{{ playbook_dir }}/vars/", "settings/"])
def test_all_files_that_facts_may_mean_travel(project: Project, folder: str) -> None:
    beside = folder if folder == "settings/" else "vars/"
    project.write(f"{beside}Debian.yml", "a: debian\n")
    project.write(f"{beside}RedHat.yml", "a: redhat\n")
    project.write(f"{beside}other.json", "{}")
    project.write("plays.yml", "- hosts: all\n")
    files = host_files(project, f'["{folder}{FAMILY}.yml"]')
    assert sorted(Path(path).name for path in files.contents) == ["Debian.yml", "RedHat.yml"] or not folder
    assert of_debian(files) == {"a": "debian"}
    assert not any("hosts" in content for content in files.contents.values())


def test_files_in_vars_come_before_those_beside_the_playbook(project: Project) -> None:
    project.write("vars/Debian.yml", "a: in vars\n")
    project.write("Debian.yml", "a: beside\nb: beside\n")
    assert of_debian(host_files(project, f'["{FAMILY}.yml"]')) == {"a": "in vars"}


def test_entries_count_in_the_order_in_which_they_are_written(project: Project) -> None:
    for name, text in (("one", "a: 1\nb: 1\nc: 1\nfolder: vars\n"), ("vars/Debian", "b: 2\nc: 2\n"), ("two", "c: 3\n")):
        project.write(f"{name}.yml", text)
    play = project.play(f'{HEAD}  vars_files: [one.yml, "{{{{ folder }}}}/{FAMILY}.yml", two.yml]\n')
    assert play.vars_from_files == {"a": 1, "b": 1, "c": 1, "folder": "vars"}
    assert play.host_files
    assert taken(play.host_files, folder="vars")[0] == {"c": 3}
    assert taken(play.host_files, folder="vars", ansible_facts={"os_family": "Debian"})[0] == {"b": 2, "c": 3}


def test_a_variable_of_the_inventory_decides_even_where_there_is_a_default(project: Project) -> None:
    project.write("vars/1.yml", "a: of the inventory\n")
    project.write("vars/0.yml", "a: of nobody\n")
    files = host_files(project, """["{{ from_inventory | default('0') }}.yml"]""")
    assert taken(files, from_inventory=1)[0] == {"a": "of the inventory"}
    early = project.play(f"""{HEAD}  vars_files: ["{{{{ environ | default('0') }}}}.yml"]\n""")
    assert (early.vars_from_files, early.host_files) == ({"a": "of nobody"}, None)


def test_what_is_never_defined_is_told_and_fails_once_facts_are_there(project: Project) -> None:
    project.write("vars/x.yml", "a: 1\n")
    compiled = project.compile(HEAD + '  vars_files: ["{{ nobody }}.yml"]\n')
    assert any("'nobody' is undefined: passed over unless" in warning for warning in compiled.warnings)
    files = compiled.plan.plays[0].host_files
    assert files
    assert taken(files) == ({}, None)
    _, problem = taken(files, ansible_facts={})
    assert problem == (
        "an undefined variable was found when attempting to template the vars_files item '{{ nobody }}.yml': "
        "'nobody' is undefined"
    )
    assert taken(files, nobody="y") == ({}, None)
    assert "Invalid `vars_files` value" in str(taken(host_files(project, '["{{ nobody }}"]'), nobody=[1])[1])


def test_without_any_host_nothing_is_missed(project: Project) -> None:
    project.write("hosts.yml", "all:\n")
    compiled = project.compile(HEAD + f'  vars_files: ["{{{{ of_a_host }}}}.yml", "{FAMILY}.yml"]\n', allow_empty=True)
    assert compiled.warnings == ()


def test_a_template_that_no_file_fits_is_refused(project: Project) -> None:
    (fault,) = project.faults(f'{HEAD}  vars_files: [["vars/{FAMILY}.yml", "vars/{FAMILY}.json"]]\n')
    assert "no file fits" in fault.what
    assert fault.place is not None
    assert fault.place.line == 3


def test_a_file_that_cannot_be_read_fails_the_host_that_names_it(project: Project) -> None:
    project.write("vars/Debian.yml", "- just text\n")
    project.write("vars/RedHat.yml", encrypted("a: 1\n"))
    compiled = project.compile(f'{HEAD}  vars_files: ["vars/{FAMILY}.yml"]\n')
    assert sum("a host whose vars_files name it will fail" in one for one in compiled.warnings) == 2
    files = compiled.plan.plays[0].host_files
    assert files
    assert "holds no mapping" in str(taken(files, ansible_facts={"os_family": "Debian"})[1])
    assert "Ansible Vault" in str(taken(files, ansible_facts={"os_family": "RedHat"})[1])
    assert taken(files, ansible_facts={"os_family": "Suse"}) == ({}, None)


def test_vaulted_files_and_values_are_opened_here(project: Project) -> None:
    project.write("vars/Debian.yml", encrypted("a: whole\n"))
    project.write("vars/RedHat.yml", f"b: {inline('alone')}")
    with vault.using(vault.Vault([vault.Secret("default", PASSWORD.encode())])):
        files = host_files(project, f'["vars/{FAMILY}.yml"]\n  tasks: [{{debug: {{var: b}}}}]')
    assert of_debian(files) == {"a": "whole"}
    variables, _ = taken(files, ansible_facts={"os_family": "RedHat"})
    assert variables["b"].read() == "alone"


def test_facts_that_decide_are_gathered_and_changed_files_are_told(project: Project) -> None:
    project.write("vars/Debian.yml", "a: 1\n")
    project.write("site.yml", f'- hosts: web\n  vars_files: ["vars/{FAMILY}.yml"]\n  tasks: [{{command: uptime}}]\n')
    sources = [str(project.directory / "hosts.yml")]

    def read() -> Any:
        return read_playbook(project.directory / "site.yml", sources, Options(), {}, base=project.directory).plan

    before = read()
    assert [step.module for step in before.plays[0].steps] == ["gather_facts", "command"]
    project.write("vars/Debian.yml", "a: 2\n")
    assert any("vars_files of which each host takes its own" in one.text for one in differences(before, read()))


def test_what_the_files_decide_is_prepared_for_each_of_them(project: Project) -> None:
    for name in ("one", "two"):
        project.write(f"vars/{name}.yml", f"kind: {name}\nsteps: [{name}]\n")
        project.write(f"{name}-tasks.yml", "- ping:\n")
        project.write(f"files/{name}.txt", name)
    tasks = """
    - include_tasks: "{{ kind }}-tasks.yml"
    - include_tasks: one-tasks.yml
      loop: "{{ steps }}"
    - debug: {msg: "{{ lookup('file', kind ~ '.txt') }}"}
    - copy: {src: "{{ kind }}.txt", dest: /x}
"""
    head = f'{HEAD}  vars: {{kind: none}}\n  vars_files: ["vars/{{{{ ansible_facts.which }}}}.yml"]\n'
    plan = project.compile(f"{head}  tasks:{tasks}").plan
    first, second = (step.inclusions or () for step in plan.plays[0].steps if step.module == "include_tasks")
    assert {one.name for one in first} == {"one-tasks.yml", "two-tasks.yml"}
    assert {one.item for one in second} == {"one", "two"}
    assert {"one", "two"} <= {str(answer.get("gave")) for answer in plan.lookups.values()}
    assert {"files/one.txt", "files/two.txt"} <= plan.files.keys()
