"""Lazy dicts and lists must pass for real ones, whatever is done to them."""

from __future__ import annotations

import copy
import json
import operator
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsrunner.templating import Layer, LookupContext, Scope, Templar, TemplateFailure, UndefinedVariable
from opsrunner.templating.lazy import LazyDict, LazyList

TEMPLAR = Templar(lookups=LookupContext(environment={}, read_file=lambda path: path, directory="/"))


def lazily(value: Any, name: str = "value") -> Any:
    """``value`` as templates see it when an operator wrote it."""
    return Scope(TEMPLAR, [Layer({name: value, "one": 1, "text": "t"}, True)])[name]


@pytest.fixture
def numbers() -> Any:
    return lazily(["{{ one }}", 2, "{{ one + 2 }}"])


@pytest.fixture
def table() -> Any:
    return lazily({"a": "{{ one }}", "b": [2, "{{ text }}"], "c": {"d": "{{ text }}"}})


LIST_USES: list[Callable[[Any], Any]] = [
    list,
    tuple,
    len,
    sum,
    sorted,
    repr,
    str,
    json.dumps,
    lambda x: [*x],
    lambda x: x[0],
    lambda x: x[-1],
    lambda x: x[1:],
    lambda x: x[::-1],
    lambda x: list(reversed(x)),
    lambda x: operator.add(x, [4]),
    lambda x: operator.add([0], x),
    lambda x: x + x,
    lambda x: x * 2,
    lambda x: 2 * x,
    lambda x: 3 in x,
    lambda x: x == [1, 2, 3],
    lambda x: x == [1, 2, 3],
    lambda x: x != [1, 2, 3],
    lambda x: (x < [2], x <= [1, 2, 3], x > [0], x >= [1, 2, 3]),
    lambda x: x.index(3),
    lambda x: x.count(1),
    lambda x: x.copy(),
    lambda x: copy.copy(x),
    lambda x: copy.deepcopy(x),
    lambda x: pickle.loads(pickle.dumps(x)),  # noqa: S301
    lambda x: x.pop(),
    lambda x: x.pop(0),
    lambda x: (x.remove(3), list(x)),
    lambda x: (x.sort(reverse=True), list(x)),
    lambda x: (x.insert(0, 9), list(x)),
    lambda x: (x.append(9), x[3], len(x)),
    lambda x: (x.extend([1]), list(x)),
    lambda x: max(x) - min(x),
    lambda x: set(x),
    lambda x: list(zip(x, x, strict=True)),
    lambda x: max(*x),
    lambda x: isinstance(x, list),
]


@pytest.mark.parametrize("use", LIST_USES)
def test_a_lazy_list_is_a_list(use: Callable[[Any], Any], numbers: Any) -> None:
    assert isinstance(numbers, LazyList)
    assert use(numbers) == use([1, 2, 3])


DICT_USES: list[Callable[[Any], Any]] = [
    dict,
    list,
    len,
    repr,
    str,
    json.dumps,
    lambda x: {**x},
    lambda x: x["a"],
    lambda x: x["c"]["d"],
    lambda x: x.get("a"),
    lambda x: x.get("z"),
    lambda x: x.get("z", 5),
    lambda x: list(x.items()),
    lambda x: list(x.values()),
    lambda x: list(x.keys()),
    lambda x: "a" in x,
    lambda x: "{{ one }}" in x.values(),
    lambda x: list(reversed(x)),
    lambda x: x | {"z": 1},
    lambda x: {"a": 5} | x,
    lambda x: x == {"a": 1, "b": [2, "t"], "c": {"d": "t"}},
    lambda x: x == {"a": 1, "b": [2, "t"], "c": {"d": "t"}},
    lambda x: x != {},
    lambda x: x.copy(),
    lambda x: copy.copy(x),
    lambda x: copy.deepcopy(x),
    lambda x: pickle.loads(pickle.dumps(x)),  # noqa: S301
    lambda x: x.pop("a"),
    lambda x: (x.pop("z", None), x.pop("b"), list(x)),
    lambda x: x.popitem(),
    lambda x: (x.setdefault("a", 5), x.setdefault("z", 5), x["z"]),
    lambda x: (x.update({"a": 7}), x["a"]),
    lambda x: {"q": 1, **x}["a"],
    lambda x: (lambda **names: names)(**x),
    lambda x: isinstance(x, dict),
]


