"""What is said of templates before anything is rendered: their faults and their variables."""

from __future__ import annotations

from typing import Any

import pytest

from opsrunner.templating import Templar
from opsrunner.templating.filters import REFUSED as REFUSED_FILTERS
from opsrunner.templating.lookups import LOOKUPS
from opsrunner.templating.lookups import REFUSED as REFUSED_LOOKUPS
from opsrunner.templating.tests import REFUSED as REFUSED_TESTS


@pytest.mark.parametrize(
    ("value", "problems"),
    [
        ("plain", []),
        (5, []),
        ({"a": ["{{ x | default('') | upper }}", None], "{{ key": 1}, []),
        ("{{ x | ansible.builtin.combine(y) is ansible.builtin.defined }}", []),
        ("{{ 1 +", ["Syntax error in template: unexpected 'end of template'"]),
        ("{{ x | combin(y) }}", ["no filter named 'combin': did you mean 'combine'?"]),
        ("{{ x | ansible.builtin.combin(y) }}", ["no filter named 'ansible.builtin.combin': did you mean 'combine'?"]),
        ("{{ x | zzzz }}", ["no filter named 'zzzz'"]),
        ("{% if false %}{{ x | zzzz }}{% endif %}", ["no filter named 'zzzz'"]),
        ("{{ x is defind }}", ["no test named 'defind': did you mean 'defined'?"]),
        ("{{ x | map('uper') }}", ["no filter named 'uper': did you mean 'upper'?"]),
        ("{{ x | select('matsch', 'y') }}", ["no test named 'matsch': did you mean 'match'?"]),
        ("{{ x | selectattr('defind', 'defind') }}", ["no test named 'defind': did you mean 'defined'?"]),
        ("{{ x | rejectattr('a', '==', 1) | map(attribute='uper') }}", []),
        ("{{ lookup('fiel', 'x') }}", ["The lookup plugin 'fiel' was not found. Did you mean 'file'?"]),
        ("{{ q('zzzz') }}", ["The lookup plugin 'zzzz' was not found."]),
        ("{{ lookup('ansible.builtin.env', 'HOME') }}{{ lookup(kind, 'x') }}", []),
        ("{{ lookup('file', '{{ x | zzzz }}') }}", ["no filter named 'zzzz'"]),
        ("{{ x | regex_replace('{{ (', '') }}", []),
        (["{{ x | zzzz }}", {"a": "{{ y | zzzz }}", "b": "{{ y is zzzz }}"}], None),
    ],
)
def test_faults_are_found_with_the_nearest_name(templar: Templar, value: Any, problems: list[str] | None) -> None:
    expected = ["no filter named 'zzzz'", "no test named 'zzzz'"] if problems is None else problems
    assert templar.check(value) == expected


@pytest.mark.parametrize("name", REFUSED_FILTERS)
def test_refused_filters_say_why(templar: Templar, name: str) -> None:
    assert templar.check(f"{{{{ x | {name} }}}}") == [f"the filter {name!r} is not supported: {REFUSED_FILTERS[name]}"]


@pytest.mark.parametrize("name", REFUSED_TESTS)
def test_refused_tests_say_why(templar: Templar, name: str) -> None:
    assert templar.check(f"{{{{ x is {name} }}}}") == [f"the test {name!r} is not supported: {REFUSED_TESTS[name]}"]


@pytest.mark.parametrize("name", REFUSED_LOOKUPS)
def test_refused_lookups_say_why(templar: Templar, name: str) -> None:
    said = f"the lookup {name!r} is not supported: {REFUSED_LOOKUPS[name]}"
    assert templar.check(f"{{{{ lookup('{name}', 'x') }}}}") == [said]
    assert name not in LOOKUPS


def test_expressions_are_checked_bare(templar: Templar) -> None:
    assert templar.check_expression("users | map(attribute='name') | list") is None
    assert templar.check_expression("users | mapp('x')") == "no filter named 'mapp': did you mean 'map'?"
    assert "Template delimiters are not supported" in str(templar.check_expression("{{ x }}"))
    assert "unexpected 'end of template'" in str(templar.check_expression("x +"))


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("plain", set()),
        ("{{ a.b[c] | default(d) }}", {"a", "c", "d"}),
        ({"x": ["{{ a }}", {"y": "{{ b }}"}], "{{ k }}": 1}, {"a", "b"}),
        ("{% for i in items_ %}{{ i }}{{ loop.index }}{% endfor %}{% set z = 1 %}{{ z }}", {"items_"}),
        ("{{ lookup('env', 'HOME') }}{{ omit }}{{ range(n) }}{{ now() }}{{ query('x') }}", {"n"}),
        ("{{ lookup('vars', 'direct') }}{{ q('ansible.builtin.vars', 'a', 'b', c) }}", {"direct", "a", "b", "c"}),
        ("{{ lookup('file', '{{ where }}/x') }}", {"where"}),
        ("{{ a | no_such_filter(b) }}", {"a", "b"}),
        ("{{ broken", set()),
        ("#jinja2: variable_start_string: '[[', variable_end_string: ']]'\n[[ a ]] {{ b }}", {"a"}),
    ],
)
def test_the_variables_a_value_refers_to(templar: Templar, value: Any, names: set[str]) -> None:
    assert templar.names(value) == names


def test_the_variables_an_expression_refers_to(templar: Templar) -> None:
    assert templar.expression_names("a.b == c and 'x' in d") == {"a", "c", "d"}
    assert templar.expression_names("{{ a }}") == {"a"}
    assert templar.expression_names("a == '{{ b }}'") == {"a", "b"}
    assert templar.expression_names("a ==") == set()
