"""Playbook × inventory → plan: hosts, steps, what they inherit, handlers, tags, files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from opsrunner import inventory
from opsrunner.errors import InputError, InputErrors
from opsrunner.plan.codec import decode, encode
from opsrunner.plan.compile import Compiled, compile_exec, compile_playbook
from opsrunner.plan.model import Options, Play, Step

HOSTS = """\
all:
  vars: {from_inventory: 1}
  children:
    web: {hosts: {"web[1:4]": }}
    db: {hosts: {"db[1:2]": {ansible_custom: x}}}
"""


class Project:
    """A folder with an inventory, in which playbooks are written and compiled."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.write("hosts.yml", HOSTS)

    def write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def inventory(self) -> inventory.Inventory:
        return inventory.load([str(self.directory / "hosts.yml")], base=self.directory)

    def compile(
        self, text: str, extra_vars: dict[str, Any] | None = None, *, allow_empty: bool = False, **options: Any
    ) -> Compiled:
        path = self.write("site.yml", text)
        return compile_playbook(path, self.inventory(), Options(**options), extra_vars or {}, allow_empty=allow_empty)

    def play(self, text: str, **options: Any) -> Play:
        return self.compile(text, **options).plan.plays[0]

    def steps(self, tasks: str, **options: Any) -> tuple[Step, ...]:
        """The steps of a play for all hosts whose ``tasks`` and further keywords the text holds."""
        return self.play(f"- hosts: all\n  gather_facts: false\n{tasks}", **options).steps

    def faults(self, text: str, **options: Any) -> list[InputError]:
        with pytest.raises(InputError) as caught:
            self.compile(text, **options)
        return list(caught.value.errors) if isinstance(caught.value, InputErrors) else [caught.value]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def names(steps: tuple[Step, ...]) -> list[str]:
    return [step.name for step in steps]


# --- hosts -------------------------------------------------------------------------------------


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
    assert play.hosts == tuple(host for batch in batches for host in batch)


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


