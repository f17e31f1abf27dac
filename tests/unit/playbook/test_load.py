"""What a well-written playbook becomes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from opsrunner.errors import Place
from opsrunner.playbook import Block, ModuleCatalogue, Playbook, Task, load, parse

Read = Callable[[str], Playbook]
ReadTask = Callable[[str], Task]


@pytest.fixture
def read(few_modules: ModuleCatalogue) -> Read:
    """Reads the text of a playbook."""
    return lambda text: parse(text, Path("site.yml"), few_modules)


@pytest.fixture
def task_of(read: Read) -> ReadTask:
    """Reads the one task whose keywords a text holds."""

    def read_task(text: str) -> Task:
        body = "\n".join(f"      {line}" for line in text.strip().splitlines())
        task = read(f"- hosts: all\n  tasks:\n    -\n{body}\n").plays[0].sections["tasks"][0]
        assert isinstance(task, Task)
        return task

    return read_task


def test_plays_sections_handlers_and_places(read: Read) -> None:
    playbook = read(
        """\
- name: first
  hosts: [web, "!web9"]
  vars: {a: 1}
  vars_files: [one.yml, [two.yml, three.yml]]
  serial: [1, "30%"]
  pre_tasks:
    - command: before
  tasks:
    - name: work
      command: now
      notify: again
  post_tasks:
    - command: after
  handlers:
    - name: again
      command: handle
      listen: [x, y]
- hosts: db
"""
    )
    first, second = playbook.plays
    assert (first.name, first.hosts.value, first.vars) == ("first", ("web", "!web9"), {"a": 1})
    assert first.keywords["serial"].value == (1, "30%")
    assert [[one.value for one in entry] for entry in first.vars_files] == [["one.yml"], ["two.yml", "three.yml"]]
    assert [len(first.sections[name]) for name in ("pre_tasks", "tasks", "post_tasks")] == [1, 1, 1]
    work = first.sections["tasks"][0]
    assert work.place == Place("site.yml", 9, 7)
    assert work.keywords["notify"].value == ("again",)
    assert first.handlers[0].keywords["listen"].value == ("x", "y")
    assert second.place == Place("site.yml", 18, 3)
    assert second.name is None


def test_load_reads_the_file(tmp_path: Path, few_modules: ModuleCatalogue) -> None:
    path = tmp_path / "site.yml"
    path.write_text("- hosts: all\n", encoding="utf-8")
    assert load(path, few_modules).plays[0].place.file == str(path)


def test_blocks_nest(read: Read) -> None:
    playbook = read(
        """\
- hosts: all
  tasks:
    - name: outer
      when: a
      block:
        - block:
            - command: one
          rescue:
            - command: two
      always:
        - command: three
"""
    )
    outer = playbook.plays[0].sections["tasks"][0]
    assert isinstance(outer, Block)
    assert outer.keywords["when"].value == ("a",)
    inner = outer.block[0]
    assert isinstance(inner, Block)
    assert [len(inner.block), len(inner.rescue), len(outer.always)] == [1, 1, 1]


def test_arguments_in_every_form(task_of: ReadTask) -> None:
    expected = {"src": "a", "dest": "b"}
    for text in (
        "copy: src=a dest=b",
        "copy: {src: a, dest: b}",
        "copy: src=a\nargs: {dest: b}",
        "copy: {src: a, dest: b}\nargs: {dest: other}",
        "ansible.builtin.copy: {src: a, dest: b}",
        "action: copy src=a dest=b",
        "action: {module: copy, src: a, dest: b}",
        "action: {module: copy, args: {src: a, dest: b}}",
        "copy:\nargs: {src: a, dest: b}",
    ):
        task = task_of(text)
        assert (task.module, dict(task.arguments)) == ("copy", expected), text
    assert task_of("ansible.builtin.copy: {src: a, dest: b}").action == "ansible.builtin.copy"


def test_local_action_runs_on_localhost(task_of: ReadTask) -> None:
    task = task_of("local_action: command echo hi")
    assert task.arguments == {"cmd": "echo hi"}
    assert task.keywords["delegate_to"].value == "localhost"


def test_loops(task_of: ReadTask) -> None:
    loop = task_of(
        "command: x\nloop: [1, 2]\nloop_control: {loop_var: it, index_var: i, label: '{{ it }}', pause: 0.5}"
    ).loop
    assert loop is not None
    assert (loop.kind, loop.over.value, loop.variable, loop.index_variable) == ("loop", [1, 2], "it", "i")
    assert loop.label is not None and loop.label.value == "{{ it }}"
    assert loop.pause is not None and loop.pause.value == 0.5
    items = task_of("command: x\nwith_items: '{{ xs }}'").loop
    assert items is not None and (items.kind, items.variable) == ("items", "item")


def test_keywords_get_one_shape(task_of: ReadTask) -> None:
    task = task_of(
        "command: x\nwhen: [a, true]\ntags: 'a, b'\nenvironment: {A: 1}\nbecome: 'yes'\n"
        "retries: '3'\ndelay: 2.5\nport: '{{ p }}'\nignore_errors: no\nchanged_when: false\n"
        "connection: ansible.builtin.smart\nrerun: safe\nbecome_user: 1000"
    )
    values = {name: keyword.value for name, keyword in task.keywords.items()}
    assert values == {
        "when": ("a", True),
        "tags": ("a", "b"),
        "environment": ({"A": 1},),
        "become": True,
        "retries": 3,
        "delay": 2.5,
        "port": "{{ p }}",
        "ignore_errors": False,
        "changed_when": (False,),
        "connection": "ssh",
        "rerun": "safe",
        "become_user": "1000",
    }


def test_nothing_where_lists_and_mappings_may_be_empty(read: Read) -> None:
    playbook = read("- hosts: all\n  vars:\n  tasks:\n  handlers:\n  environment:\n  tags:\n  vars_files:\n")
    play = playbook.plays[0]
    assert (play.vars, play.sections["tasks"], play.handlers, play.vars_files) == ({}, (), (), ())
    assert play.keywords["environment"].value == ()


def test_warnings(read: Read) -> None:
    playbook = read(
        "- hosts: all\n  collections: [community.general, ansible.builtin]\n  handlers:\n    - command: x\n"
    )
    collection, handler = playbook.warnings
    assert "community.general" in collection and "ansible.builtin" not in collection
    assert "never be notified" in handler


def test_of_a_key_that_stands_twice_the_last_counts_and_a_warning_tells(read: Read) -> None:
    playbook = read("- hosts: all\n  tasks:\n    - command: x\n      when: a\n      when: b\n")
    task = playbook.plays[0].sections["tasks"][0]
    assert isinstance(task, Task)
    assert task.keywords["when"].value == ("b",)
    assert playbook.warnings == ("site.yml:5:7: key 'when' stands twice (as in Ansible the last one counts)",)
