"""Every case is rendered here and by ansible-core's own engine, in one process: the answers must be the same.

``EXCEPTIONS`` names what differs on purpose, and why.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from opsrunner.templating import Layer, LookupContext, Scope, Templar, TemplateFailure, UndefinedVariable

# Ansible leaves strings such as '\w+' to Python, which warns of them; ours takes them as they are meant.
pytestmark = pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")

VARIABLES: dict[str, Any] = {
    "one": 1,
    "text": "hello",
    "spaced": "  a b  ",
    "yes_": True,
    "nothing": None,
    "empty": "",
    "pi": 3.14159,
    "numbers": [3, 1, 2],
    "words": ["b", "a", "B", "a"],
    "user": {"name": "bob", "groups": ["adm", "www"], "home": {"path": "/home/bob"}},
    "users": [
        {"name": "bob", "uid": 1, "keys": ["k1", "k2"]},
        {"name": "eve", "uid": 2, "keys": []},
        {"name": "zoe", "uid": 3, "admin": True, "keys": ["k3"]},
    ],
    "greeting": "{{ text }} {{ user.name }}",
    "indirect": "{{ one }}",
    "listed": "{{ numbers }}",
    "broken": "{{ nowhere }}",
    "broken_text": "x {{ nowhere }}",
    "divided": "{{ 1 / 0 }}",
    "unparsed": "{{ 'x' | from_json }}",
    "badly_written": "{{ 1 +",
    "config": {
        "a": 1,
        "b": "{{ config.a + 1 }}",
        "bad": "{{ nowhere }}",
        "deep": {"c": "{{ text }}", "d": "{{ none }}"},
    },
    "mixed": [1, "{{ text }}", "{{ nowhere }}", {"x": "{{ one }}"}],
    "rendered_list": ["{{ one }}", "{{ text }}", ["{{ pi }}"]],
    "loop_a": "{{ loop_b }}",
    "loop_b": "{{ loop_a }}",
    "left": {"a": 1, "n": {"x": 1, "l": [1, 2]}, "l": [1, 2]},
    "right": {"b": 2, "n": {"y": 2, "l": [2, 3]}, "l": [2, 3]},
    "path": "/etc/nginx/conf.d/site.conf",
    "condition": "one == 1",
    "word_condition": "text",
    "multi": "line 1\nline 2\n",
    "window": "{{ 'a\\tb' }}",
    "unicode": "grüße – ☃",
    "int_keys": {10: "ten", 9: "nine", "x": 0},
}

#: What hosts said: never rendered, whatever it looks like.
RESULTS: dict[str, Any] = {
    "result": {"rc": 0, "stdout": "{{ text }}", "changed": True, "failed": False, "stdout_lines": ["{{ text }}", "b"]},
    "failing": {"rc": 1, "failed": True, "msg": "no"},
    "skipping": {"skipped": True, "changed": False},
    "away": {"unreachable": True, "changed": False},
    "looped": {"results": [{"changed": False, "rc": 0}, {"changed": True, "rc": 1}]},
    "slow": {"timedout": {"period": 3}, "finished": 0, "started": 1},
    "hostile": "{{ lookup('env', 'HOME') }}",
    "hostile_condition": "one == 1",
}

#: A template a line; ``\\n`` stands for a newline in those that begin with ``#jinja2`` or end with it.
TEMPLATES = (Path(__file__).parent / "templates.txt").read_text().splitlines()

CONDITIONS: list[Any] = [
    True,
    False,
    "true",
    "one == 1",
    "one == 2",
    " one == 1 ",
    "not yes_",
    "one",
    "text",
    "text | length > 0",
    "nothing",
    "nothing is none",
    "",
    "  ",
    None,
    1,
    [],
    {},
    "nowhere",
    "nowhere is defined",
    "nowhere.x is not defined",
    "nowhere == 1",
    "broken is defined",
    "unparsed is defined",
    "result.rc == 0",
    "result is succeeded and result.stdout_lines | length == 2",
    "'b' in result.stdout_lines",
    "result.stdout == text",
    "text is match('h\\w+')",
    "text is search('l{2}')",
    "'a\\tb' == 'a\tb'",
    "condition",
    "{{ condition }}",
    "{{ word_condition }}",
    "{{ yes_ }}",
    "{{ one }}",
    "{{ one == 1 }}",
    "{{ nowhere }}",
    "{{ hostile_condition }}",
    "{{ result.stdout }}",
    "{{ 'one == 1' }}",
    "{{ condition if yes_ else 'x' }}",
    "{{ empty }}",
    "{% if yes_ %}one == 1{% endif %}",
    "text == '{{ text }}'",
    "'{{ one }}' == 1",
    "{{ one }} == 1",
    "one == {{ one }}",
    "'{{ nowhere }}' == 'a'",
    "one ==",
    "text | nope",
    "1 in numbers",
    "users | selectattr('admin', 'defined') | list | length == 1",
    "users | length",
    "one == 1 and (text == 'x' or yes_)",
    "lookup('env', 'TEMPLATING_TEST') == 'here'",
]

EXPRESSIONS = [
    "one",
    "result.rc",
    "user.home.path",
    "config.b",
    "config.bad",
    "mixed[1]",
    "users | map(attribute='name') | list",
    "nowhere",
    "nowhere | default('d')",
    "'a\\tb'",
    "'{{ one }}'",
    "{{ one }}",
    "one +",
    "one two",
    "hostile",
    "none",
    "range(3)",
    "[one, text]",
    "rendered_list",
    "",
]

#: Cases in which we differ, and why.
EXCEPTIONS: Mapping[str, str] = {
    "{{ users | groupby('admin', default=false) | length }}": "Ansible fails where Jinja documents a default",
    "{% include 'nowhere.j2' %}": "the words differ: there is nothing to include from",
    "{{ numbers.count(1) }}": "Ansible's lists count only what was looked at before",
    "{{ '{0.__class__}'.format(1) }}": "Ansible's sandbox forgets format strings",
    "{{ lookup.__init__ }}": "the kind of object is told, and ours is another",
    "{{ users | map(attribute='keys.0') | list }}": "Ansible has other words for the item 0 than for the others",
    "{{ [user, user] | to_yaml }}": "what stands twice is written twice, not as an anchor",
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """ansible-core's engine over the same variables."""
    base = tmp_path_factory.mktemp("ansible")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANSIBLE_HOME", str(base))
        patch.setenv("ANSIBLE_LOCAL_TEMP", str(base / "tmp"))
        patch.setenv("ANSIBLE_DEPRECATION_WARNINGS", "false")
        patch.setenv("TEMPLATING_TEST", "here")
        patch.delenv("TEMPLATING_NONE", raising=False)
        from ansible._internal._templating._engine import TemplateEngine
        from ansible.parsing.dataloader import DataLoader

        variables = {**trusted(VARIABLES), **RESULTS, "there": str(base / "there.txt")}
        (base / "there.txt").write_text(" some text\n\n")
        yield TemplateEngine(loader=DataLoader(), variables=variables)


