"""What is found before a run: bad Jinja, and garbage of all sorts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from opsrunner.errors import OpsrunnerError

if TYPE_CHECKING:
    from tests.unit.plan.conftest import Project


@pytest.mark.parametrize(
    ("task", "column"),
    [
        ("debug: {msg: '{{ x '}", 21),
        ("debug: {msg: [1, '{{ x | nofilter }}']}", 25),
        ("debug: {var: 'a b'}", 21),
        ("assert: {that: ['a ==']}", 24),
        ("ping: , when: 'a =='", 22),
        ("ping: , when: [ok, 'a is notest']", 27),
        ("ping: , until: 'a =='", 23),
        ("ping: , failed_when: 'a =='", 29),
        ("ping: , vars: {a: ['{{ }}']}", 27),
        ("ping: , loop: '{{ x | }}'", 22),
        ("ping: , environment: {A: '{% if %}'}", 33),
        ("ping: , name: '{{ x'", 7),
    ],
)
def test_bad_jinja_is_found_before_the_run(project: Project, task: str, column: int) -> None:
    (fault,) = project.faults(f"- hosts: all\n  tasks:\n    - {{{task}}}\n")
    assert fault.place is not None
    assert (fault.place.line, fault.place.column) == (3, column)


@pytest.mark.parametrize("action", ["include_role", "import_role", "include_tasks", "import_tasks"])
def test_what_names_nothing_to_bring_in_is_refused(project: Project, action: str) -> None:
    wanted = "name" if action.endswith("role") else "file"
    (fault,) = project.faults(f"- hosts: all\n  tasks:\n    - {action}: {{}}\n    - ping:\n")
    assert fault.place is not None
    assert (fault.what.endswith(f"required arguments: {wanted}") or fault.what.endswith(f"required: {wanted}")) is True
    assert fault.place.line == 3


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("  tasks:\n    - raw: x\n      guard: true\n", 4, 14),
        ("  guard: true\n  tasks:\n    - raw: x\n", 4, 7),
        ("  tasks:\n    - block: [{raw: x}]\n      guard: 'yes'\n", 3, 15),
        ("  tasks: [{ping: , notify: h}]\n  handlers: [{name: h, raw: x, guard: true}]\n", 3, 39),
    ],
)
def test_raw_cannot_be_guarded(project: Project, text: str, line: int, column: int) -> None:
    (fault,) = project.faults(f"- hosts: all\n{text}")
    assert fault.place is not None
    assert (fault.what.startswith("raw cannot be guarded"), fault.place.line, fault.place.column) == (
        True,
        line,
        column,
    )


def test_raw_may_be_taken_out_of_a_guard(project: Project) -> None:
    steps = project.steps(
        "  guard: true\n  tasks: [{raw: x, guard: false}, {command: x}, {raw: x, guard: '{{ g }}'}]\n"
    )
    assert [step.guard for step in steps] == [False, True, "{{ g }}"]


@pytest.mark.parametrize(
    ("task", "keyword", "words"),
    [
        ("{debug: {msg: x}, async: 5}", "async", "debug cannot be run with async"),
        ("{raw: x, async: 5, poll: 0}", "async", "raw cannot be run with async"),
        ("{async_status: {jid: x}, async: '5'}", "async", "async_status cannot be run with async"),
        ("{apt: {name: x}, async: 5, poll: 0}", "poll", "apt cannot be left to itself on the host (poll: 0)"),
        ("{stat: {path: x}, async_val: 5, poll: 0}", "poll", "stat cannot be left to itself on the host (poll: 0)"),
    ],
)
def test_modules_that_cannot_be_jobs(project: Project, task: str, keyword: str, words: str) -> None:
    line = f"  tasks: [{task}]"
    (fault,) = project.faults(f"- hosts: all\n{line}\n")
    assert fault.place is not None
    assert (fault.what, fault.place.line) == (words, 2)
    assert line[fault.place.column - 1 :].startswith(line.partition(f"{keyword}: ")[2])


def test_what_is_a_job_and_what_is_none(project: Project) -> None:
    tasks = [
        "{shell: x, async: 5, poll: 0}, {apt: {name: x}, async: 5}, {debug: {msg: x}, async: 0, poll: 0}",
        "{debug: {msg: x}, async: '{{ s }}'}, {apt: {name: x}, async: '{{ s }}', poll: 0}, {apt: {name: x}, poll: 0}",
    ]
    steps = project.steps(f"  tasks: [{', '.join(tasks)}]\n")
    told = [(5, 0), (5, None), (0, 0), ("{{ s }}", None), ("{{ s }}", 0), (None, 0)]
    assert [(step.async_val, step.poll) for step in steps] == told


def test_an_undefined_variable_is_a_matter_of_each_host(project: Project) -> None:
    assert project.steps("  tasks: [{debug: {msg: '{{ nobody }}'}, when: nobody2}]\n")


@pytest.mark.parametrize("keyword", ["hosts: '{{ x '", "hosts: all\n  serial: '{{ x '", "hosts: all\n  tags: '{{ x '"])
def test_what_cannot_be_read_is_not_told_again_because_it_cannot_be_rendered(project: Project, keyword: str) -> None:
    (fault,) = project.faults(f"- {keyword}\n")
    assert "rendered" not in fault.what


def test_everything_is_told_at_once(project: Project) -> None:
    faults = project.faults(
        "- hosts: wbe\n  tasks:\n    - comand: x\n    - debug: {msg: '{{ x '}\n    - copy: {src: nope, dest: /x}\n"
        "- hosts: web\n  vars_files: [nope.yml]\n  tasks:\n    - ping: {date: x}\n"
    )
    assert [fault.place.line for fault in faults if fault.place] == [1, 3, 4, 5, 7, 9]
    assert faults[1].excerpt == "    - comand: x"


_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 99), st.sampled_from(["{{ x }}", "{{ x", "a", "web", "a=b"])
)
_WORDS = (
    "hosts tasks handlers pre_tasks block rescue always command copy debug template set_fact assert script when loop "
    "src dest msg that var with_items loop_control tags notify listen vars vars_files environment args action "
    "local_action register serial order strategy until retries delay name label pause become "
    "max_fail_percentage gather_facts"
)
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_WORDS.split()), inner, max_size=4)
    ),
    max_leaves=25,
)


@settings(max_examples=150, deadline=None)
@given(play=st.dictionaries(st.sampled_from(_WORDS.split()), _TREES, max_size=6))
def test_no_playbook_gives_a_traceback(play: dict[str, Any], make_project: Callable[[], Project]) -> None:
    project = make_project()
    try:
        project.compile(yaml.safe_dump([{"hosts": "all", **play}]))
    except OpsrunnerError as error:
        assert error.lines()
