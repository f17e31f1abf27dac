"""Which variable is found, when it is rendered, and when it never is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsrunner.templating import Layer, LookupContext, Scope, Templar, TemplateFailure, UndefinedVariable

Scoped = Callable[..., Scope]


def test_the_highest_layer_that_has_a_name_wins(templar: Templar) -> None:
    scope = Scope(templar, [Layer({"a": 1, "b": 1}, True), Layer({"a": 2}), Layer({"b": None}, True)])
    assert (scope["a"], scope["b"]) == (2, None)
    assert sorted(scope) == ["a", "b"]
    assert len(scope) == 2
    assert "a" in scope
    assert "c" not in scope


def test_a_name_nobody_has_is_a_key_error_and_a_bad_value_tells_what_is_undefined(scoped: Scoped) -> None:
    scope = scoped({"a": "{{ missing }}"})
    with pytest.raises(KeyError):
        scope["b"]
    assert scope.get("b", 5) == 5
    with pytest.raises(UndefinedVariable, match="'missing' is undefined"):
        scope["a"]


def test_what_hosts_told_is_never_rendered(templar: Templar, scoped: Scoped) -> None:
    scope = scoped({"x": "secret", "quoted": "{{ told }}"}, {"told": "{{ x }}", "deep": {"a": ["{{ x }}"]}})
    assert scope["told"] == "{{ x }}"
    assert templar.render("{{ told }}", scope) == "{{ x }}"
    assert templar.render("{{ quoted }}", scope) == "{{ x }}"
    assert templar.render("{{ deep }}", scope) == {"a": ["{{ x }}"]}
    assert templar.render("{{ lookup('vars', 'told') }} {{ vars.told }}", scope) == "{{ x }} {{ x }}"
    assert templar.render("{{ [told, deep] | to_json | from_json }}", scope) == ["{{ x }}", {"a": ["{{ x }}"]}]


@given(st.text())
def test_no_text_of_a_host_is_ever_rendered(text: str) -> None:
    templar = TEMPLAR
    scope = Scope(templar, [Layer({"x": "secret"}, True), Layer({"told": text + "{{ x }}"})])
    assert templar.render("{{ told }}", scope) == text + "{{ x }}"
    assert templar.render({"a": ["{{ told }}"]}, scope) == {"a": [text + "{{ x }}"]}


TEMPLAR = Templar(lookups=LookupContext(environment={}, read_file=lambda path: path, directory="/"))


def test_values_are_rendered_once_and_only_when_used(templar: Templar) -> None:
    values = Counted({"a": "{{ b }}", "b": "x", "never": "{{ 1 / 0 }}"})
    scope = Scope(templar, [Layer(values, True)])
    assert values.asked == []
    assert (scope["a"], scope["a"]) == ("x", "x")
    assert values.asked == ["a", "b"]


class Counted(Mapping[str, Any]):
    """A mapping that notes what is asked of it."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values_ = values
        self.asked: list[str] = []

    def __getitem__(self, name: str) -> Any:
        self.asked.append(name)
        return self.values_[name]

    def __contains__(self, name: object) -> bool:
        return name in self.values_

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_)

    def __len__(self) -> int:
        return len(self.values_)


def test_one_bad_value_does_not_spoil_its_neighbours(templar: Templar, scoped: Scoped) -> None:
    scope = scoped({"cfg": {"a": "{{ missing }}", "b": 1, "c": "{{ cfg.b + 1 }}", "d": {"e": "{{ cfg.c }}"}}})
    assert templar.render("{{ cfg.b }} {{ cfg.c }} {{ cfg.d.e }}", scope) == "1 2 2"
    assert templar.render("{{ cfg.a | default('none') }}", scope) == "none"
    with pytest.raises(UndefinedVariable, match="'missing' is undefined"):
        templar.render("{{ cfg }}", scope)


@pytest.mark.parametrize(
    ("variables", "chain"),
    [
        ({"a": "{{ a }}"}, "a -> a"),
        ({"a": "{{ b }}", "b": "x{{ c }}", "c": "{{ a }}"}, "a -> b -> c -> a"),
        ({"a": "{{ b.c }}", "b": {"c": "{{ b.d[0] }}", "d": ["{{ a }}"]}}, "a -> b.c -> b.d.0 -> a"),
    ],
)
def test_a_loop_is_told_by_its_chain(templar: Templar, scoped: Scoped, variables: dict[str, Any], chain: str) -> None:
    with pytest.raises(TemplateFailure, match="Recursive loop detected in template: " + chain + "$"):
        templar.render("{{ a }}", scoped(variables))


def test_a_list_that_holds_itself_ends(templar: Templar, scoped: Scoped) -> None:
    with pytest.raises(TemplateFailure, match="Recursive loop detected"):
        templar.render("{{ a }}", scoped({"a": ["{{ a }}"]}))
    with pytest.raises(TemplateFailure, match="Recursive loop detected"):
        templar.render("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", scoped())


