"""Roles, imports and includes: what they become in a plan, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from opsrunner import inventory
from opsrunner.errors import InputError
from opsrunner.plan.codec import decode, encode
from opsrunner.plan.compile import compile_playbook
from opsrunner.plan.model import Compiled, Options
from opsrunner.plan.revise import differences

HOSTS = "all: {hosts: {a: {kind: one}, b: {kind: two}}}"
HEAD = "- hosts: all\n  gather_facts: false\n  "
SAY = "- debug: {msg: x}"


def compiled(folder: Path, play: str, files: dict[str, str] | None = None, **given: Any) -> Compiled:
    written = {"hosts.yml": HOSTS, "site.yml": HEAD + play, **(files or {})}
    for name, text in written.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    hosts = inventory.load([str(folder / "hosts.yml")], base=folder)
    return compile_playbook(folder / "site.yml", hosts, Options(**given), {})


def names(found: Compiled) -> list[str]:
    return [step.name for step in found.plan.plays[0].steps]


def test_a_plan_with_includes_survives_the_ledger(tmp_path: Path) -> None:
    files = {"one.yml": SAY, "roles/r/tasks/main.yml": SAY, "roles/r/defaults/main.yml": "x: 1"}
    plan = compiled(tmp_path, "roles: [r]\n  tasks:\n  - include_tasks: one.yml\n    loop: [1, {a: b}]", files).plan
    assert decode(encode(plan)) == plan
    assert [(one.item, one.block) for one in plan.plays[0].steps[1].inclusions or ()] == [(1, 0), ({"a": "b"}, 1)]


def test_an_include_names_what_each_host_may_bring_in(tmp_path: Path) -> None:
    files = {"one.yml": SAY, "two.yml": SAY, "three.yml": SAY}
    step = compiled(tmp_path, 'tasks:\n  - include_tasks: "{{ kind }}.yml"', files).plan.plays[0].steps[0]
    assert [one.name for one in step.inclusions or ()] == ["one.yml", "two.yml"]


def test_a_name_of_the_run_stands_for_the_files_that_fit_it(tmp_path: Path) -> None:
    files = {"t/one.yml": SAY, "t/two.yml": SAY, "t/vars.yml": "a: 1", "t/book.yml": HEAD, "t/note.txt": "x"}
    step = compiled(tmp_path, 'tasks:\n  - include_tasks: "t/{{ later }}.yml"', files).plan.plays[0].steps[0]
    assert [one.name for one in step.inclusions or ()] == ["t/one.yml", "t/two.yml"]


def test_keywords_of_an_import_are_inherited_and_those_of_an_include_are_not(tmp_path: Path) -> None:
    files = {"one.yml": SAY}
    said = "one.yml, when: kind == 'one', tags: t"
    text = f"tasks:\n  - {{import_tasks: {said}}}\n  - {{include_tasks: {said}}}"
    first, include, second = compiled(tmp_path, text, files).plan.plays[0].steps
    assert (first.when, first.tags) == (("kind == 'one'",), ("t",))
    assert (include.when, include.tags) == (("kind == 'one'",), ("t",))
    assert (second.when, second.tags, second.path) == ((), (), ((0, "included"),))


def test_an_include_that_tags_leave_out_leaves_out_its_tasks(tmp_path: Path) -> None:
    text = "tasks:\n  - {include_tasks: one.yml, tags: t}\n  - debug: {msg: y}"
    assert names(compiled(tmp_path, text, {"one.yml": SAY}, skip_tags=("t",))) == ["debug"]


def test_two_roles_have_each_their_own_file_of_one_name(tmp_path: Path) -> None:
    copy = "- copy: {src: f, dest: /tmp/f}"
    files = {f"roles/{one}/{path}": text for one in "pq" for path, text in (("tasks/main.yml", copy), ("files/f", one))}
    found = compiled(tmp_path, "roles: [p, q]", files)
    assert sorted(found.files[digest] for digest in found.plan.files.values()) == [b"p", b"q"]
    assert len({step.search for step in found.plan.plays[0].steps}) == 2


def test_role_variables_are_merged_in_ansibles_order(tmp_path: Path) -> None:
    files = {
        "roles/base/defaults/main.yml": "{a: base, b: base}",
        "roles/base/vars/main.yml": "c: base",
        "roles/r/meta/main.yml": "dependencies: [{role: base, p: 1}]",
        "roles/r/defaults/main.yml": "a: r",
        "roles/r/tasks/main.yml": SAY,
    }
    play = compiled(tmp_path, "roles: [{role: r, q: 2, vars: {d: 3}}]", files).plan.plays[0]
    assert (play.role_defaults, play.role_vars) == ({"a": "r", "b": "base"}, {"c": "base"})
    (r,) = [role for role in play.roles if role.name == "r"]
    assert (r.vars, r.params) == ({"c": "base", "d": 3}, {"q": 2})
    assert play.role_names == ("r",)
    assert play.dependent_role_names == ("base",)


def test_a_role_with_an_argument_spec_begins_with_its_check(tmp_path: Path) -> None:
    spec = "argument_specs: {main: {short_description: r, options: {n: {type: int, description: '{{ x }}'}}}}"
    files = {"roles/r/tasks/main.yml": SAY, "roles/r/tasks/other.yml": SAY, "roles/r/meta/main.yml": spec}
    text = "roles: [{role: r, n: 1}]\n  tasks:\n  - import_role: {name: r, tasks_from: other}"
    text += "\n  - import_role: {name: r, rolespec_validate: false}"
    found = compiled(tmp_path, text, files, tags=("none",)).plan.plays[0].steps
    assert [step.name for step in found] == ["r : Validating arguments against arg spec 'main' - r"]
    assert found[0].arguments["argument_spec"] == {"n": {"type": "int"}}
    assert found[0].arguments["provided_arguments"] == {"n": 1}
    assert len(compiled(tmp_path, text, files).plan.plays[0].steps) == 4


def test_what_changed_in_roles_is_told_by_names_alone(tmp_path: Path) -> None:
    files = {"roles/r/tasks/main.yml": SAY, "roles/r/defaults/main.yml": "secret: old", "one.yml": SAY}
    text = "roles: [r]\n  tasks:\n  - include_tasks: one.yml\n    vars: {token: %s}"
    old = compiled(tmp_path, text % "old", files).plan
    new = compiled(tmp_path, text % "new", files | {"roles/r/defaults/main.yml": "secret: new"}).plan
    told = "\n".join(one.text for one in differences(old, new))
    assert "defaults of roles changed: secret" in told
    assert "variables of role r changed: secret" in told
    assert "params changed: token" in told
    assert "new" not in told


@pytest.mark.parametrize(
    ("play", "files", "place", "words"),
    [
        ("roles: [absent]", {}, "site.yml:3:11", "role absent not found"),
        ("roles: [a.b.c]", {}, "site.yml:3:11", "role a.b.c not found"),
        ("tasks:\n  - import_tasks: no.yml", {}, "site.yml:4:19", "no.yml not found"),
        ("tasks:\n  - include_tasks: t.yml", {"t.yml": "- import_tasks: t.yml"}, "t.yml:1:17", "brings in itself"),
        ("tasks:\n  - include_tasks: t.yml", {"t.yml": "a: 1"}, "t.yml:1:1", "takes a list of tasks"),
        ("tasks:\n  - include_tasks: t.yml\n    loop: '{{ later }}'", {"t.yml": SAY}, "site.yml:5:11", "must be known"),
        ("tasks:\n  - include_tasks: '{{ later }}.yml'", {}, "site.yml:4:20", "nothing can be found"),
        (
            "roles: [r]",
            {"roles/r/meta/main.yml": "dependencies: [r]"},
            "roles/r/meta/main.yml:1:16",
            "brings in itself",
        ),
        ("roles: [r]", {"roles/r/vars/main.yml": "[]"}, "roles/r/vars/main.yml:1:1", "mapping of names"),
        (
            "roles: [r]",
            {"roles/r/meta/argument_specs.yml": "argument_specs:\n  main: {options: {n: {type: integer}}}"},
            "roles/r/meta/argument_specs.yml:2:9",
            "argument spec of main: type of option n is 'integer'",
        ),
        (
            "tasks:\n  - include_role: {name: r, tasks_from: x}",
            {"roles/r/tasks/main.yml": SAY},
            "site.yml:4:5",
            "tasks/x",
        ),
        (
            "tasks:\n  - include_tasks: t.yml\n    loop: '{{ range(501) | list }}'",
            {"t.yml": SAY},
            "site.yml:4:20",
            "500",
        ),
    ],
)
def test_faults(tmp_path: Path, play: str, files: dict[str, str], place: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        compiled(tmp_path, play, files)
    told = str(caught.value).replace(f"{tmp_path}/", "")
    assert told.startswith(f"{place}: ")
    assert words in told


def test_roles_are_found_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_ROLES_PATH", str(tmp_path / "shared"))
    files = {"shared/r/tasks/main.yml": "- debug: {msg: shared}", "r/tasks/main.yml": "- debug: {msg: last}"}
    (step,) = compiled(tmp_path, "roles: [r]", files).plan.plays[0].steps
    assert step.arguments == {"msg": "shared"}


def test_a_role_of_a_collection_finds_those_beside_it_first(tmp_path: Path) -> None:
    below = "collections/ansible_collections/a/b/roles/"
    files = {
        f"{below}c/tasks/main.yml": "- include_role: {name: d}\n- include_role: {name: '{{ which }}'}",
        f"{below}d/tasks/main.yml": "- debug: {msg: of the collection}",
        "roles/d/tasks/main.yml": "- debug: {msg: of the playbook}",
    }
    found = compiled(tmp_path, "vars: {which: a.b.d}\n  roles: [a.b.c]", files)
    said = [step.arguments.get("msg") for step in found.plan.plays[0].steps]
    assert said == [None, "of the collection", None, "of the collection"]


def test_where_nobody_comes_nobody_misses_a_variable(tmp_path: Path) -> None:
    tasks = (
        "tasks:\n"
        "  - {include_tasks: '{{ unknown }}.yml'}\n"
        "  - {include_tasks: one.yml, loop: '{{ unknown }}'}\n"
        "  - {copy: {src: '{{ unknown }}', dest: /x}}"
    )
    files = {"one.yml": SAY, "play.yml": "- hosts: all\n  gather_facts: false\n  " + tasks}
    with pytest.raises(InputError) as caught:
        compiled(tmp_path, tasks, files)
    assert len(caught.value.lines()) > 2
    hosts = inventory.load([], base=tmp_path)
    assert compile_playbook(tmp_path / "play.yml", hosts, Options(), {}, allow_empty=True).plan.plays[0].hosts == ()