# --- steps -------------------------------------------------------------------------------------


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
"""
    )
    assert step.arguments == {"_raw_params": "echo {{ it }}", "chdir": "/tmp"}
    assert step.loop is not None
    assert (step.loop.over, step.loop.variable, step.loop.index_variable) == ([1, 2], "it", "i")
    assert (step.loop.label, step.loop.pause) == ("{{ it }}", 1)
    assert (step.register, step.until, step.retries, step.delay) == ("out", ("out.rc == 0",), 5, 0.5)
    assert (step.failed_when, step.changed_when) == (None, (False,))
    assert (step.timeout, step.no_log, step.delegate_to, step.rerun) == (9, True, "web1", "safe")
    assert step.place.endswith("site.yml:4:7")


def test_a_plan_survives_its_journey(project: Project) -> None:
    plan = project.compile(
        "- hosts: all\n  vars: {ports: {80: http}, day: 2020-01-02}\n  tasks:\n    - debug: {msg: [1, {a: b}]}\n",
        extra_vars={"x": [1]},
        tags=("all",),
    ).plan
    assert decode(encode(plan)) == plan


# --- tags --------------------------------------------------------------------------------------

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


# --- handlers ----------------------------------------------------------------------------------


def test_the_last_handler_of_a_name_wins(project: Project) -> None:
    steps = project.steps(
        "  tasks: [{ping: , notify: [h, topic]}]\n  handlers:\n    - {name: h, ping: }\n"
        "    - {name: 'h', debug: , listen: topic}\n"
    )
    assert [(step.name, step.module) for step in steps] == [("ping", "ping"), ("h", "debug")]


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
        ("  tasks: []\n  handlers: [{name: a, ping: , notify: b}]\n", "4:39", "'b'", None),
        (
            "  tasks: []\n  handlers: [{name: a, ping: , listen: x}, {name: a, ping: , listen: y}]\n",
            "4:14",
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


# --- Jinja -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "column"),
    [
        ("debug: {msg: '{{ x '}", 20),
        ("debug: {msg: [1, '{{ x | nofilter }}']}", 24),
        ("debug: {var: 'a b'}", 20),
        ("assert: {that: ['a ==']}", 23),
        ("ping: , when: 'a =='", 21),
        ("ping: , when: [ok, 'a is notest']", 26),
        ("ping: , until: 'a =='", 22),
        ("ping: , failed_when: 'a =='", 28),
        ("ping: , vars: {a: ['{{ }}']}", 26),
        ("ping: , loop: '{{ x | }}'", 21),
        ("ping: , environment: {A: '{% if %}'}", 32),
        ("ping: , name: '{{ x'", 7),
    ],
)
def test_bad_jinja_is_found_before_the_run(project: Project, task: str, column: int) -> None:
    (fault,) = project.faults(f"- hosts: all\n  tasks:\n    - {{{task}}}\n")
    assert fault.place is not None
    assert (fault.place.line, fault.place.column) == (3, column)


def test_an_undefined_variable_is_a_matter_of_each_host(project: Project) -> None:
    assert project.steps("  tasks: [{debug: {msg: '{{ nobody }}'}, when: nobody2}]\n")


def test_everything_is_told_at_once(project: Project) -> None:
    faults = project.faults(
        "- hosts: wbe\n  tasks:\n    - comand: x\n    - debug: {msg: '{{ x '}\n    - copy: {src: nope, dest: /x}\n"
        "- hosts: web\n  vars_files: [nope.yml]\n  tasks:\n    - ping: {date: x}\n"
    )
    assert [fault.place.line for fault in faults if fault.place] == [3, 4, 7, 9]
    assert faults[0].excerpt == "    - comand: x"


# --- facts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task",
    [
        "debug: {msg: '{{ ansible_distribution }}'}",
        "ping: , when: ansible_facts.os_family == 'x'",
        "debug: {var: ansible_hostname}",
        "debug: {msg: '{{ ansible_ssh_host_key_rsa_public }}'}",
    ],
)
def test_a_fact_is_refused_where_it_is_used(project: Project, task: str) -> None:
    text = f"- hosts: all\n  tasks:\n    - {{{task}}}\n"
    (fault,) = project.faults(text)
    assert fault.place is not None and fault.place.line == 3
    assert "facts are not gathered" in fault.what
    # Who says that no facts are wanted knows what he does.
    assert project.steps(text.partition("\n")[2])


@pytest.mark.parametrize(
    "text",
    [
        "tasks: [{debug: {msg: '{{ ansible_host }} {{ ansible_check_mode }} {{ ansible_ssh_user }}'}}]",
        "vars: {ansible_own: 1}\n  tasks: [{debug: {var: ansible_own}}]",
        "tasks: [{ping: , register: ansible_out}, {debug: {var: ansible_out}}]",
        "tasks: [{set_fact: {ansible_x: 1}}, {debug: {var: ansible_x}}]",
        "tasks: [{debug: {var: ansible_custom}}]",
    ],
)
def test_what_is_defined_is_no_fact(project: Project, text: str) -> None:
    assert project.play(f"- hosts: all\n  {text}\n").steps


# --- vars_files --------------------------------------------------------------------------------


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
        ({}, "'{{ inventory_hostname }}.yml'", "vars_files cannot be rendered"),
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


# --- files -------------------------------------------------------------------------------------


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
    }
    assert len(compiled.files) == 2


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("copy: {src: nope, dest: /x}", "nope not found"),
        ("copy: {src: folder, dest: /x}", "folder is a folder"),
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


# --- ad hoc ------------------------------------------------------------------------------------


def test_one_word_is_a_line_and_several_are_words(project: Project) -> None:
    line = compile_exec("web:!web1", ["echo {{ x }} | wc"], project.inventory(), Options())
    (play,) = line.plan.plays
    (step,) = play.steps
    assert play.hosts == ("web2", "web3", "web4")
    assert (step.module, step.arguments, step.literal) == ("shell", {"_raw_params": "echo {{ x }} | wc"}, True)
    words = compile_exec("db", ["ls", "-l", "a b"], project.inventory(), Options(limit="db2"), timeout=3)
    (step,) = words.plan.plays[0].steps
    assert (step.module, step.arguments, step.timeout) == ("command", {"argv": ["ls", "-l", "a b"]}, 3)
    assert words.plan.plays[0].hosts == ("db2",)
    assert words.plan.title == "ls -l 'a b'"
    assert decode(encode(words.plan)) == words.plan


@pytest.mark.parametrize(
    ("pattern", "words", "options"),
    [("wbe", ["x"], {}), ("web", [], {}), ("web", [""], {}), ("web", ["x"], {"limit": "db"})],
)
def test_a_command_for_nobody(project: Project, pattern: str, words: list[str], options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        compile_exec(pattern, words, project.inventory(), Options(**options))


def test_a_command_for_nobody_may_be_allowed(project: Project) -> None:
    compiled = compile_exec("wbe", ["x"], project.inventory(), Options(), allow_empty=True)
    assert compiled.plan.plays[0].hosts == ()
    assert compiled.warnings
