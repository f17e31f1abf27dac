"""Arguments: one line of text, names before a run, values within it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsrunner import modules
from opsrunner.errors import InputError, Place
from opsrunner.modules.arguments import check_names, parse_inline, validate
from opsrunner.modules.contract import Argument, ModuleFailure, Spec
from opsrunner.modules.conversion import CONVERTERS, holds_template
from opsrunner.modules.modes import resolve
from opsrunner.modules.posix import expanded_word, parse_facts


def spec_of(name: str) -> Spec:
    return modules.get(name).SPEC


@pytest.mark.parametrize(
    ("module", "text", "expected"),
    [
        ("copy", "src=a dest=/b", {"src": "a", "dest": "/b"}),
        ("copy", "src=a   dest='/b c'  ", {"src": "a", "dest": "/b c"}),
        ("copy", 'content="a=b c" dest={{ x + " y" }}', {"content": "a=b c", "dest": '{{ x + " y" }}'}),
        ("copy", "dest={% if a %} b=c", {"dest": "{% if a %}", "b": "c"}),
        ("copy", "content=a\\nb dest=x", {"content": "a\nb", "dest": "x"}),
        ("command", "ls -l", {"_raw_params": "ls -l"}),
        ("command", "creates=/x ls -l", {"creates": "/x", "_raw_params": "ls -l"}),
        ("command", "ls a=b creates='/x y' c", {"creates": "/x y", "_raw_params": "ls a=b c"}),
        ("command", "echo 'creates=no'", {"_raw_params": "echo 'creates=no'"}),
        ("shell", "a\nb   c\\\nd", {"_raw_params": "a\nb   c\\\nd"}),
        ("shell", "a \\\nb", {"_raw_params": "a b"}),
        ("shell", "echo {{ a }}  chdir=/tmp", {"_raw_params": "echo {{ a }} ", "chdir": "/tmp"}),
        ("shell", "test x\\=y", {"_raw_params": "test x=y"}),
        ("raw", "show version", {"_raw_params": "show version"}),
        ("command", "{{ words | join(d='=') }}", {"_raw_params": "{{ words | join(d='=') }}"}),
        ("include_vars", "{{ lookup('first_found', x) }}", {"_raw_params": "{{ lookup('first_found', x) }}"}),
        ("ping", "", {}),
    ],
)
def test_inline(module: str, text: str, expected: dict[str, str]) -> None:
    assert parse_inline(module, spec_of(module), text) == expected


@pytest.mark.parametrize(
    ("module", "text", "what"),
    [
        ("shell", "echo 'open", "unbalanced quotes or Jinja braces"),
        ("copy", "src={{ a dest=b", "unbalanced quotes or Jinja braces"),
        ("copy", "content=\\N{nosuch} dest=x", "an escape that is no character"),
        ("ping", "hello", "module ping takes key=value, not loose words: 'hello'"),
        ("copy", "{{ params }}", "a template of all arguments is Ansible's"),
        ("debug", "{{ x | combine(y, recursive=True) }}", "a template of all arguments is Ansible's"),
        ("include_vars", "{{ lookup('first_found', x, errors='ignore') }}", "makes it key=value, in Ansible, too"),
    ],
)
def test_inline_faults(module: str, text: str, what: str) -> None:
    with pytest.raises(InputError) as raised:
        parse_inline(module, spec_of(module), text, place=Place("site.yml", 3, 5))
    assert what in raised.value.what
    assert raised.value.place == Place("site.yml", 3, 5)
    assert raised.value.remedy or raised.value.why


@pytest.mark.parametrize(
    ("module", "arguments", "texts"),
    [
        ("copy", {"src": "a", "dest": "b"}, []),
        ("copy", {"scr": "a", "dest": "b"}, ["Unsupported parameters for (copy) module: scr", "src, content"]),
        ("copy", {"src": "a"}, ["missing required arguments: dest"]),
        ("copy", {"src": "a", "content": "b", "dest": "c"}, ["mutually exclusive: src|content"]),
        ("copy", {"src": "a", "dest": "b", "backup": "maybe"}, ["'backup'"]),
        ("copy", {"src": "a", "dest": "b", "backup": "{{ x }}"}, []),
        ("copy", {"src": "a", "dest": "b", "mode": "rw"}, ["'mode'"]),
        ("copy", {"src": "a", "dest": "b", "mode": True}, ["'mode'"]),
        ("copy", {"src": "a", "dest": "b", "selevel": "s0"}, ["selevel is not supported"]),
        ("copy", {"src": "a", "dest": ["b"]}, ["a path is text"]),
        ("service", {"name": "x", "state": "start"}, ["did you mean started?"]),
        ("service", {"name": "x"}, ["one of the following is required: state, enabled"]),
        ("service", {"name": "x", "state": "{{ s }}"}, []),
        ("stat", {"dest": "x"}, []),
        ("wait_for", {"port": "http"}, ["'port'"]),
        ("wait_for", {"exclude_hosts": ["a"]}, ["exclude_hosts is not supported"]),
        ("command", {"_raw_params": "a", "cmd": "b"}, ["mutually exclusive: _raw_params|cmd|argv"]),
        ("command", {}, ["one of the following is required: _raw_params, cmd, argv"]),
        ("command", {"cmd": "a", "executable": "b"}, ["executable is not supported: command uses no shell"]),
        ("raw", {"_raw_params": "a", "creates": "b"}, ["Unsupported parameters for (raw) module: creates"]),
        ("set_fact", {"x-y": 1}, ["invalid variable name 'x-y'"]),
        ("set_fact", {"for": 1}, ["invalid variable name 'for'"]),
        ("set_fact", {"{{ x }}": 1}, []),
        ("set_fact", {}, ["no key/value pairs provided"]),
        ("assert", {"that": ["not a ( condition"]}, []),
        ("debug", {1: 2}, ["argument names are text, not 1"]),
    ],
)
def test_names_before_a_run(module: str, arguments: dict[Any, Any], texts: list[str]) -> None:
    problems = check_names(module, spec_of(module), arguments)
    assert len(problems) == (0 if not texts else max(1, len(problems)))
    told = "\n".join(map(str, problems))
    assert all(text in told for text in texts), told


def test_a_misspelt_name_is_told_the_nearest() -> None:
    (problem, *_) = check_names("copy", spec_of("copy"), {"src": "a", "dest": "b", "onwer": "c"})
    assert (problem.argument, problem.remedy) == ("onwer", "did you mean owner?")


SPEC = Spec(
    summary="",
    arguments={
        "name": Argument("str", aliases=("pkg",), required=True),
        "count": Argument("int", default=1),
        "tags": Argument("list", elements="int"),
        "options": Argument("dict"),
        "level": Argument("str", choices=("low", "high"), default="low"),
    },
    required_together=(("count", "tags"),),
)


def test_values_are_resolved_converted_and_filled_in() -> None:
    given = {"pkg": 5, "tags": "1,2", "count": "3.0", "options": "a=1, b='x y'", "level": None}
    assert validate("m", SPEC, given) == {
        "name": "5",
        "count": 3,
        "tags": [1, 2],
        "options": {"a": "1", "b": "x y"},
        "level": "low",
    }


@pytest.mark.parametrize(
    ("given", "msg"),
    [
        ({}, "missing required arguments: name"),
        ({"name": None}, "missing required arguments: name"),
        ({"name": "x", "nmae": 1}, "Unsupported parameters for (m) module: nmae. Supported parameters include: count"),
        ({"name": "x", "count": 1}, "parameters are required together: count, tags"),
        ({"name": "x", "level": "hihg"}, "value of level must be one of: low, high, got: hihg"),
        (
            {"name": "x", "tags": ["a"], "count": 1},
            "argument 'tags' is of type str and we were unable",
        ),
        ({"name": "x", "options": "a"}, "unable to convert to dict"),
    ],
)
def test_values_that_do_not_fit(given: dict[str, Any], msg: str) -> None:
    with pytest.raises(ModuleFailure) as raised:
        validate("m", SPEC, given)
    assert msg in raised.value.msg


def test_the_name_wins_over_its_alias() -> None:
    assert validate("m", SPEC, {"pkg": "a", "name": "b"})["name"] == "b"
    assert validate("m", SPEC, {"name": "b", "pkg": "a"})["name"] == "b"


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        *[("bool", word, True) for word in (True, 1, 1.0, "yes", "On", "TRUE", "y", "t", "1")],
        *[("bool", word, False) for word in (False, 0, "no", "Off", "false", "n", "f", "0")],
        ("int", "7", 7),
        ("int", 7.0, 7),
        ("int", "-2", -2),
        ("float", "1.5", 1.5),
        ("str", 1, "1"),
        ("str", None, ""),
        ("str", True, "True"),
        ("list", "a,b", ["a", "b"]),
        ("list", 3, ["3"]),
        ("list", ("a",), ["a"]),
        ("dict", '{"a": 1}', {"a": 1}),
        ("dict", "{'a': 1}", {"a": 1}),
        ("dict", "a=1 b=2", {"a": "1", "b": "2"}),
        ("mode", 0o644, "0644"),
        ("mode", 644, "1204"),
        ("mode", "644", "0644"),
        ("mode", "0644", "0644"),
        ("mode", "0o644", "0644"),
        ("mode", "u=rw,g+x,o-", "u=rw,g+x,o-"),
        ("mode", "+x", "+x"),
        ("mode", "preserve", "preserve"),
    ],
)
def test_conversion(kind: Any, value: Any, expected: Any) -> None:
    converted = CONVERTERS[kind](value)
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("bool", "maybe"),
        ("bool", 2),
        ("bool", None),
        ("bool", []),
        ("int", "1.5"),
        ("int", "x"),
        ("int", None),
        ("int", "inf"),
        ("float", "x"),
        ("list", {}),
        ("list", None),
        ("dict", "{broken"),
        ("dict", "a=1, b"),
        ("dict", []),
        ("mode", "u=q"),
        ("mode", ""),
        ("mode", 0o17777),
        ("mode", -1),
        ("mode", True),
        ("mode", [0o644]),
    ],
)
def test_conversion_refuses(kind: Any, value: Any) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        CONVERTERS[kind](value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a {{ b", True), ("{% if %}", True), ("{# c", True), ("{a}", False), (["x", {"y": "{{ z }}"}], True), (3, False)],
)
def test_what_holds_a_template(value: Any, expected: bool) -> None:
    assert holds_template(value) is expected


@pytest.mark.parametrize(
    ("asked", "current", "umask", "expected"),
    [
        ("0640", 0o100777, 0o022, 0o640),
        ("+x", 0o100644, 0o077, 0o744),
        ("a+x", 0o100644, 0o077, 0o755),
        ("=rw", 0o100777, 0o022, 0o644),
        ("u=rwX,g=X", 0o100600, 0, 0o600),
        ("u=rwX,g=X", 0o040600, 0, 0o710),
        ("g=u,o=g", 0o100640, 0, 0o666),
        ("u+s,g+s,o+t", 0o100755, 0, 0o7755),
        ("u=rwx", 0o104755, 0, 0o755),
        ("ug+w-x", 0o100555, 0, 0o665),
    ],
)
def test_modes(asked: str, current: int, umask: int, expected: int) -> None:
    assert resolve(asked, current, umask=umask) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "''"),
        ("plain", "plain"),
        ("~/a b", "~/'a b'"),
        ("~", "~"),
        ("~us er", "'~us er'"),
        ("~web/x", "~web/x"),
        ("a~", "'a~'"),
        ("$A/b", '"${A-\\$A}"/b'),
        ("$1$$", "'$1$$'"),
        ("$(id)`id`", "'$(id)`id`'"),
    ],
)
def test_words_of_sh(text: str, expected: str) -> None:
    assert expanded_word(text) == expected


@given(st.dictionaries(st.text("abc_", min_size=1), st.text().filter(lambda text: "\0" not in text)))
def test_facts_survive_whatever_they_hold(told: dict[str, str]) -> None:
    data = "".join(f"{key}\0{value}\0" for key, value in told.items()).encode("utf-8", "surrogatepass")
    if not any(0xD800 <= ord(character) < 0xE000 for value in told.values() for character in value):
        assert parse_facts(data) == told
