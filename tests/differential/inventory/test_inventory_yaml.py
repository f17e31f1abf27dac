"""YAML is typed as PyYAML's safe loader and Ansible's own type it, or refused with its place."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from opsrunner import yamlsource
from opsrunner.errors import InputError
from opsrunner.inventory.values import load_yaml

#: Values of ``a:``, each read by all three.
VALUES = [
    *("010", "08", "0o17", "0_7", "0x1F", "0x_f", "0x", "0b101", "0b2", "1_000", "_1", "1_", "+1", "-0", "9" * 40),
    *("12:30", "-1:30", "190:20:30", "09:30", "1:60", "0:00", "12:30:45.5", "1:2.5", "22:22"),
    *("1.", ".5", "+.5", "-.5", "1e3", "1.0e3", "1.0e+3", "1.5e+400", "1_000.5", "._1", "1.2.3"),
    *(".inf", "-.INF", "+.inf", ".NaN", ".nAN", "inf", "nan"),
    *("yes", "Yes", "YES", "yES", "y", "n", "no", "on", "Off", "true", "TRUE", "tRUE", "False"),
    *("", "~", "null", "Null", "nULL", "''", "'~'", "'1'", '"yes"'),
    *("2024-01-02", "2024-1-2", "2024-1-2 3:04:05", "2024-01-02T03:04:05Z", "2024-01-02 03:04:05 +02:30"),
    *("2024-01-02t03:04:05.123456789-5", "2024-01-02 03:04:05.5", "0001-01-01", "20240102"),
    *("!!str 1", "!!int '7'", "!!float '7'", "!!bool yes", "!!null x", "!!timestamp 2024-01-02", "!!binary aGVsbG8="),
    *("! 12", "!!map {x: 1}", "!!seq [1]", "!!python/unicode x", "!!python/dict {x: 1}"),
    *("{=: 1}", "{x, y: 1}", "[x: 1, y]", "{1: a, 1.0: b, true: c}", "{~: x, '': y, 1.5: z}", "{x:1}", "[a,b,]"),
    *("{x: 3, <<: {x: 1, y: 2}}", "{z: 0, <<: [{x: 1}, {x: 2, y: 3}]}", "{<<: {x: 1}, <<: {x: 2}}", "{'<<': {x: 1}}"),
    *("{<<: {x: 1, y: 1}, z: 1, <<: {y: 2, x: 2}}", "{<<: {<<: {x: 1}, y: 2}}", "{<<: [], x: 1}"),
    *("&x {k: 1}\nb: *x", "&x {k: &y [1]}\nb: {<<: *x, l: *y}"),
    *("|\n  x\n  y", "|+\n  x\n\n", ">-\n  x\n  y", "|2\n   x", "|-\n  x\n", "x\n  y\n\n  z"),
    *(
        '"x\ty"',
        "x\x85b: 2",
        "x\u2028b: 2",
        '"x\x85y"',
        "'x\u2028y'",
        "\ufeffx",
        "😀",
        '"\\x07\\u00e9\\U0001F600"',
        '"\\0"',
    ),
    *("1\r\nb: 2\r\n", "1\rb: 2", "1\n...", "x#y", "x #y", "\t1", "1\t"),
]
#: Whole texts.
TEXTS = [
    *("", " ", "---", "\n---\n", "# nothing", "{}", "[]", "x", "1", "~", '"": x', "? x", "{? x, y}", "=: 1", "yes: 1"),
    *(
        "%YAML 1.1\n---\na: 1",
        "%YAML 1.2\n---\na: 1",
        "--- a",
        "---\na: 1\n...",
        "a: 1\na: 2",
        "? " + "k" * 2000 + "\n: 1",
    ),
    *(
        '{"a": 1e3}',
        '{"a":\t1}',
        '{"a": NaN}',
        '{"a": 1, }',
        '{"a": 1, "a": 2}',
        "[1e3]",
        "{a: 1e3}",
        '{"a": "\\ud83d\\ude00"}',
    ),
]
#: What Ansible refuses, too.
REFUSED = [
    *("=", "2024-13-02", "2024-01-02 25:00:00", '!!binary "x"', "!!binary é", "!!int x", "!!seq x", "!foo x"),
    *("!!value x", "!!merge x", "!!python/tuple [1]", "!!bool maybe", "!!int ''", "!!timestamp x", "!!set x"),
    *(
        "{[1]: x}",
        "{<<: x}",
        "{<<: [x]}",
        "{<<: ~}",
        "*x",
        "&x [*x]",
        "1\n---\nb: 2",
        "1\n--- #x",
        "\n\tb: 1",
        "\x07",
        "\x7f",
    ),
    *(
        '"\\ud83d"',
        "@x",
        "`x",
        "%x",
        "- x",
        "b: c",
        "'x'y",
        "[1, 2",
        "*",
        "&",
        "{{ x }}",
        "[,]",
        "2024-01-02 1:00:00 +99:00",
    ),
]
#: What Ansible takes with a warning, or what no plan could carry as it is.
REFUSED_HERE = {
    "!!omap [x: 1]": "unknown tag",
    "!!pairs [x: 1]": "unknown tag",
    "!!int {=: 5}": "unknown tag",
    "!!binary /w==": "no UTF-8 text",
    "9" * 400: "more than 1024 bits",
}


def typed(value: Any) -> Any:
    """``value`` with the type of every scalar, and mappings with their order."""
    if isinstance(value, dict):
        return [(typed(key), typed(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [typed(item) for item in value]
    for kind in (bool, int, float, str, bytes, datetime.datetime, datetime.date):
        if isinstance(value, kind):
            return kind.__name__, value.isoformat() if isinstance(value, datetime.date) else str(value)
    return value


def by_ansible(text: str) -> Any:
    from ansible.parsing.dataloader import DataLoader

    return typed(DataLoader().load(text, "/any.yml"))


def ours(text: str) -> Any:
    return typed(load_yaml(text, "any.yml", on_duplicate=lambda duplicate: None))


@pytest.mark.parametrize("text", [*(f"a: {value}" for value in VALUES), *TEXTS], ids=ascii)
def test_what_ansible_takes(ansible, text):
    assert ours(text) == by_ansible(text)


@pytest.mark.parametrize("value", REFUSED, ids=ascii)
def test_what_ansible_refuses(ansible, value):
    from ansible.errors import AnsibleError

    with pytest.raises((AnsibleError, RecursionError)):
        by_ansible(f"a: {value}")
    with pytest.raises(InputError, match=r"^any\.yml:\d+:\d+: "):
        ours(f"a: {value}")


@pytest.mark.parametrize(("value", "words"), REFUSED_HERE.items(), ids=lambda text: text[:20])
def test_what_is_refused_though_ansible_takes_it(value, words):
    with pytest.raises(InputError, match=words) as caught:
        ours(f"a: {value}")
    assert str(caught.value.place) == "any.yml:1:4"


def test_half_a_character_in_json_is_refused_as_in_ansible(ansible):
    from ansible.errors import AnsibleError

    with pytest.raises(AnsibleError):
        by_ansible('{"a": "\\ud800"}')
    with pytest.raises(InputError, match="Unicode"):
        ours('{"a": "\\ud800"}')


def test_a_set_is_a_list_in_the_order_written():
    assert yamlsource.load("a: !!set {web, db, web}", "any.yml", on_duplicate=lambda duplicate: None) == {
        "a": ["web", "db"]
    }


@pytest.mark.parametrize(("encoding", "taken"), [("utf-8-sig", True), ("utf-16", False), ("latin-1", False)])
def test_files_are_utf_8(tmp_path, encoding, taken):
    path = tmp_path / "hosts.yml"
    path.write_text("a: é", encoding)
    if taken:
        assert yamlsource.load_file(path) == {"a": "é"}
    else:
        with pytest.raises(InputError, match="not UTF-8"):
            yamlsource.load_file(path)


SCALARS = st.sampled_from(VALUES).filter(lambda text: "\n" not in text and "\r" not in text) | st.from_regex(
    r"[-+]?[0-9_]{0,3}[.:xobe+-]?[0-9_]{0,3}[:.]?[0-9]{0,2}|[yYnN~=<.@!&*|>%#'\"{}\[\], 0-9a-z:-]{1,8}", fullmatch=True
)
KEYS = st.sampled_from(["a", "b", "1", "1.0", "yes", "~", "=", "<<", "'<<'", "2024-01-02", "? c", '""'])


@settings(max_examples=400, deadline=None, derandomize=True)
@given(lines=st.lists(st.tuples(st.integers(0, 2), KEYS, SCALARS), max_size=6))
def test_generated_texts(lines):
    text = "".join(f"{'  ' * depth}{key}: {value}\n" for depth, key, value in lines)
    try:
        found = typed(yamlsource.load(text, "any.yml", on_duplicate=lambda duplicate: None))
    except InputError as error:
        assert error.place or "nested" in str(error)
        if any(words in error.what for words in ("unknown tag", "no UTF-8 text", "bits")):
            return
        with pytest.raises((yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError)):
            yaml.load(text, yaml.CSafeLoader)
        return
    expected = yaml.load(text.replace("!!python/unicode", "!!str").replace("!!python/dict", "!!map"), yaml.CSafeLoader)
    assert found == typed(expected)
