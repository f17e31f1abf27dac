"""What is wrong in a playbook is said with its place, its line and a remedy; all of it at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsrunner.errors import InputError, InputErrors, OpsrunnerError
from opsrunner.playbook import ModuleCatalogue, parse
from opsrunner.playbook.faults import Faults
from opsrunner.yamlsource import Place

PLAY = "- hosts: all\n  tasks:\n    - "


def faults_of(text: str, few_modules: ModuleCatalogue) -> list[InputError]:
    with pytest.raises(InputError) as caught:
        parse(text, Path("p.yml"), few_modules)
    error = caught.value
    return list(error.errors) if isinstance(error, InputErrors) else [error]


#: text of the playbook, line:column, words of the message, words of the remedy
CASES = [
    ("", "1:1", "playbook is empty", "list of plays"),
    ("[]", "1:1", "playbook is empty", None),
    ("hosts: all", "1:1", "list of plays, not a mapping", "dash"),
    ("hello", "1:1", "list of plays, not 'hello'", "dash"),
    ("- just text", "1:3", "a play is a mapping", None),
    ("- tasks: []", "1:3", "names no hosts", "hosts: all"),
    ("- hosts:", "1:9", "hosts takes patterns, not nothing", None),
    ("- hosts: []", "1:10", "hosts is empty", None),
    ("- hosts: [a, 3]", "1:14", "hosts takes patterns, not 3", None),
    ("- hosts: all\n  taks: []", "2:3", "'taks' is no keyword of a play", "tasks"),
    ("- hosts: all\n  3: x", "2:3", "3 is no keyword of a play", None),
    ("- hosts: all\n  roles: x", "2:10", "roles takes a list of roles, not 'x'", "dash"),
    ("- hosts: all\n  roles: [{when: x}]", "2:11", "the role has no name", "role: web"),
    ("- hosts: all\n  roles: [{role: x, debugger: never}]", "2:21", "debugger is Ansible's", None),
    ("- import_playbook: [x.yml]", "1:20", "import_playbook takes a path, not a list", None),
    ("- import_playbook: x.yml\n  hosts: all", "2:3", "'hosts' is no keyword of import_playbook", None),
    ("- hosts: all\n  vars_prompt: x", "2:16", "vars_prompt takes a list of mappings", None),
    ("- hosts: all\n  vars_prompt: [{name: v, promt: s}]", "2:27", "'promt' is no key", "did you mean prompt?"),
    ("- hosts: all\n  vars_prompt: [{prompt: s}]", "2:17", "names no variable", None),
    ("- hosts: all\n  module_defaults: {group/aws: {}}", "2:21", "groups of modules are Ansible's", None),
    ("- hosts: all\n  module_defaults: {comand: {}}", "2:21", "no module 'comand'", "did you mean command?"),
    ("- hosts: all\n  module_defaults: {command: x}", "2:30", "takes a mapping, not 'x'", None),
    (PLAY + "community.general.ufw: {}", "3:7", "a module of the collection community.general", None),
    ("- hosts: all\n  user: x\n  remote_user: y", "2:3", "user says what remote_user says", "keep remote_user alone"),
    (PLAY + "command: x\n      always_run: '{{ x }}'", "4:19", "always_run is an old spelling", "write check_mode"),
    (PLAY + "command: x\n      sudo: perhaps", "4:13", "become takes true or false", None),
    ("- hosts: all\n  when: x", "2:3", "does not stand on a play", None),
    ("- hosts: all\n  gather_facts: sometimes", "2:17", "gather_facts", None),
    ("- hosts: all\n  gather_timeout: soon", "2:19", "takes a whole number", None),
    ("- hosts: all\n  serial: abc", "2:11", "serial takes a number of hosts", 'serial: "30%"'),
    ("- hosts: all\n  serial: [1, 2.5]", "2:15", "serial takes a number of hosts", None),
    ("- hosts: all\n  serial:", "2:3", "serial has no value", None),
    ("- hosts: all\n  strategy: debug", "2:13", "takes a strategy (linear, free, host_pinned), not 'debug'", None),
    ("- hosts: all\n  order: sideways", "2:10", "order takes an order (inventory, reverse_inventory", None),
    ("- hosts: all\n  order: up", "2:10", "takes an order", None),
    ("- hosts: all\n  max_fail_percentage: 120", "2:24", "percentage from 0 to 100", None),
    ("- hosts: all\n  become: maybe", "2:11", "takes true or false, not 'maybe'", None),
    ("- hosts: all\n  become_method: runas", "2:18", "takes a way to become (sudo, su, doas)", None),
    ("- hosts: all\n  connection: winrm", "2:15", "takes a connection", "SSH"),
    ("- hosts: all\n  vars: [a]", "2:9", "vars of a play takes a mapping, not a list", None),
    ("- hosts: all\n  vars: {a-b: 1}", "2:10", "'a-b' is no name of a variable", None),
    ("- hosts: all\n  vars_files: [{a: 1}]", "2:16", "vars_files takes paths", None),
    ("- hosts: all\n  tasks: {a: 1}", "2:10", "tasks takes a list of tasks, not a mapping", "dash"),
    ("- hosts: all\n  tasks: [x]", "2:11", "a task is a mapping, not 'x'", None),
    ("- hosts: all\n  handlers:\n    - block: []", "3:7", "block cannot be a handler", "listen"),
    (PLAY + "name: x", "3:7", "names no module", "command"),
    (PLAY + "comand: x", "3:7", "'comand' is no keyword or module", "command"),
    (PLAY + "user: x", "3:7", "module user is Ansible's", None),
    (PLAY + "include_tasks: x a=1", "3:22", "include_tasks takes no a", "vars"),
    (PLAY + "include_tasks: {fil: x, file: y}", "3:28", "there is no argument 'fil'", None),
    (PLAY + "include_tasks: x\n      become: true", "4:7", "become does not stand on an include", None),
    (PLAY + "import_tasks: x\n      loop: [1]", "4:13", "import_tasks cannot be in a loop", None),
    (PLAY + "import_tasks: x\n      register: y", "4:7", "register does not stand on an import", None),
    (PLAY + "import_role: {name: x, apply: {tags: y}}", "3:37", "import_role takes no apply", None),
    (PLAY + "include_role: {tasks_from: x}", "3:21", "include_role takes a name", None),
    (PLAY + "include_role: {name: x, apply: {block: []}}", "3:39", "apply takes keywords, not block", None),
    (PLAY + "action: include_tasks x", "3:15", "does not stand under action", "key"),
    (PLAY + "command: x\n      copy: y=z", "4:7", "several modules in one task: command, copy", None),
    (PLAY + "action: nope x", "3:15", "there is no module 'nope'", None),
    (PLAY + "action: [command]", "3:15", "action takes a module", "action: command"),
    (PLAY + "action: '{{ m }} x'", "3:15", "cannot be a template", None),
    (PLAY + "command: [a]", "3:16", "arguments as a mapping or a text, not a list", None),
    (PLAY + "copy: {sorc: a}", "3:20", "there is no argument 'sorc'", None),
    (PLAY + 'copy: src="a', "3:13", "a quote is missing", None),
    (PLAY + "copy: {1: a}", "3:14", "1 is no name of an argument", None),
    (PLAY + "command: x\n      args: '{{ a }}'", "4:13", "a template of all arguments is Ansible's", None),
    (PLAY + "command: x\n      args: [a]", "4:13", "args takes a mapping", None),
    (PLAY + "command: x\n      debugger: always", "4:7", "debugger is Ansible's", None),
    (PLAY + "command: x\n      async: soon", "4:14", "async takes a whole number", None),
    (PLAY + "block: [{command: x}]\n      async: 5", "4:7", "async does not stand on a block", None),
    (PLAY + "include_tasks: x.yml\n      poll: 0", "4:7", "poll does not stand on an include", None),
    (PLAY + "command: x\n      wen: a", "4:7", "'wen' is no keyword or module", "when"),
    (PLAY + "command: x\n      when: {a: b}", "4:13", "when takes expressions, not a mapping", None),
    (PLAY + "command: x\n      when: [a, {b: c}]", "4:17", "when takes expressions", None),
    (PLAY + "command: x\n      when:", "4:7", "when has no value", None),
    (PLAY + "command: x\n      register: a-b", "4:17", "register takes the name of a variable", None),
    (PLAY + "command: x\n      loop: abc", "4:13", "loop takes a list", "loop"),
    (PLAY + "command: x\n      loop: [1]\n      with_items: [1]", "5:7", "one loop", None),
    (PLAY + "command: x\n      with_password: x", "4:7", "with_password is refused", None),
    (PLAY + "command: x\n      with_dcit: {}", "4:7", "'with_dcit'", "with_dict"),
    (PLAY + "command: x\n      with_nested:", "4:19", "with_nested takes", None),
    (PLAY + "command: x\n      loop_control: {label: a}", "4:7", "loop_control without a loop", None),
    (PLAY + "command: x\n      loop: [1]\n      loop_control: {lable: a}", "5:22", "'lable'", "label"),
    (PLAY + "command: x\n      loop: [1]\n      loop_control: {extended: maybe}", "5:32", "takes true or false", None),
    (PLAY + "command: x\n      loop: [1]\n      loop_control: {break_when: [1]}", "5:35", "takes expressions", None),
    (PLAY + "command: x\n      retries: many", "4:16", "retries takes a whole number", None),
    (PLAY + "command: x\n      delay: -1", "4:14", "delay takes a number", None),
    (PLAY + "command: x\n      notify: [{a: b}]", "4:16", "notify takes a name", None),
    (PLAY + "command: x\n      listen: a", "4:7", "listen stands on handlers only", None),
    (PLAY + "command: x\n      tags: [3]", "4:14", "tags takes texts, not 3", 'quote it: "3"'),
    (PLAY + "command: x\n      environment: {A: [1]}", "4:20", "A takes one value, not a list", None),
    (PLAY + "command: x\n      environment: abc", "4:20", "takes a mapping of names", None),
    (PLAY + "command: x\n      rerun: maybe", "4:14", "takes an answer (safe, never)", None),
    (PLAY + "local_action: command x\n      delegate_to: y", "4:7", "local_action says where", None),
    (PLAY + "block: []\n      rescue: [{command: x}]", "4:7", "rescue has no block", None),
    (PLAY + "block: [{command: x}]\n      loop: [1]", "4:7", "loop does not stand on a block", None),
    (PLAY + "command: x\n      name: [a]", "4:13", "name takes a text", None),
    (PLAY + "docker_image: {name: x}", "3:7", "docker_image is a module of the collection community.docker", None),
    (PLAY + "ufw: rule=allow", "3:7", "ufw is a module of the collection community.general", None),
    ("- hosts: all\n  x: *nobody", "2:6", "broken YAML", None),
]


@pytest.mark.parametrize(("text", "place", "words", "remedy"), CASES)
def test_a_fault_is_told_with_its_place(
    text: str, place: str, words: str, remedy: str | None, few_modules: ModuleCatalogue
) -> None:
    (fault,) = faults_of(text, few_modules)
    assert str(fault.place) == f"p.yml:{place}"
    assert words in fault.what
    if remedy is not None:
        assert fault.remedy is not None and remedy in fault.remedy


def test_all_faults_are_told_at_once_in_the_order_of_the_file(few_modules: ModuleCatalogue) -> None:
    faults = faults_of(
        "- hosts: all\n  serial: abc\n  tasks:\n    - comand: x\n    - command: y\n      retries: z\n- tasks: 3\n",
        few_modules,
    )
    assert [fault.place.line for fault in faults if fault.place] == [2, 4, 6, 7, 7]
    assert faults[1].excerpt == "    - comand: x"


def test_faults_raise_nothing_when_there_is_none() -> None:
    faults = Faults()
    faults.raise_all()
    faults.add("x", Place("a", 1, 1))
    with pytest.raises(InputError):
        faults.raise_all()


def _yaml_like() -> st.SearchStrategy[str]:
    keys = (
        "hosts tasks all command copy when block rescue always loop name vars tags notify args action serial "
        "loop_control environment - : [ ] { } , ' \" {{ }} {% %} & * ! | > # 1 0 true null ~ x y"
    )
    words = st.sampled_from([*keys.split(), "\n\n", "\t", "\n  ", "\n    ", "\n- ", "\n  - ", ": ", " "])
    return st.lists(words, max_size=40).map("".join)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=200), _yaml_like()))
def test_garbage_gives_no_traceback(few_modules: ModuleCatalogue, text: str) -> None:
    try:
        parse(text, Path("p.yml"), few_modules)
    except OpsrunnerError as error:
        assert error.lines()


_LEAF = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(), st.text(max_size=5))
_WORDS = (
    "hosts tasks handlers block rescue always command copy when loop with_items loop_control tags notify listen vars "
    "vars_files environment args action local_action register serial until retries delay name label pause"
)
_KEYS = st.sampled_from(_WORDS.split())
_TREE = st.recursive(
    _LEAF,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=4)),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.dictionaries(_KEYS, _TREE, max_size=5), max_size=3))
def test_values_of_any_type_give_no_traceback(few_modules: ModuleCatalogue, plays: list[object]) -> None:
    import yaml

    text = yaml.safe_dump(plays, allow_unicode=True)
    try:
        parse(text, Path("p.yml"), few_modules)
    except OpsrunnerError as error:
        assert error.lines()
