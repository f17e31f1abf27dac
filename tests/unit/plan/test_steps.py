"""The steps of a play: their order, what they inherit, which of them tags and handlers leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from opsrunner.plan.codec import decode, encode
from opsrunner.plan.model import Step

if TYPE_CHECKING:
    from tests.unit.plan.conftest import Project


def names(steps: tuple[Step, ...]) -> list[str]:
    return [step.name for step in steps]


def test_steps_come_in_the_order_they_run(project: Project) -> None:
    steps = project.steps(
        """\
  pre_tasks: [{name: before, ping: }]
  post_tasks: [{name: after, ping: }]
  handlers: [{name: handle, ping: }]
  tasks:
    - name: one
      ping:
    - name: outer
      block:
        - name: two
          ping:
        - block: [{name: three, ping: }]
          always: [{name: four, ping: }]
      rescue: [{name: five, ping: }]
      always: [{name: six, ping: }]
    - ansible.builtin.ping:
"""
    )
    expected = "before handle one two three four five six ansible.builtin.ping handle after handle"
    assert names(steps) == expected.split()
    assert [step.number for step in steps] == list(range(12))
    assert [step.section for step in steps] == (
        ["pre_tasks", "handlers", *["tasks"] * 7, "handlers", "post_tasks", "handlers"]
    )
    assert [step.path for step in steps[3:8]] == [
        ((0, "block"),),
        ((0, "block"), (1, "block")),
        ((0, "block"), (1, "always")),
        ((0, "rescue"),),
        ((0, "always"),),
    ]
    assert len({step.place for step in steps if step.handler}) == 1
    assert steps[8].module == "ping"


def test_numbers_go_on_from_play_to_play(project: Project) -> None:
    text = "- hosts: web\n  gather_facts: false\n  tasks: [{ping: }, {ping: }]\n"
    plan = project.compile(text + text).plan
    assert [[step.number for step in play.steps] for play in plan.plays] == [[0, 1], [2, 3]]


def test_keywords_are_inherited(project: Project) -> None:
    (step,) = project.steps(
        """\
  become: true
  become_user: outer
  port: 1
  tags: play
  environment: {A: 1}
  vars: {play_var: 1}
  tasks:
    - when: one
      tags: [block, play]
      become_user: middle
      environment: [{B: 2}]
      vars: {x: 1, y: 1}
      notify: later
      block:
        - ping:
          when: [two, true]
          tags: task
          become_user: inner
          environment: "{{ more }}"
          vars: {y: 2}
          ignore_errors: '{{ i }}'
  handlers: [{name: later, ping: }]
"""
    )[:1]
    assert (step.become, step.become_user, step.port) == (True, "inner", 1)
    assert step.when == ("one", "two", True)
    assert step.tags == ("play", "block", "task")
    assert step.environment == ({"A": 1}, {"B": 2}, "{{ more }}")
    assert step.vars == {"x": 1, "y": 2}
    assert step.notify == ("later",)
    assert step.ignore_errors == "{{ i }}"


def test_a_step_has_all_its_keywords(project: Project) -> None:
    (step,) = project.steps(
        """\
  tasks:
    - name: all of it
      command: echo {{ it }}
      args: {chdir: /tmp}
      register: out
      loop: [1, 2]
      loop_control: {loop_var: it, index_var: i, label: "{{ it }}", pause: 1}
      until: out.rc == 0
      retries: 5
      delay: 0.5
      failed_when: []
      changed_when: false
      timeout: 9
      no_log: true
      delegate_to: web1
      rerun: safe
      guard: true
