"""The modules that never touch a host, and ping."""

from __future__ import annotations

from typing import Any

import pytest

from opsrunner import modules
from opsrunner.modules.pause import NOBODY
from tests.unit.modules.shell_host import Host


@pytest.mark.parametrize(
    ("module", "arguments", "expected"),
    [
        ("ping", {}, {"ping": "pong", "changed": False}),
        ("ping", {"data": "hi"}, {"ping": "hi", "changed": False}),
        ("ping", {"data": "crash"}, {"failed": True, "changed": False, "msg": "boom"}),
        ("debug", {}, {"changed": False, "msg": "Hello world!"}),
        ("debug", {"msg": {"a": [1]}}, {"changed": False, "msg": {"a": [1]}}),
        ("debug", {"var": "number + 1"}, {"changed": False, "number + 1": 8, "_ansible_verbose_always": True}),
        ("debug", {"var": "{{ name }}"}, {"changed": False, "number": 7, "_ansible_verbose_always": True}),
        (
            "debug",
            {"msg": "x", "verbosity": 1},
            {"changed": False, "skipped": True, "skipped_reason": "Verbosity threshold not met."},
        ),
        ("fail", {}, {"failed": True, "changed": False, "msg": "Failed as requested from task"}),
        ("fail", {"msg": "why"}, {"failed": True, "changed": False, "msg": "why"}),
        ("set_fact", {"a": 1, "{{ name }}": [2]}, {"changed": False, "ansible_facts": {"a": 1, "number": [2]}}),
        ("set_fact", {"a": 1, "cacheable": False}, {"changed": False, "ansible_facts": {"a": 1}}),
        (
            "set_fact",
            {"a": 1, "cacheable": "yes"},
            {"changed": False, "ansible_facts": {"a": 1}, "_ansible_facts_cacheable": True},
        ),
        ("assert", {"that": "number == 7"}, {"changed": False, "msg": "All assertions passed"}),
        ("assert", {"that": ["number", "number > 6"], "success_msg": "fine"}, {"changed": False, "msg": "fine"}),
        ("assert", {"that": "{{ checks }}"}, {"changed": False, "msg": "All assertions passed"}),
        (
            "assert",
            {"that": ["number == 7", "number > 9", "no_such_name"], "msg": "too small"},
            {
                "failed": True,
                "changed": False,
                "assertion": "number > 9",
                "evaluated_to": False,
                "msg": "too small",
            },
        ),
    ],
)
def test_results(host: Host, module: str, arguments: dict[str, Any], expected: dict[str, Any]) -> None:
    variables = {"number": 7, "name": "number", "checks": ["number == 7", "True"]}
    assert host.run(module, arguments, variables=variables) == expected
    assert host.round_trips == (1 if expected.get("ping") else 0)


@pytest.mark.parametrize(
    ("module", "arguments", "msg"),
    [
        ("debug", {"msg": "a", "var": "b"}, "mutually exclusive: msg|var"),
        ("debug", {"var": 3}, "var takes the text of an expression, not int"),
        ("set_fact", {}, "No key/value pairs provided"),
        ("set_fact", {"not-a-name": 1}, "invalid variable name 'not-a-name'"),
        ("set_fact", {"{{ bad }}": 1}, "Invalid variable name 'a b'"),
        ("assert", {}, "missing required arguments: that"),
        ("assert", {"that": "1", "fail_msg": {"a": 1}}, "fail_msg: a string or list of strings is required"),
        ("pause", {"seconds": 1, "minutes": 1}, "mutually exclusive: minutes|seconds"),
        ("pause", {"seconds": "soon"}, "unable to convert to float"),
    ],
)
def test_what_fails(host: Host, module: str, arguments: dict[str, Any], msg: str) -> None:
    result = host.run(module, arguments, variables={"bad": "a b"})
    assert result["failed"] is True
    assert msg in result["msg"]


@pytest.mark.parametrize(
    ("arguments", "slept"),
    [({"seconds": 30}, 30), ({"minutes": "2"}, 120), ({"seconds": 0}, 1), ({"seconds": 2.9}, 2)],
)
def test_pause(host: Host, arguments: dict[str, Any], slept: int) -> None:
    result = host.run("pause", {**arguments, "prompt": "settling"})
    assert host.slept == [slept]
    assert host.output == [("stdout", b"settling\n")]
    assert (result["changed"], result["rc"], result["delta"]) == (False, 0, 0)
    assert result["stdout"].startswith("Paused for 0.")
    assert result["stdout"].endswith("minutes" if "minutes" in arguments else "seconds")


@pytest.mark.parametrize(
    ("arguments", "asked", "typed", "kept"),
    [
        ({}, ("Press enter to continue, Ctrl+C to interrupt:", True), "", {"user_input": "", "echo": True}),
        ({"prompt": "Go on?"}, ("Go on?:", True), "yes", {"user_input": "yes"}),
        ({"prompt": "Code", "echo": False}, ("Code:", False), "x", {"user_input": "x", "_ansible_no_log": True}),
        ({"prompt": "Go on?"}, ("Go on?:", True), None, {"user_input": "", "warnings": [NOBODY]}),
    ],
)
def test_a_pause_for_a_key(
    host: Host, arguments: dict[str, Any], asked: tuple[str, bool], typed: str | None, kept: dict[str, Any]
) -> None:
    questions = []

    def ask(text: str, echo: bool) -> str | None:
        questions.append((text, echo))
        return typed

    result = host.run("pause", arguments, ask=ask)
    assert questions == [asked]
    assert {key: result.get(key) for key in kept} == kept
    assert result["stdout"] == "Paused for 0.0 minutes"
    assert ("_ansible_no_log" in result, "warnings" in result) == ("_ansible_no_log" in kept, "warnings" in kept)


def test_ping_notices_a_host_without_a_working_shell(host: Host) -> None:
    host.remote.shell = ["/bin/cat"]
    assert "does not answer as it should" in host.run("ping")["msg"]


@pytest.mark.parametrize("name", modules.names())
def test_every_module_satisfies_the_contract(name: str) -> None:
    module = modules.get(name)
    spec = module.SPEC
    assert spec.summary
    assert module.run.__doc__
    assert module.run.__code__.co_varnames[0] == "context"
    for argument in spec.arguments.values():
        assert argument.help
    known = set(spec.arguments) | {alias for argument in spec.arguments.values() for alias in argument.aliases}
    assert not known & set(spec.refused) - {"attr", "attributes"}
    for group in (*spec.mutually_exclusive, *spec.required_one_of, *spec.required_together):
        assert set(group) <= set(spec.arguments)
    assert spec.free_form is None or spec.free_form in spec.arguments


def test_the_registry() -> None:
    assert modules.canonical("ansible.builtin.copy") == modules.canonical("ansible.legacy.copy") == "copy"
    assert modules.canonical("community.general.copy") is None
    assert modules.get("ansible.builtin.copy") is modules.get("copy")
    assert modules.names() == tuple(sorted(modules.REGISTRY))
    assert modules.nearest("comand") == "command"
    assert modules.nearest("zzzzzz") is None
    assert modules.is_known_elsewhere("expect")
    assert modules.is_known_elsewhere("ansible.builtin.expect")
    assert not modules.is_known_elsewhere("expectt")
    assert not modules.ELSEWHERE & set(modules.REGISTRY)
    with pytest.raises(KeyError):
        modules.get("expect")