def trusted(value: Any) -> Any:
    from ansible.template import trust_as_template

    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, dict):
        return {key: trusted(item) for key, item in value.items()}
    return [trusted(item) for item in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def templar(engine: Any) -> Templar:
    surroundings = LookupContext(
        environment=dict(os.environ),
        read_file=lambda path: Path(path).read_text(),
        directory=str(Path.cwd()),
    )
    return Templar(lookups=surroundings)


@pytest.fixture
def scope(templar: Templar, engine: Any) -> Scope:
    there = str(engine.available_variables["there"])
    return Scope(templar, [Layer(VARIABLES, templated=True), Layer({**RESULTS, "there": there})])


def answer(render: Any) -> tuple[str, Any]:
    """How it ended, and with what: values with their types, failures with their words."""
    from ansible.errors import AnsibleError, AnsibleUndefinedVariable, AnsibleValueOmittedError

    try:
        return "value", typed(render())
    except (UndefinedVariable, AnsibleUndefinedVariable) as error:
        return "undefined", words(error)
    except AnsibleValueOmittedError:
        return "value", typed("<<Omit>>")
    except (TemplateFailure, AnsibleError) as error:
        return "failure", words(error)


def typed(value: Any) -> Any:
    """``value`` so that 1, True and '1' differ, and Ansible's tagged kinds do not."""
    kind = next(base.__name__ for base in type(value).__mro__ if base.__module__ in ("builtins", "datetime"))
    if isinstance(value, dict):
        return [(typed(key), typed(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [kind, *(typed(item) for item in value)]
    return ("str", str(value)) if str(value) == "<<Omit>>" else (kind, value)


def words(error: Any) -> str:
    """The part of a message that both have; what only one of them adds is cut off."""
    message = str(error.message).replace(" at '<unknown>'", "").replace("rendering expression:", "rendering template:")
    message = message.replace("_AnsibleLazyTemplateDict", "dict").replace("_AnsibleLazyTemplateList", "list")
    message = message.replace("_AnsibleTagged", "").replace("'Str'", "'str'")
    for addition in (" Did you mean", ": the condition's template", ": maximum recursion", ": loop_"):
        message = message.split(addition)[0]
    return message.rstrip(".")


def same(ours: tuple[str, Any], theirs: tuple[str, Any]) -> bool:
    if ours[0] == theirs[0] == "value":
        return bool(ours == theirs)
    if ours[0] == theirs[0] and theirs[1].startswith("The "):
        # The filter plugin 'x' failed: here the plugin's own words may differ.
        return bool(ours[1].split(" failed")[0] == theirs[1].split(" failed")[0])
    return bool(ours == theirs)


@pytest.mark.parametrize("template", TEMPLATES)
def test_templates_render_alike(template: str, templar: Templar, engine: Any, scope: Scope) -> None:
    text = template.replace("\\n", "\n") if template.startswith("#jinja2") or template.endswith("\\n") else template
    ours = answer(lambda: templar.render(text, scope))
    theirs = answer(lambda: engine.template(trusted(text)))
    if template in EXCEPTIONS:
        assert not same(ours, theirs)
    else:
        assert same(ours, theirs), f"{ours} is not {theirs}"


@pytest.mark.parametrize("condition", CONDITIONS, ids=repr)
def test_conditions_hold_alike(condition: Any, templar: Templar, engine: Any, scope: Scope) -> None:
    ours = answer(lambda: templar.condition(condition, scope))
    if condition == []:
        assert ours == ("value", ("bool", True))  # a list of conditions is taken apart before Ansible's engine
        return
    theirs = answer(lambda: engine.evaluate_conditional(trusted(condition)))
    assert same(ours, theirs), f"{ours} is not {theirs}"


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions_evaluate_alike(expression: str, templar: Templar, engine: Any, scope: Scope) -> None:
    ours = answer(lambda: templar.evaluate(expression, scope))
    theirs = answer(lambda: engine.evaluate_expression(trusted(expression)))
    assert same(ours, theirs), f"{ours} is not {theirs}"


FILES = [
    "a\n{% if yes_ %}\n  b {{ one }}\n{% endif %}\nc\n",
    "  {% if yes_ %}\n  b\n  {% endif %}\n",
    "{{ user }}",
    "{{ nothing }}",
    "{{ one }}",
    "no newline",
    "many\n\n\n",
    "{{ 'a\\tb' }}\n",
    "{% raw %}{{ x }}{% endraw %}\n",
    "{{ multi }}\n",
    "{% for user in users %}\n{{ user.name }}: {{ user.admin | default(false) }}\n{% endfor %}\n",
    "#jinja2: lstrip_blocks: True\n  {% if yes_ %}\n  b\n  {% endif %}\n",
    "{{ nowhere }}",
    "{{ unicode }}\n",
    "{{ users | to_nice_yaml }}",
    "{% macro m(x) %}\n<{{ x }}>\n{% endmacro %}\n{{ m(1) }}{{ m('a') }}\n",
]


@pytest.mark.parametrize(
    "settings", [{}, {"trim_blocks": False}, {"lstrip_blocks": True}, {"newline_sequence": "\r\n"}]
)
@pytest.mark.parametrize("template", FILES)
def test_template_files_render_alike(
    template: str, settings: dict[str, Any], templar: Templar, engine: Any, scope: Scope
) -> None:
    from ansible._internal._templating._engine import TemplateOptions
    from ansible._internal._templating._jinja_bits import TemplateOverrides

    options = TemplateOptions(escape_backslashes=False, overrides=TemplateOverrides.from_kwargs(settings))

    def module() -> str:
        result = engine.template(trusted(template), options=options)
        return "" if result is None else str(result)

    ours = answer(lambda: templar.render_text(template, scope, **settings))
    assert same(ours, theirs := answer(module)), f"{ours} is not {theirs}"


def test_checking_finds_what_rendering_would_trip_over(templar: Templar, engine: Any) -> None:
    for template in TEMPLATES:
        theirs = answer(lambda text=template: engine.template(trusted(text)))
        if "Syntax error" in str(theirs[1]) and "badly_written" not in template:
            assert templar.check(template), template
