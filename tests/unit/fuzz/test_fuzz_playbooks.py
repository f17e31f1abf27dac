"""Playbooks of the right words with values of every wrong type: compiled or refused, never half read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from opsrunner import inventory, modules
from opsrunner.cli.plan import describe
from opsrunner.inventory import connection
from opsrunner.modules import arguments
from opsrunner.modules.contract import ModuleFailure
from opsrunner.plan.codec import decode, encode
from opsrunner.plan.compile import compile_playbook
from opsrunner.plan.extra_vars import parse_extra_vars
from opsrunner.plan.model import Options
from opsrunner.playbook import keywords
from tests.unit.fuzz.profile import fuzzed, judged

#: Values that mean something somewhere, and nothing or something else everywhere else.
VALUES = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2.5,
        10**30,
        1e308,
        float("nan"),
        float("inf"),
        "",
        " ",
        "a",
        "all",
        "web",
        "web1",
        "no",
    ),
    *(
        "yes",
        "0644",
        "9" * 400,
        "1e999999999",
        "nan",
        "inf",
        "30%",
        "-5%",
        "999999999%",
        "safe",
        "free",
        "sudo",
        "local",
        "ssh",
    ),
    *(
        "sorted",
        "{{ x }}",
        "{{ x",
        "{{ web }}",
        "{{ [1, 'a'] }}",
        "{{ {} }}",
        "{{ none }}",
        "{{ 10 ** 400 }}",
        "a=b c='d",
    ),
    *(
        "a=1 b=2",
        "src=x dest=y",
        "echo hi creates=/x",
        r"\N{BAD}",
        "a\0b",
        "é\u202e",
        "x" * 300,
        "a" * 5000,
        "~nobody-here/x",
    ),
    *(
        "../x",
        "/dev/zero",
        "/dev/null",
        "/",
        ".",
        "ansible.builtin.copy",
        "never",
        "web[0:999999999999]",
        "~(a",
        "!web",
        "&",
        "@x",
    ),
)
SCALARS = (
    st.sampled_from(VALUES) | st.text(max_size=8) | st.integers() | st.floats() | st.dates() | st.binary(max_size=4)
)
KEYWORDS = sorted({word for on in keywords.KINDS for word in (*keywords.known(on), *keywords.REFUSED[on])})
ARGUMENTS = sorted({name for module in modules.names() for name in modules.get(module).SPEC.arguments})
WORDS = st.sampled_from([*KEYWORDS, *modules.names(), *ARGUMENTS, "with_dict", "include_tasks", "{{ x }}", "1", "é"])
KEYS = WORDS | SCALARS.filter(lambda value: value == value)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def some(words: list[str], values: st.SearchStrategy[Any], most: int) -> st.SearchStrategy[dict[Any, Any]]:
    """A mapping from a few of ``words`` to ``values``."""
    return st.dictionaries(st.sampled_from(words), values, max_size=most)


def _task(module: str) -> st.SearchStrategy[dict[Any, Any]]:
    known = sorted(modules.get(module).SPEC.arguments) or ["x"]
    given_arguments = some(known, TREES, 5) | TREES
    return st.builds(
        lambda more, value: {**more, module: value},
        some(sorted(keywords.known("task") - {"action", "local_action"}), TREES, 4),
        given_arguments,
    )


TASKS = st.sampled_from(modules.names()).flatmap(_task) | some(KEYWORDS, TREES, 5)
BLOCKS = st.builds(
    lambda more, parts: {**more, **parts},
    some(sorted(keywords.known("block")), TREES, 3),
    st.dictionaries(st.sampled_from(["block", "rescue", "always"]), st.lists(TASKS, max_size=2), max_size=3),
)
PLAYS = st.builds(
    lambda more, hosts, parts: {"hosts": hosts, "gather_facts": False, **parts, **more},
    some(sorted(keywords.known("play")), TREES, 3),
    st.sampled_from(["all", "web", "{{ groups.web }}", "localhost", "web1,db1"]),
    st.dictionaries(
        st.sampled_from(["tasks", "handlers", "pre_tasks"]), st.lists(TASKS | BLOCKS, max_size=3), max_size=2
    ),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("playbooks")
    (made / "hosts.yml").write_text("all: {children: {web: {hosts: {'web[1:3]': }}, db: {hosts: {db1: {x: 1}}}}}\n")
    return made


@fuzzed(120)
@given(plays=st.lists(PLAYS, min_size=1, max_size=2))
def test_a_playbook_of_wrong_types_is_compiled_or_refused(folder: Path, plays: list[Any]) -> None:
    path = folder / "site.yml"
    path.write_text(yaml.safe_dump(plays, allow_unicode=True), encoding="utf-8")
    hosts = inventory.load([str(folder / "hosts.yml")], base=folder)
    with judged():
        plan = compile_playbook(path, hosts, Options(), {"web": "web1"}).plan
        assert repr(decode(encode(plan))) == repr(plan)
        assert describe(plan)


@fuzzed(100)
@given(
    groups=some(["all", "web", "ungrouped", "x"], some(["hosts", "children", "vars", "other"], TREES, 3) | TREES, 4)
    | TREES
)
def test_an_inventory_of_wrong_types_is_loaded_or_refused(folder: Path, groups: Any) -> None:
    path = folder / "wrong.yml"
    path.write_text(yaml.safe_dump(groups, allow_unicode=True), encoding="utf-8")
    with judged():
        loaded = inventory.load([str(path)], base=folder)
        loaded.to_data()
        for host in loaded.hosts:
            connection(host, loaded.variables(host))


CONNECTION = [
    *(
        [
            "ansible_connection",
            "ansible_host",
            "ansible_port",
            "ansible_user",
            "ansible_password",
            "ansible_private_key_file",
        ]
    ),
    *(["ansible_timeout", "ansible_become", "ansible_become_user", "ansible_become_method", "ansible_become_password"]),
    *(["ansible_become_flags", "ansible_ssh_common_args", "ansible_ssh_args", "ansible_ssh_extra_args"]),
    *(["ansible_host_key_checking", "ansible_shell_executable", "opsrunner_zone", "opsrunner_known_hosts"]),
]
SSH_WORDS = st.lists(
    st.sampled_from(
        ["-o", "-C", "-oStrictHostKeyChecking=no", "UserKnownHostsFile='a", "-o IdentitiesOnly", "=", "-J x", "'"]
    )
).map(" ".join)


@fuzzed(100)
@given(variables=some(CONNECTION, TREES | SSH_WORDS, 6))
def test_connection_variables_are_understood_or_refused(variables: dict[str, Any]) -> None:
    with judged():
        connection("web1", variables)


@fuzzed(150)
@given(module=st.sampled_from(modules.names()), data=st.data())
def test_arguments_are_taken_or_refused(module: str, data: st.DataObject) -> None:
    spec = modules.get(module).SPEC
    given_arguments = data.draw(st.dictionaries(st.sampled_from([*sorted(spec.arguments), "x", ""]), TREES, max_size=5))
    with judged():
        assert all(problem.text for problem in arguments.check_names(module, spec, given_arguments))
        try:
            assert set(arguments.validate(module, spec, given_arguments)) >= set(spec.arguments)
        except ModuleFailure as failure:
            assert failure.msg


@fuzzed(200)
@given(
    module=st.sampled_from(modules.names()),
    text=st.text(max_size=40)
    | st.lists(st.sampled_from([*"'\"\\={} \n", "{{", "}}", "a=", r"\N{BAD}", r"\U00110000", "x"])).map("".join),
)
def test_inline_arguments_are_taken_or_refused(folder: Path, module: str, text: str) -> None:
    with judged():
        assert isinstance(arguments.parse_inline(module, modules.get(module).SPEC, text), dict)
    with judged():
        parse_extra_vars([text], folder, lambda warning: None)
