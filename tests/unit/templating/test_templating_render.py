"""Rendering values, template files and expressions: types, omissions, failures, the sandbox."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsrunner.errors import InputError
from opsrunner.templating import (
    FILE_RULES,
    OMIT,
    Layer,
    LookupContext,
    Scope,
    Templar,
    TemplateFailure,
    UndefinedVariable,
    possibly_template,
)

Scoped = Callable[..., Scope]

TEMPLAR = Templar(lookups=LookupContext(environment={}, read_file=lambda path: path, directory="/"))


@given(st.text().filter(lambda text: not possibly_template(text)))
def test_text_without_a_template_comes_back_as_it_is(text: str) -> None:
    assert TEMPLAR.render({"a": [text]}, {}) == {"a": [text]}
    assert TEMPLAR.render_text(text, {}, newline_sequence="\r\n") == text


def test_a_single_expression_keeps_its_type_and_text_around_makes_text(templar: Templar, scoped: Scoped) -> None:
    scope = scoped({"n": 5, "l": [1, 2], "digits": "5", "yes": True})
    rendered = templar.render(["{{ n }}", "{{ l }}", "{{ digits }}", "{{ yes }}", "{{ n }}0", " {{ n }}", 7], scope)
    assert rendered == [5, [1, 2], "5", True, "50", " 5", 7]
    assert [type(value) for value in rendered] == [int, list, str, bool, str, str, int]


def test_what_renders_to_omit_disappears(templar: Templar, scoped: Scoped) -> None:
    scope = scoped({"o": "{{ omit }}", "l": [1, "{{ omit }}"]})
    value = {
        "a": "{{ nothing | default(omit) }}",
        "b": [1, "{{ o }}"],
        "c": {"d": "{{ omit }}"},
        "e": "{{ l }}",
        "f": 1,
    }
    assert templar.render(value, scope) == {"b": [1], "c": {}, "e": [1], "f": 1}
    assert templar.render("{{ omit }}", scope) is OMIT
    assert templar.render("x{{ omit }}", scope) == "x"


def test_omit_stays_itself_when_copied() -> None:
    assert copy.deepcopy([OMIT])[0] is OMIT
    assert pickle.loads(pickle.dumps(OMIT)) is OMIT  # noqa: S301


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ ngnix_port }}", "'ngnix_port' is undefined. Did you mean 'nginx_port'?"),
        ("{{ zzz }}", "'zzz' is undefined"),
        ("{{ user.nmae }}", "object of type 'dict' has no attribute 'nmae'. Did you mean 'name'?"),
        ("{{ user.shell }}", "object of type 'dict' has no attribute 'shell'"),
        ("{{ user['nmae'] | upper }}", "object of type 'dict' has no attribute 'nmae'. Did you mean 'name'?"),
        (
            "{{ 'x' if false }}",
            "the inline if-expression on line 1 evaluated to false and no else section was defined.",
        ),
    ],
)
def test_the_undefined_is_told_with_the_nearest_name(
    templar: Templar, scoped: Scoped, template: str, message: str
) -> None:
    with pytest.raises(UndefinedVariable) as caught:
        templar.render({"a": [template]}, scoped({"nginx_port": 80, "user": {"name": "bob"}}))
    assert caught.value.message.startswith(message)
    assert ("Did you mean" in caught.value.message) == ("Did you mean" in message)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ 1 +", "Syntax error in template: unexpected 'end of template'"),
        ("a\n{{ b c }}", "Syntax error in template: expected token 'end of print statement', got 'c' (line 2)"),
        (
            "{{ 'x' | from_json }}",
            "The filter plugin 'ansible.builtin.from_json' failed: Expecting value: line 1",
        ),
        (
            "{{ 'x' is version('1', '~') }}",
            "The test plugin 'ansible.builtin.version' failed: Invalid operator",
        ),
        ("{{ lookup('dict', 5) }}", "The lookup plugin 'dict' failed: the 'dict' lookup plugin expects a dictionary"),
        ("{{ lookup('config', 'x') }}", "the lookup 'config' is not supported: there is no configuration"),
        ("{{ 1 / 0 }}", "Error rendering template: division by zero"),
        ("{{ 'x'.nope() }}", "object of type 'str' has no attribute 'nope'"),
        ("#jinja2: x", "Syntax error in template: Missing newline after '#jinja2:' override."),
        (
            "#jinja2: trim_block: True\nx",
            "Syntax error in template: Invalid '#jinja2:' override key 'trim_block'. Did",
        ),
        ("#jinja2: trim_blocks: yes!\nx", "Syntax error in template: '#jinja2:' cannot read 'yes!'."),
        (
            "#jinja2: trim_blocks\nx",
            "Syntax error in template: '#jinja2:' needs pairs of `key: value`, not ' trim",
        ),
        ("#jinja2: newline_sequence: 'x'\nx", "Syntax error in template: newline_sequence must be"),
        ("#jinja2: block_start_string: '{{'\nx", "Syntax error in template: Block, variable and comment start strings"),
    ],
)
def test_failures_say_what_failed(templar: Templar, template: str, message: str) -> None:
    with pytest.raises(TemplateFailure) as caught:
        templar.render(template, {})
    assert caught.value.message.startswith(message)
    assert isinstance(caught.value, InputError)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ '{0.__class__}'.format('') }}",
        "{{ '{x.__class__}'.format_map({'x': 1}) }}",
        "{{ lookup.__globals__ }}",
        "{{ lookup._surroundings }}",
        "{{ now.__self__ }}",
        "{{ [] | attr('__class__') }}",
        "{{ ['x'] | map(attribute='__class__') | first }}",
        "{{ cycler.__init__.__globals__ }}",
        "{% for x in ''.__class__.__mro__ %}{% endfor %}",
        "{{ hostvars.h._templar }}",
        "{{ hostvars.h.child({}) }}",
        "{{ hostvars.h.trusting() }}",
    ],
)
def test_the_sandbox_keeps_python_out_of_reach(templar: Templar, scoped: Scoped, template: str) -> None:
    with pytest.raises(TemplateFailure):
        templar.render(template, scoped({}, {"hostvars": {"h": scoped({"a": 1})}}))


def test_the_clock_is_given(templar: Templar) -> None:
    assert templar.render("{{ now(utc=true, fmt='%Y-%m-%d %H:%M:%S') }}", {}) == "2001-09-09 01:46:40"
    assert templar.render("{{ now(utc=true).year }}", {}) == 2001
    assert templar.render("{{ '%s' | strftime(utc=false) }}", {}) == "1000000000"
    assert templar.render("{{ '%Y' | strftime(utc=true) }}", {}) == "2001"


def test_random_numbers_are_not_folded_into_the_compiled_template(templar: Templar) -> None:
    assert len({templar.render("{{ 1000000 | random }}", {}) for _ in range(5)}) > 1


def test_constants_that_look_like_templates_are_rendered_for_lookups_only(templar: Templar, scoped: Scoped) -> None:
    scope = scoped({"f": "motd"})
    assert templar.render("{{ lookup('file', '{{ f }}') }}", scope) == "  welcome"
    assert templar.render("{{ query('list', ['{{ f }}'], {'a': '{{ f }}'}) }}", scope) == [["motd"], {"a": "motd"}]
    assert templar.render("{{ ['{{ f }}', {'a': '{{ f }}'}] }}", scope) == ["{{ f }}", {"a": "{{ f }}"}]
    assert type(templar.render("{{ '{{ f }}' }}", scope)) is str


def test_a_template_file_gives_text_as_the_template_module_does(templar: Templar, scoped: Scoped) -> None:
    scope = scoped({"on": True, "d": {"a": 1}, "none": None})
    assert templar.render_text("{% if on %}\na\n{% endif %}\nb\n\n", scope) == "a\nb\n\n"
    assert templar.render_text("{% if on %}\na\n{% endif %}\n", scope, trim_blocks=False) == "\na\n"
    assert templar.render_text("  {% if on %}\na{% endif %}", scope, lstrip_blocks=True) == "a"
    assert templar.render_text("{{ d }}\nb\n", scope, newline_sequence="\r\n") == "{'a': 1}\r\nb\r\n"
    assert templar.render_text("{{ d }}", scope) == "{'a': 1}"
    assert templar.render_text("{{ none }}", scope) == ""
    assert templar.render_text("{{ on }}\n\n", scope, keep_trailing_newline=False) == "True\n"
    assert templar.render_text("{{ 'a\\tb' }}", scope) == "a\tb"
    assert templar.render("{{ 'a\\tb' }}", scope) == "a\\tb"


def test_a_template_file_may_have_other_delimiters(templar: Templar, scoped: Scoped) -> None:
    scope = scoped({"a": 1})
    swapped = {"variable_start_string": "[[", "variable_end_string": "]]"}
    assert templar.render_text("[[ a ]] {{ a }}\n", scope, **swapped) == "1 {{ a }}\n"
    header = "#jinja2: variable_start_string: '[[', variable_end_string: ']]', trim_blocks: False\n"
    assert templar.render_text(header + "[[ a ]] {{ a }}{# c #}\n", scope) == "1 {{ a }}\n"
    assert templar.check_text("[[ a | nope ]]", FILE_RULES, **swapped) == ["no filter named 'nope'"]
    with pytest.raises(TemplateFailure, match="Invalid '#jinja2:' override key 'variable_start'"):
        templar.render_text("", scope, variable_start="x")


def test_template_files_include_others_where_they_can_be_read(scoped: Scoped) -> None:
    files = {
        "part.j2": "[{{ name }}{{ local | default('') }}{{ 'a\\tb' }}]",
        "macros.j2": "{% macro hi(who) %}hi {{ who }}{{ name | default('!') }}{% endmacro %}{% set answer = 42 %}",
        "base.j2": "<{% block body %}{% endblock %}|{{ name }}>",
        "child.j2": "{% extends 'base.j2' %}{% block body %}{{ super() }}{{ name }}{% endblock %}",
    }

    def reader(name: str) -> str:
        if name not in files:
            raise FileNotFoundError(name)
        return files[name]

    templar = Templar(
        lookups=LookupContext(environment={}, read_file=files.__getitem__, directory="/", read_template=reader),
    )
    scope = Scope(templar, [Layer({"name": "{{ first }}", "first": "bob"}, True)])

    def render(text: str) -> str:
        return templar.render_text(text, scope)

    assert render("{% set local = 1 %}{% include 'part.j2' %}") == "[bob1a\tb]"
    assert render("{% for local in [1, 2] %}{% include 'part.j2' %}{% endfor %}") == "[bob1a\tb][bob2a\tb]"
    assert render("{% from 'macros.j2' import hi, answer %}{{ hi('x') }} {{ answer }}") == "hi x! 42"
    assert render("{% import 'macros.j2' as m with context %}{{ m.hi('x') }}") == "hi xbob"
    assert render("{% include 'child.j2' %}") == "<bob|bob>"
    assert render("{% include ['nowhere.j2', 'part.j2'] %}") == "[boba\tb]"
    assert render("{% include 'nowhere.j2' ignore missing %}x") == "x"
    assert templar.check_text("{% include 'part.j2' %}", FILE_RULES) == []
    assert templar.render("{% include 'part.j2' %}", scope) == "[boba\tb]"
    with pytest.raises(TemplateFailure, match=r"nowhere\.j2"):
        render("{% include 'nowhere.j2' %}")


def test_without_a_reader_nothing_can_be_included(templar: Templar) -> None:
    with pytest.raises(TemplateFailure, match="cannot be included"):
        templar.render_text("{% include 'part.j2' %}", {})
    assert "cannot include or import" in templar.check_text("{% import 'x' as y %}", FILE_RULES)[0]


def test_expressions_keep_types_and_give_plain_data(templar: Templar, scoped: Scoped) -> None:
    scope = scoped({"cfg": {"a": "{{ 1 + 1 }}"}, "n": 3})
    assert templar.evaluate("cfg", scope) == {"a": 2}
    assert type(templar.evaluate("cfg", scope)) is dict
    assert templar.evaluate("n * 2", scope) == 6
    assert templar.evaluate("nothing | default(none)", scope) is None
    with pytest.raises(TemplateFailure, match="Template delimiters are not supported in expressions"):
        templar.evaluate("{{ n }}", scope)
    with pytest.raises(TemplateFailure, match="chunk after expression"):
        templar.evaluate("n n", scope)


def test_many_templates_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch, surroundings: LookupContext) -> None:
    monkeypatch.setattr("opsrunner.templating.compiling.MAX_COMPILED", 10)
    templar = Templar(lookups=surroundings)
    assert [templar.render(f"{{{{ {n} }}}}", {}) for n in range(25)] == list(range(25))
    assert len(templar._compiler._templates) <= 10


def test_importing_it_brings_no_heavy_library() -> None:
    code = (
        "import sys, opsrunner.templating; "
        "print(*sorted({'ansible', 'celery', 'paramiko', 'redis', 'yaml', 'rich', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_value_of_any_kind_is_passed_on(templar: Templar) -> None:
    value: dict[str, Any] = {"a": None, "b": 1.5, "c": (1, "{{ 2 }}"), "d": b"x"}
    assert templar.render(value, {}) == {"a": None, "b": 1.5, "c": [1, 2], "d": b"x"}
