"""Templates: whatever they ask for, a value or a failure comes of it, in time and in bounds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsrunner.templating import Layer, LookupContext, Scope, Templar
from opsrunner.templating.filters import all_filters
from opsrunner.templating.lookups import LOOKUPS
from opsrunner.templating.tests import all_tests
from tests.unit.fuzz.profile import fuzzed, judged

VARIABLES = {
    "text": "a b\nc",
    "number": 7,
    "floating": 2.5,
    "nothing": None,
    "items": [3, "x", None, [1, [2]], {"a": 1}],
    "mapping": {"a": 1, "b": {"c": ["{{ number }}"]}, 2: "two"},
    "users": [{"name": "ann", "groups": ["x", "y"]}, {"name": "bob", "groups": []}],
    "lazy": "{{ mapping.b.c }}",
    "circle": "{{ circle }}",
    "missing": "{{ nobody }}",
    "result": {"rc": 0, "stdout": "{{ 1 }}", "failed": False, "results": [{"changed": True}]},
}
NAMES = st.sampled_from([*VARIABLES, "nobody", "omit", "vars", "range", "lookup", "loop", "self", "true", "none"])
LITERALS = st.sampled_from(
    [
        *(
            "0",
            "1",
            "-1",
            "2.5",
            "10**9",
            "10**40",
            "9999999",
            "1e999",
            "''",
            "'x'",
            "'%d'",
            "'%99999999d'",
            "'{:9999999}'",
        ),
        *(
            "[]",
            "{}",
            "()",
            "[1, 2]",
            "(1, 2)",
            "{'a': 1}",
            "{1: 2}",
            "{(1, 2): 3}",
            "'name'",
            "'upper'",
            "'defined'",
            "'['",
        ),
        *(
            "range(3)",
            "range(10**9)",
            "range(0, 10**6)",
            "true",
            "none",
            "omit",
            "r'\\1'",
            "'é🦊'",
            "'\\ud800'",
            "'a'*10**8",
        ),
    ]
)
FILTERS = st.sampled_from([*sorted(all_filters()), "nofilter", "ansible.builtin.bool"])
TESTS = st.sampled_from([*sorted(name for name in all_tests() if name.isidentifier()), "notest"])
METHODS = st.sampled_from(
    [
        "upper",
        "split",
        "join",
        "replace",
        "format",
        "center",
        "ljust",
        "zfill",
        "items",
        "keys",
        "get",
        "update",
        "append",
        "extend",
        "pop",
        "index",
        "count",
        "strip",
        "encode",
        "translate",
        "expandtabs",
        "bit_length",
        "to_bytes",
        "__class__",
        "__lshift__",
        "__init__",
        "real",
        "as_integer_ratio",
        "format_map",
    ]
)
OPERATORS = st.sampled_from(
    ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", ">", "<=", ">=", "and", "or", "in", "not in"]
)


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    arguments = st.lists(inner, max_size=2).map(", ".join)
    return st.one_of(
        st.builds("({} {} {})".format, inner, OPERATORS, inner),
        st.builds("{}|{}".format, inner, FILTERS),
        st.builds("{}|{}({})".format, inner, FILTERS, arguments),
        st.builds("({} is {})".format, inner, TESTS),
        st.builds("({} is {}({}))".format, inner, TESTS, inner),
        st.builds("{}.{}".format, inner, METHODS | st.sampled_from(["a", "b", "name", "0", "rc"])),
        st.builds("{}.{}({})".format, inner, METHODS, arguments),
        st.builds("{}[{}]".format, inner, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("[{}]".format, arguments),
        st.builds("{{'a': {}, {}: 1}}".format, inner, inner),
        st.builds(
            "{}('{}', {})".format,
            st.sampled_from(["lookup", "query"]),
            st.sampled_from([*sorted(LOOKUPS), "pipe"]),
            inner,
        ),
        st.builds(
            "{}({})".format, st.sampled_from(["range", "dict", "namespace", "cycler", "now", "undef"]), arguments
        ),
        st.builds("-{}".format, inner),
        st.builds("not {}".format, inner),
    )


EXPRESSIONS = st.recursive(NAMES | LITERALS, _grown, max_leaves=6)
STATEMENTS = st.one_of(
    st.builds("{{{{ {} }}}}".format, EXPRESSIONS),
    st.builds("{{% for i in {} %}}{{{{ {} }}}}{{% endfor %}}".format, EXPRESSIONS, EXPRESSIONS),
    st.builds("{{% for i in {} recursive %}}{{{{ loop({}) }}}}{{% endfor %}}".format, EXPRESSIONS, EXPRESSIONS),
    st.builds("{{% if {} %}}x{{% elif {} %}}y{{% endif %}}".format, EXPRESSIONS, EXPRESSIONS),
    st.builds("{{% set v = {} %}}{{{{ v ~ {} }}}}".format, EXPRESSIONS, EXPRESSIONS),
    st.builds(
        "{{% macro m(a) %}}{{{{ {} }}}}{{{{ m(a) }}}}{{% endmacro %}}{{{{ m({}) }}}}".format, EXPRESSIONS, EXPRESSIONS
    ),
    st.builds("{{% filter {} %}}x{{% endfilter %}}".format, FILTERS),
    st.builds(
        "#jinja2: {}:{}\n{{{{ {} }}}}".format,
        st.sampled_from(["trim_blocks", "variable_start_string", "x"]),
        LITERALS,
        NAMES,
    ),
)
TEMPLATES = st.lists(STATEMENTS | st.text(max_size=6), min_size=1, max_size=3).map("".join)
BROKEN = st.lists(
    st.sampled_from(
        [
            "{{",
            "}}",
            "{%",
            "%}",
            "{#",
            "#}",
            "if",
            "for",
            "in",
            "x",
            "|",
            "(",
            ")",
            "'",
            "-",
            " ",
            "set",
            "endfor",
            "1",
            "\n",
        ]
    ),
    max_size=14,
).map("".join)


def _no_file(path: str) -> str:
    raise FileNotFoundError(path)


@pytest.fixture(scope="module")
def templar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Templar]:
    """Its templates may take a tenth of a second: what a bound does not end is found all the same, and sooner."""
    folder: Path = tmp_path_factory.mktemp("templates")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("opsrunner.templating.bounds.MAX_SECONDS", 0.1)
        yield Templar(lookups=LookupContext(environment={"A": "b"}, read_file=_no_file, directory=str(folder)))


def _scope(templar: Templar) -> Scope:
    return Scope(templar, [Layer(VARIABLES, templated=True), Layer({"item": "{{ host said }}"})])


@fuzzed(250)
@given(template=TEMPLATES | BROKEN)
def test_a_template_gives_a_value_or_a_failure(templar: Templar, template: str) -> None:
    with judged():
        assert isinstance(templar.check(template), list)
        # What comes of it must be fit to be a result, which travels as JSON.
        json.dumps(templar.render(template, _scope(templar)), default=repr)
    with judged():
        assert isinstance(templar.render_text(template, _scope(templar)), str)


@fuzzed(250)
@given(expression=EXPRESSIONS | BROKEN)
def test_an_expression_gives_a_value_or_a_failure(templar: Templar, expression: str) -> None:
    with judged():
        templar.check_condition(expression)
        templar.expression_names(expression)
        json.dumps(templar.evaluate(expression, _scope(templar)), default=repr)
    with judged():
        assert isinstance(templar.condition(expression, _scope(templar)), bool)