@pytest.mark.parametrize("use", DICT_USES)
def test_a_lazy_dict_is_a_dict(use: Callable[[Any], Any], table: Any) -> None:
    assert isinstance(table, LazyDict)
    assert use(table) == use({"a": 1, "b": [2, "t"], "c": {"d": "t"}})


@pytest.mark.parametrize("use", [lambda x: x["z"], lambda x: x.pop("z"), lambda x: lazily({}).popitem()])
def test_what_is_not_there_is_a_key_error(use: Callable[[Any], Any], table: Any) -> None:
    with pytest.raises(KeyError):
        use(table)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def quoted(value: Any) -> Any:
    """``value`` with every text in it written as a template that gives it."""
    if isinstance(value, str):
        return "{% raw %}" + value + "{% endraw %}" if not set(value) & set("{}%#\n\r") else "plain"
    if isinstance(value, dict):
        return {key: quoted(item) for key, item in value.items()}
    return [quoted(item) for item in value] if isinstance(value, list) else value


def unquoted(value: Any) -> Any:
    if isinstance(value, str):
        return (value or None) if not set(value) & set("{}%#\n\r") else "plain"
    if isinstance(value, dict):
        return {key: unquoted(item) for key, item in value.items()}
    return [unquoted(item) for item in value] if isinstance(value, list) else value


@given(values)
def test_any_nesting_renders_to_what_it_means(value: Any) -> None:
    scope = Scope(TEMPLAR, [Layer({"value": quoted(value)}, True)])
    assert TEMPLAR.render("{{ value }}", scope) == unquoted(value)
    assert TEMPLAR.render("{{ value }}", scope.child({"told": 1})) == TEMPLAR.render(quoted(value), scope)


def test_templates_see_only_a_dicts_own_attributes() -> None:
    scope = Scope(
        TEMPLAR, [Layer({"d": {"items": "mine", "name": "n", "place": "here", "_path": 1, "copy_": 2}}, True)]
    )
    assert TEMPLAR.render("{{ d.name }} {{ d.place }} {{ d['items'] }} {{ d._path }}", scope) == "n here mine 1"
    with pytest.raises(UndefinedVariable):
        TEMPLAR.render("{{ d._source }}", scope)


def test_filters_trip_over_what_is_undefined_and_jinja_itself_does_not() -> None:
    scope = Scope(TEMPLAR, [Layer({"l": [1, "{{ missing }}"], "d": {"a": "{{ missing }}"}}, True)])
    assert TEMPLAR.render("{{ l | length }} {{ d | length }}", scope) == "2 1"
    assert TEMPLAR.render("{% for x in l %}{{ x | default('-') }}{% endfor %}", scope) == "1-"
    assert TEMPLAR.render("{{ l | map('default', '-') }}", scope) == [1, "-"]
    for template in ("{{ l | list | length }}", "{{ d | dict2items | length }}", "{{ d.items() | length }}"):
        with pytest.raises(UndefinedVariable, match="'missing' is undefined"):
            TEMPLAR.render(template, scope)
    assert TEMPLAR.render("{{ (l | sum) | default('none') }}", scope) == "none"


def test_what_cannot_be_stored_is_refused() -> None:
    with pytest.raises(TemplateFailure, match="Type 'range' is unsupported"):
        TEMPLAR.render("{{ {'a': range(3)} }}", {})
    with pytest.raises(TemplateFailure, match="Type 'function' is unsupported"):
        TEMPLAR.render("{{ range }}", {})
    assert TEMPLAR.render("{{ {'a': (1, 2)} }}", {}) == {"a": [1, 2]}