"""
    )
    assert step.arguments == {"_raw_params": "echo {{ it }}", "chdir": "/tmp"}
    assert step.loop is not None
    assert (step.loop.over, step.loop.variable, step.loop.index_variable) == ([1, 2], "it", "i")
    assert (step.loop.label, step.loop.pause) == ("{{ it }}", 1)
    assert (step.register, step.until, step.retries, step.delay) == ("out", ("out.rc == 0",), 5, 0.5)
    assert (step.failed_when, step.changed_when) == (None, (False,))
    assert (step.timeout, step.no_log, step.delegate_to, step.rerun) == (9, True, "web1", "safe")
    assert step.guard is True
    assert step.place.endswith("site.yml:4:7")


def test_a_plan_survives_its_journey(project: Project) -> None:
    plan = project.compile(
        "- hosts: all\n  vars: {ports: {80: http}, day: 2020-01-02}\n  tasks:\n    - debug: {msg: [1, {a: b}]}\n",
        extra_vars={"x": [1]},
        tags=("all",),
    ).plan
    assert decode(encode(plan)) == plan


TAGGED = """\
  tasks:
    - {name: plain, ping: }
    - {name: a, ping: , tags: a}
    - {name: never, ping: , tags: [never, b]}
    - {name: always, ping: , tags: always}
    - {name: rendered, ping: , tags: ["{{ t }}"]}
    - block: [{name: inner, ping: }]
      tags: a
  vars: {t: [c, d]}
  handlers: [{name: h, ping: , tags: x}]
"""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "plain a always rendered inner h"),
        ({"tags": ("a",)}, "a always inner h"),
        ({"tags": ("b",)}, "never always h"),
        ({"tags": ("d",)}, "always rendered h"),
        ({"skip_tags": ("a", "always")}, "plain rendered h"),
        ({"tags": ("untagged",)}, "plain always h"),
        ({"tags": ("nothing",), "skip_tags": ("always",)}, ""),
    ],
)
def test_tags(project: Project, options: dict[str, Any], expected: str) -> None:
    assert " ".join(names(project.steps(TAGGED, **options))) == expected


def test_the_first_handler_of_a_name_wins(project: Project) -> None:
    steps = project.steps(
        "  tasks: [{ping: , notify: [h, topic]}]\n  handlers:\n    - {name: h, ping: , listen: topic}\n"
        "    - {name: 'h', debug: , listen: topic}\n"
    )
    assert [(step.name, step.module) for step in steps] == [("ping", "ping"), ("h", "ping")]


def test_handlers_names_are_rendered(project: Project) -> None:
    steps = project.steps(
        "  vars: {v: x}\n  tasks: [{ping: , notify: restart x}]\n  handlers: [{name: 'restart {{ v }}', ping: }]\n"
    )
    assert steps[1].name == "restart x"


def test_handlers_that_notify_each_other_get_the_next_flush_too(project: Project) -> None:
    steps = project.steps(
        "  tasks: [{ping: , notify: b}]\n  handlers: [{name: a, ping: }, {name: b, ping: , notify: a}]\n"
    )
    assert names(steps) == ["ping", "a", "b", "a", "b"]


@pytest.mark.parametrize(
    ("text", "place", "words", "remedy"),
    [
        ("  tasks: [{ping: , notify: restrt}]\n  handlers: [{name: restart, ping: }]\n", "3:28", "'restrt'", "restart"),
        ("  tasks: [{ping: , notify: ping}]\n  handlers: [{listen: x, ping: }]\n", "3:28", "'ping'", "handlers"),
        ("  tasks: [{block: [{ping: }], notify: x}]\n", "3:39", "'x'", None),
        ("  tasks: []\n  handlers: [{name: a, ping: , notify: b}]\n", "4:40", "'b'", None),
        (
            "  tasks: []\n  handlers: [{name: a, ping: , listen: x}, {name: a, ping: , listen: y}]\n",
            "4:44",
            "two handlers are named 'a'",
            None,
        ),
        ("  tasks: []\n  handlers: [{name: '{{ nope }}', ping: }]\n", "4:14", "name cannot be rendered", None),
    ],
)
def test_handlers_that_are_wrong(project: Project, text: str, place: str, words: str, remedy: str | None) -> None:
    (fault,) = project.faults(f"- hosts: all\n  gather_facts: false\n{text}")
    assert str(fault.place).endswith(f"site.yml:{place}")
    assert words in fault.what
    assert remedy is None or (fault.remedy and remedy in fault.remedy)


def test_a_template_may_notify_what_is_not_known_yet(project: Project) -> None:
    assert project.steps("  tasks: [{ping: , notify: '{{ x }}'}]\n")[0].notify == ("{{ x }}",)
