"""``serial_by``, budgets and gates: what opsrunner has for roll-outs and Ansible does not."""

from __future__ import annotations

import pytest

from opsrunner.cli.plan import describe
from opsrunner.plan import budgets
from opsrunner.plan.codec import decode, encode
from opsrunner.plan.revise import differences, revised
from tests.unit.plan.conftest import Project

RACKS = """\
all:
  children:
    web:
      hosts:
        a1: {rack: r2, height: 1}
        b1: {rack: "{{ 'r' ~ height }}", height: 1}
        a2: {rack: r2, height: 3}
        c1: {rack: r3, height: 2}
        b2: {rack: r1, height: 2}
    site: {children: {east: {hosts: {a1: , a2: , c1: }}, west: {hosts: {b1: , b2: }}}}
    half: {children: {east: , few: {hosts: {a1: }}}}
    bare: {hosts: {bare1: , bare2: {rack: [1]}, bare3: {rack: }}}
"""


@pytest.fixture
def racks(project: Project) -> Project:
    project.write("hosts.yml", RACKS)
    return project


def play(words: str, hosts: str = "web") -> str:
    return f"- hosts: {hosts}\n  gather_facts: false\n{words}\n  tasks: [ping: ]\n"


@pytest.mark.parametrize(
    ("words", "batches"),
    [
        ("  serial_by: rack", [("a1", "a2"), ("b1", "b2"), ("c1",)]),
        ("  serial_by: site", [("a1", "a2", "c1"), ("b1", "b2")]),
        ("  serial_by: rack\n  serial: 2", [("a1", "a2", "b1", "b2"), ("c1",)]),
        ('  serial_by: rack\n  serial: [1, "67%"]', [("a1", "a2"), ("b1", "b2", "c1")]),
        ("  serial_by: rack\n  serial: 0", [("a1", "a2", "b1", "b2", "c1")]),
        ("  serial_by: rack\n  order: reverse_inventory", [("b2", "b1"), ("c1",), ("a2", "a1")]),
        ("  serial_by: height", [("a1", "b1"), ("a2",), ("c1", "b2")]),
        ('  serial_by: "{{ what }}"\n  vars: {what: site}', [("a1", "a2", "c1"), ("b1", "b2")]),
        ("  serial_by: zone\n  vars: {zone: \"{{ rack | replace('r3', 'r2') }}\"}", [("a1", "a2", "c1"), ("b1", "b2")]),
    ],
)
def test_batches_by_value(racks: Project, words: str, batches: list[tuple[str, ...]]) -> None:
    assert list(racks.play(play(words)).batches) == batches


def test_the_limit_comes_first(racks: Project) -> None:
    assert racks.play(play("  serial_by: rack"), limit="!a1:!c1").batches == (("b1", "b2"), ("a2",))


def test_batches_are_named(racks: Project) -> None:
    plan = racks.compile(play("  serial_by: rack\n  serial: 2")).plan
    assert decode(encode(plan)) == plan
    assert "  batch 1 of 2, rack r2, r1: a[1-2],b[1-2] (4)" in describe(plan)
    assert "  batch 2 of 2, rack r3: c1 (1)" in describe(plan)


@pytest.mark.parametrize(
    ("words", "hosts", "told"),
    [
        ("  serial_by: rack", "web:bare", ["bare1, bare2, bare3: no single value of the variable rack"]),
        ("  serial_by: shelf", "web", ["a1, b1, a2, c1, b2: no single value of the variable shelf"]),
        ("  serial_by: site", "web:bare1", ["bare1: in no child of the group site"]),
        (
            "  serial_by: half",
            "web",
            ["a1: in several of the children of half (east, few)", "b1, b2: in no child of the group half"],
        ),
        ("  serial_by: web", "web", ["the group web has no children"]),
        ("  serial_by: no-such", "web", ["'no-such' is neither"]),
        ("  serial_by: [rack]", "web", ["serial_by takes a text, not a list"]),
        ("  serial_by:", "web", ["serial_by has no value"]),
    ],
)
def test_a_partition_that_is_none(racks: Project, words: str, hosts: str, told: list[str]) -> None:
    faults = racks.faults(play(words, hosts))
    assert len(faults) == len(told)
    for fault, text in zip(faults, told, strict=True):
        assert text in fault.what
        assert fault.place and fault.place.line == 3


