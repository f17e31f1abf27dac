"""Variables and files that are read when a playbook is compiled, and travel along."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.plan.conftest import Project


def test_vars_files(project: Project) -> None:
    project.write("one.yml", "a: 1\nb: 1\nday: 2020-01-02\n")
    project.write("vars/two.yml", "[{b: 2}, {c: 2}]\n")
    project.write("prod.json", '{"d": 1e1}')
    project.write("empty.yml", "")
    play = project.play(
        "- hosts: all\n  vars: {stage: prod}\n"
        "  vars_files: [one.yml, [missing.yml, two.yml], '{{ stage }}.json', empty.yml]\n"
    )
    assert play.vars_from_files == {"a": 1, "b": 2, "c": 2, "d": 10.0, "day": "2020-01-02"}


@pytest.mark.parametrize(
    ("files", "entry", "words"),
    [
        ({}, "x.yml", "x.yml not found"),
        ({}, "[x.yml, y.yml]", "x.yml or y.yml not found"),
        ({}, "'{{ inventory_hostname }}.yml'", "no file fits {{ inventory_hostname }}.yml"),
        ({}, "'{{ {}.x }}.yml'", "vars_files cannot be rendered"),
        ({"x.yml": "just text"}, "x.yml", "holds no mapping"),
        ({"x.yml": "1: a"}, "x.yml", "1, which is no name"),
        ({"x.yml": "a: [}"}, "x.yml", "broken YAML"),
        ({"x.yml": "$ANSIBLE_VAULT;1.1;AES256\n31"}, "x.yml", "Ansible Vault"),
    ],
)
def test_vars_files_that_are_wrong(project: Project, files: dict[str, str], entry: str, words: str) -> None:
    for name, text in files.items():
        project.write(name, text)
    (fault,) = project.faults(f"- hosts: all\n  vars_files: [{entry}]\n")
    assert words in fault.what


def test_files_that_are_named_travel_along(project: Project) -> None:
    project.write("files/a.conf", "A")
    project.write("b.conf", "B")
    project.write("templates/t.j2", "{{ x }}")
    project.write("files/run me.sh", "R")
    absolute = project.write("elsewhere/c", "C")
    compiled = project.compile(
        f"""\
- hosts: all
  tasks:
    - copy: {{src: a.conf, dest: /a}}
    - copy: {{src: files/a.conf, dest: /a}}
    - copy: {{src: b.conf, dest: /b}}
    - copy: {{src: {absolute}, dest: /c}}
    - copy: {{content: x, dest: /d}}
    - copy: {{src: /on/the/host, dest: /d, remote_src: true}}
    - template: {{src: t.j2, dest: /t}}
    - script: "'run me.sh' {{{{ x }}}}"
    - copy: {{src: not/there, dest: /d}}
      tags: never
"""
    )
    contents = {key: compiled.files[digest].decode() for key, digest in compiled.plan.files.items()}
    assert contents == {
        "files/a.conf": "A",
        "files/files/a.conf": "A",
        "files/b.conf": "B",
        f"files/{absolute}": "C",
        "templates/t.j2": "{{ x }}",
        "files/run me.sh": "R",
    }


def test_a_rendered_path_takes_the_folder_along(project: Project) -> None:
    project.write("files/web/x", "X")
    beside = project.write("beside", "B")
    compiled = project.compile(
        "- hosts: all\n  tasks:\n    - copy: {src: '{{ inventory_hostname }}/x', dest: /x}\n"
        "    - copy: {src: '{{ playbook_dir }}/beside', dest: /x}\n"
        "    - copy: {src: '{{ item }}', dest: /x}\n      loop: [beside]\n"
    )
    assert set(compiled.plan.files) == {
        "files/web/x",
        "files/files/web/x",
        f"files/{project.directory}/files/web/x",
        f"files/{beside}",
        "files/beside",
        "files/web/",
        "files/files/web/",
        f"files/{project.directory}/files/web/",
    }
    assert len(compiled.files) == 3


def test_a_folder_travels_with_what_is_in_it(project: Project) -> None:
    project.write("files/site/sub/x", "X")
    site = project.directory / "files/site"
    (site / "sub/nowhere").symlink_to("gone")
    (site / "sub/back").symlink_to("..")
    (site / "linked").symlink_to("sub/x")
    compiled = project.compile(
        "- hosts: all\n  tasks:\n    - copy: {src: site, dest: /x}\n    - copy: {src: site/, dest: /x}\n"
    )
    assert set(compiled.plan.files) == {"files/site/", "files/site/sub/x", "files/site/linked"}
    listing = json.loads(compiled.files[compiled.plan.files["files/site/"]])
    links = {"sub/back": "..", "sub/nowhere": "gone"}
    assert listing == {"files": ["linked", "sub/x"], "folders": ["sub"], "links": links}


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("copy: {src: nope, dest: /x}", "nope not found"),
        ("template: {src: folder, dest: /x}", "folder is a folder"),
        ("copy: {src: '{{ x }}', dest: /x}", "no file can be taken along"),
        ("template: {src: nope.j2, dest: /x}", "nope.j2 not found"),
        ("script: nope.sh a b", "nope.sh not found"),
    ],
)
def test_files_that_are_missing(project: Project, task: str, words: str) -> None:
    (project.directory / "folder").mkdir()
    (fault,) = project.faults(f"- hosts: all\n  tasks:\n    - {task}\n")
    assert words in fault.what
    assert fault.place is not None and fault.place.line == 3


def test_files_together_have_a_limit(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opsrunner.plan.bundle.LIMIT", 5)
    project.write("a", "aaa")
    project.write("b", "bbb")
    (fault,) = project.faults(
        "- hosts: all\n  tasks:\n    - copy: {src: a, dest: /a}\n    - copy: {src: b, dest: /b}\n"
    )
    assert "larger than" in fault.what
    assert fault.place is not None and fault.place.line == 4


def test_templates_are_read_before_the_run(project: Project) -> None:
    project.write("templates/t.j2", "fine\n{% if x %}\n{{ y | nofilter }}\n")
    faults = project.faults("- hosts: all\n  tasks:\n    - template: {src: t.j2, dest: /t}\n")
    assert all(fault.place is not None and fault.place.file.endswith("templates/t.j2") for fault in faults)


@pytest.mark.parametrize(
    ("text", "rules", "place"),
    [
        ("fine\n{{ y | nofilter }}\n", "", (2, 8)),
        ("fine\n{{ y \n", "", (2, 1)),
        ("fine\n\n{% include 'x' %}\n", "", None),
        ("fine\n<< y | nofilter >> {{ as it is\n", ", variable_start_string: '<<', variable_end_string: '>>'", (2, 8)),
    ],
)
def test_faults_of_template_files_have_their_line(
    project: Project, text: str, rules: str, place: tuple[int, int] | None
) -> None:
    project.write("templates/t.j2", text)
    (fault,) = project.faults(f"- hosts: all\n  tasks:\n    - template: {{src: t.j2, dest: /t{rules}}}\n")
    assert fault.place is not None and fault.place.file.endswith("templates/t.j2")
    if place is not None:
        assert (fault.place.line, fault.place.column) == place
        assert fault.excerpt == text.splitlines()[place[0] - 1]
    else:
        assert "includes or imports" in fault.what


def test_a_template_whose_rules_are_fine(project: Project) -> None:
    project.write(
        "templates/t.j2", "#jinja2: variable_start_string: '[[', variable_end_string: ']]'\n[[ x ]] {{ as it is\n"
    )
    assert project.compile("- hosts: all\n  tasks:\n    - template: {src: t.j2, dest: /t}\n").plan.files
