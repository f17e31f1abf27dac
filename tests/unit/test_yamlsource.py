"""YAML made from the parser's events: places, aliases, and what is told where it cannot be."""

from __future__ import annotations

import pytest

from opsrunner import yamlsource
from opsrunner.errors import InputError, Place
from opsrunner.yamlsource import place_of_key, place_of_value


def test_an_alias_stands_where_its_anchor_does() -> None:
    found = yamlsource.load("a: &x {b: 1}\nc: *x\nd: [*x, 2]\n<<: *x\n", "f")
    assert found == {"a": {"b": 1}, "c": {"b": 1}, "d": [{"b": 1}, 2], "b": 1}
    assert place_of_value(found, "c") == place_of_value(found["d"], 0) == Place("f", 1, 4)
    assert place_of_key(found, "c") == Place("f", 2, 1)
    assert place_of_key(found, "b") == Place("f", 1, 8)


def test_a_merge_key_is_one_only_where_it_is_bare_or_tagged() -> None:
    assert yamlsource.load("<<: {a: 1}\nb: 2", "f") == {"a": 1, "b": 2}
    assert yamlsource.load("'<<': {a: 1}", "f") == {"<<": {"a": 1}}
    assert yamlsource.load("!!merge any: {a: 1}", "f") == {"a": 1}


@pytest.mark.parametrize(
    ("text", "told", "line", "column"),
    [
        ("a: &x 1\nb: &x 2", "found duplicate anchor", 2, 4),
        ("a: *x", "found undefined alias", 1, 4),
        ("a: &x [1, *x]", "an alias that contains itself", 1, 4),
        ("--- 1\n--- 2", "found another document", 2, 1),
        ("a: !any b", "unknown tag !any", 1, 4),
        ("a: !any {b: 1}", "unknown tag !any", 1, 4),
        ("[1, {a: !!int b}]", "not a valid value", 1, 9),
        ("<<: 1", "<<: takes a mapping or a list of mappings", 1, 5),
        ("a: 1\nb: 2\na: 3", "key 'a' stands twice", 3, 1),
        ("a: {{ b }}", "cannot be a key", 1, 5),
    ],
)
def test_a_fault_has_its_place(text: str, told: str, line: int, column: int) -> None:
    with pytest.raises(InputError, match=told) as caught:
        yamlsource.load(text, "f")
    assert caught.value.place == Place("f", line, column)


def test_a_template_that_was_not_quoted_is_told_so() -> None:
    with pytest.raises(InputError) as caught:
        yamlsource.load("a: {{ b }}", "f")
    assert "must be quoted" in str(caught.value.remedy)


def test_of_broken_yaml_no_repeated_key_is_told() -> None:
    told: list[InputError] = []
    with pytest.raises(InputError, match="broken YAML"):
        yamlsource.load("a: 1\na: 2\n]", "f", on_duplicate=told.append)
    assert not told


def test_nesting_is_limited() -> None:
    assert yamlsource.load("[" * 200 + "]" * 200, "f") is not None
    with pytest.raises(InputError, match="nested deeper than 200 levels"):
        yamlsource.load("[" * 201 + "]" * 201, "f")