@pytest.mark.parametrize(
    ("first", "second", "options", "hosts"),
    [
        ("3", None, {}, 3),
        ('"40%"', None, {}, 2),
        ('"{{ 1 + 1 }}"', None, {}, 2),
        ("3", "1", {}, 1),
        ("0", '"100%"', {}, 0),
        ("3", '"39%"', {}, 1),
        ("0", None, {"max_failed": "4", "max_unreachable": "4"}, 4),
        (None, None, {"max_failed": "50%", "max_unreachable": "50%"}, 2),
    ],
)
def test_budgets(racks: Project, first: str | None, second: str | None, options: dict[str, str], hosts: int) -> None:
    for word, budget in (("error_budget", budgets.error_budget), ("unreachable_budget", budgets.unreachable_budget)):
        text = "".join(play(f"  {word}: {said}" if said else "") for said in (first, second))
        plan = racks.compile(text, **options).plan
        assert decode(encode(plan)) == plan
        limit = budget(plan)
        assert limit and limit.hosts == hosts


def test_a_budget_is_shown(racks: Project) -> None:
    shown = describe(racks.compile(play('  error_budget: "40%"\n  unreachable_budget: 1')).plan)
    assert f"the run stops when more than 2 hosts (40%) fail  {racks.directory / 'site.yml'}:1:3" in shown
    assert f"the run stops when more than 1 host cannot be reached  {racks.directory / 'site.yml'}:1:3" in shown


@pytest.mark.parametrize("word", ["error_budget", "unreachable_budget"])
@pytest.mark.parametrize("value", ["-1", "2.5", '"101%"', "many", "[1]", "yes", "", "\"{{ 'x' }}\"", '"{{ -1 }}"'])
def test_a_budget_that_is_none(racks: Project, word: str, value: str) -> None:
    (fault,) = racks.faults(play(f"  {word}: {value}"))
    assert fault.what.startswith(f"{word} ")
    assert fault.place and fault.place.line == 3


GATE = """\
- hosts: web
  gather_facts: false
  serial: 2
{words}
  tasks: [{{ping: }}]
  gate:
    dwell: {dwell}
    run_once: true
    vars: {{port: 80}}
    tasks:
      - name: it answers
        command: "curl localhost:{{{{ port }}}}"
        notify: told
      - include_role: {{name: checks}}
  handlers: [{{name: told, debug: }}]
"""


@pytest.fixture
def gated(project: Project) -> Project:
    project.write("roles/checks/tasks/main.yml", "- name: well\n  stat: {path: /}\n")
    return project


def test_a_gate_is_a_section_of_the_play(gated: Project) -> None:
    plan = gated.compile(GATE.format(dwell="2m", words="")).plan
    assert decode(encode(plan)) == plan
    play = plan.plays[0]
    assert play.dwell == 120
    steps = [(step.section, step.name) for step in play.steps if step.section != "handlers"]
    assert steps[1:] == [
        ("gate", "gate : it answers"),
        ("gate", "gate : include_role : checks"),
        ("gate", "gate : checks : well"),
    ]
    assert [step.section for step in play.steps] == ["tasks", "handlers", *["gate"] * 3, "handlers"]
    gate = [step for step in play.steps if step.section == "gate"]
    assert all(step.run_once is True and step.any_errors_fatal is True for step in gate[:2])
    assert gate[0].vars == {"port": 80}
    assert "  gate after each batch, waiting 120 s" in describe(plan)