def test_after_a_loop_the_scope_still_works(templar: Templar, scoped: Scoped) -> None:
    scope = scoped({"a": "{{ a }}", "b": "{{ c }}", "c": 1})
    with pytest.raises(TemplateFailure):
        templar.render("{{ a }}", scope)
    assert templar.render("{{ b }}", scope) == 1


def test_a_child_sees_its_own_values_in_its_parents_templates(templar: Templar, scoped: Scoped) -> None:
    parent = scoped({"greeting": "hi {{ item }}", "item": "nobody"})
    assert parent["greeting"] == "hi nobody"
    child = parent.child({"item": "{{ bob }}"})
    assert child["greeting"] == "hi {{ bob }}"
    rendered = parent.child({"item": "{{ greeting_word }}", "greeting_word": "bob"}, templated=True)
    assert rendered["greeting"] == "hi bob"
    assert parent["greeting"] == "hi nobody"


def test_the_variable_named_vars_holds_them_all(templar: Templar, scoped: Scoped) -> None:
    scope = scoped({"a": "{{ b }}", "b": 1, "bad": "{{ missing }}"}, {"told": "{{ b }}", "b": 2})
    assert templar.render("{{ vars.a }}{{ vars['b'] }}{{ vars.told }}", scope) == "22{{ b }}"
    assert templar.render("{{ vars | list | sort }}", scope) == ["a", "b", "bad", "told"]
    assert templar.render("{{ vars.bad is defined }}", scope) is False
    assert templar.render("{{ vars }}", scoped({"vars": 5})) == 5


def test_another_hosts_scope_is_read_like_a_dict(templar: Templar, scoped: Scoped) -> None:
    other = scoped({"port": "{{ base + 1 }}", "base": 80, "bad": "{{ missing }}", "child": "c", "items_": [1]})
    scope = scoped({}, {"hostvars": {"web1": other}})
    assert templar.render("{{ hostvars.web1.port }} {{ hostvars['web1']['base'] }}", scope) == "81 80"
    assert templar.render("{{ hostvars.web1.child }}", scope) == "c"
    assert templar.render("{{ hostvars.web1.bad | default('d') }}", scope) == "d"
    assert templar.render("{{ hostvars.web1.nothing is defined }}", scope) is False
    assert templar.render("{{ hostvars.web1.get('base') }}", scope) == 80
    assert templar.render("{{ hostvars.values() | map(attribute='port') }}", scope) == [81]
    assert templar.render("{{ ['web1'] | map('extract', hostvars, 'port') }}", scope) == [81]
    with pytest.raises(UndefinedVariable, match=r"no attribute 'prot'\. Did you mean 'port'"):
        templar.render("{{ hostvars.web1.prot }}", scope)


def test_templates_change_nothing_but_their_own_copies(templar: Templar, scoped: Scoped) -> None:
    told = {"result": {"lines": ["a"]}}
    scope = scoped({"numbers": [1, "{{ two }}"], "two": 2}, told)
    assert templar.render("{% set _ = numbers.append(3) %}{{ numbers }}", scope) == [1, 2, 3]
    assert templar.render("{{ numbers }}", scope) == [1, 2]
    assert templar.render("{% set _ = result.lines.append('b') %}{{ result.lines }}", scope) == ["a", "b"]
    assert templar.render("{{ result.update({'x': 1}) }}{{ result.x }}", scope) == 1
    assert templar.render("{{ result['lines']['pop'](0) }}", scope) == "a"
    assert told == {"result": {"lines": ["a"]}}


def test_results_are_copies(templar: Templar, scoped: Scoped) -> None:
    told = {"result": {"lines": ["a"]}}
    scope = scoped({"mine": {"a": [1]}}, told)
    templar.render("{{ result }}", scope)["lines"].append("x")
    templar.render("{{ mine }}", scope)["a"].append("x")
    assert told["result"]["lines"] == ["a"]
    assert templar.render("{{ mine }}", scope) == {"a": [1]}


def test_a_plain_mapping_is_a_scope_of_values_that_are_not_rendered(templar: Templar) -> None:
    assert templar.render("{{ a }} {{ b }}", {"a": 1, "b": "{{ a }}"}) == "1 {{ a }}"


def test_threads_share_a_templar(templar: Templar) -> None:
    shared = Scope(templar, [Layer({"x": "{{ y }}", "y": "{{ z }}", "z": 7, "l": ["{{ x }}"] * 50}, True)])
    problems: list[Any] = []

    def work() -> None:
        for _ in range(100):
            own = Scope(templar, [Layer({"a": "{{ b }}", "b": {"c": "{{ 1 + 1 }}"}}, True)])
            got = (templar.render("{{ a.c }}", own), templar.render("{{ l | sum }}", shared.child({})), shared["x"])
            if got != (2, 350, 7):
                problems.append(got)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