@pytest.mark.parametrize(
    ("dwell", "seconds"), [("30", 30), ("1.5", 1.5), ("10m", 600), ('"{{ 2 * 3 }}s"', 6), ("1h", 3600), ("0", 0)]
)
def test_dwell(gated: Project, dwell: str, seconds: float) -> None:
    compiled = gated.compile(GATE.format(dwell=dwell, words="  strategy: free"))
    assert compiled.plan.plays[0].dwell == seconds
    assert compiled.warnings == (), "a gate's steps are no matter of the strategy"


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"tags": ("x",)}, 3),
        ({"skip_tags": ("always",)}, 0),
        ({"tags": ("y",)}, 0),
        ({"skip_tags": ("x",)}, 0),
    ],
)
def test_tags_leave_the_gate_standing(gated: Project, options: dict[str, tuple[str, ...]], left: int) -> None:
    steps = (
        gated.compile(GATE.format(dwell="1", words="").replace("ping: ", "ping: , tags: x"), **options)
        .plan.plays[0]
        .steps
    )
    assert len([step for step in steps if step.section == "gate"]) == left


@pytest.mark.parametrize(
    ("gate", "told", "column"),
    [
        ("[{ping: }]", "gate takes a mapping, not a list", 9),
        ("ping", "gate takes a mapping, not 'ping'", 9),
        ("", "gate takes a mapping, not nothing", 8),
        ("{dwell: 3}", "the gate has no tasks", 9),
        ("{tasks: }", "the gate has no tasks", 9),
        ("{tasks: ping}", "tasks takes a list of tasks, not 'ping'", 17),
        ("{tasks: [{ping: }], dwell: soon}", "dwell takes a time, not 'soon'", 36),
        ("{tasks: [{ping: }], dwell: -1}", "dwell takes a time, not -1", 36),
        ("{tasks: [{ping: }], dwell: 99999999d}", "dwell takes a time, not '99999999d'", 36),
        ("{tasks: [{ping: }], dwell: }", "dwell has no value", 29),
        ("{tasks: [{ping: }], dwell: '{{ x y }}'}", "Syntax error in template", 36),
        ("{tasks: [{ping: }], dwell: '{{ later }}'}", "dwell cannot be rendered", 36),
        ("{tasks: [{ping: }], dwell: '{{ \"x\" }}'}", "dwell takes a time, not 'x'", 36),
        ("{tasks: [{ping: }], dwel: 1}", "'dwel' is no keyword of a gate", 29),
        ("{tasks: [{ping: }], register: x}", "register does not stand on a gate", 29),
        ("{tasks: [{ping: }], any_errors_fatal: true}", "any_errors_fatal is what a gate is", 29),
        ("{tasks: [{pin: }]}", "pin", 19),
        ("{tasks: [{ping: , notify: nobody}]}", "nobody", 35),
    ],
)
def test_a_gate_that_is_none(project: Project, gate: str, told: str, column: int) -> None:
    (fault,) = project.faults(f"- hosts: web\n  tasks: [{{ping: }}]\n  gate: {gate}\n")
    assert told in str(fault)
    assert fault.place and (fault.place.line, fault.place.column) == (3, column)


def test_a_run_keeps_its_batches_and_budgets(project: Project) -> None:
    before = project.compile(play("  serial_by: all\n  error_budget: 1")).plan
    after = project.compile(
        play("  serial_by: rack\n  error_budget: 2\n  vars: {rack: '{{ inventory_hostname }}'}")
    ).plan
    told = [one.text.partition("): ")[2] for one in differences(before, after)]
    assert "serial_by: all → rack, and this run keeps its batches" in told
    assert "error_budget: 1 → 2, and this run keeps its own" in told
    kept, old = revised(before, after).plays[0], before.plays[0]
    assert (kept.batches, kept.batch_names, kept.serial_by) == (old.batches, old.batch_names, old.serial_by)
    assert kept.error_budget == "1"


def test_the_dwell_of_a_gate_may_change(gated: Project) -> None:
    before, after = (gated.compile(GATE.format(dwell=dwell, words="")).plan for dwell in (1, 2))
    (told,) = differences(before, after)
    assert told.text.endswith("dwell of the gate: 1.0 → 2.0")
    assert revised(before, after).plays[0].dwell == 2
