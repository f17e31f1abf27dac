"""Filters and lookups where they depend on given surroundings or differ from Ansible on purpose.

That they give what Ansible gives is shown by the differential tests.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from opsrunner.templating import LookupContext, Scope, Templar, TemplateFailure, filters

Scoped = Callable[..., Scope]


@pytest.mark.parametrize(
    ("template", "result"),
    [
        ("{{ '~/x' | expanduser }}", "/home/op/x"),
        ("{{ '~' | expanduser }}", "/home/op"),
        ("{{ 'a~/x' | expanduser }}", "a~/x"),
        ("{{ '$EDITOR ${EDITOR} $PATH ${NOPE} $' | expandvars }}", "ed ed $PATH ${NOPE} $"),
        ("{{ '/playbooks/a/b' | relpath }}", "a/b"),
        ("{{ 'a/b' | relpath('a/c') }}", "../b"),
        ("{{ lookup('env', 'EDITOR') }}", "ed"),
        ("{{ lookup('env', 'PATH') }}", ""),
        ("{{ lookup('env', 'PATH', default='d') }}", "d"),
        ("{{ lookup('file', 'motd') }}", "  welcome"),
        ("{{ lookup('file', 'motd', lstrip=true) }}", "welcome"),
        ("{{ lookup('file', 'motd', rstrip=false) }}", "  welcome\n\n"),
        ("{{ lookup('file', 'nope', errors='ignore') }}", None),
        ("{{ query('file', 'nope', errors='warn') }}", []),
        ("{{ ['b', 'a'] | union(['c', 'a']) }}", ["b", "a", "c"]),
        ("{{ ['b', 'a', 'b'] | intersect(['a', 'b']) }}", ["b", "a"]),
        ("{{ [3, 1, 2] | difference([1]) }}", [3, 2]),
        ("{{ [3, 1] | symmetric_difference([1, 2]) }}", [3, 2]),
        ("{{ [[3], [1]] | symmetric_difference([[1], [2]]) }}", [[3], [2]]),
        ("{{ [1, 2, 3] | shuffle(seed='a') | sort }}", [1, 2, 3]),
        ("{{ 5 | shuffle }}", 5),
        ("{{ query('nested', [1], ['a', 'b']) }}", [[1, "a"], [1, "b"]]),
        ("{{ query('subelements', [{'a': {'b': [1]}, 'c': 2}], 'a.b') }}", [[{"a": {}, "c": 2}, 1]]),
        ("{{ query('subelements', [{'skipped': true}], 'a') }}", []),
        ("{{ query('random_choice', 'a', 'b') | length }}", 1),
        ("{{ 'abc' | hash('md5') }}", "900150983cd24fb0d6963f7d28e17f72"),
        ("{{ 'a' | ansible.legacy.upper }}", "A"),
        ("{{ {'a': nothing | default(omit)} | combine({'b': 1}) }}", {"b": 1}),
        (r"{{ 'x1' | regex_search('(\d)', '\1') | first }}", "1"),
    ],
)
def test_results(templar: Templar, scoped: Scoped, template: str, result: Any) -> None:
    assert templar.render(template, scoped()) == result


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ [1] | combine({}) }}", "expected dicts"),
        ("{{ {} | combine({}, list_merge='x') }}", "'list_merge' must be one of"),
        ("{{ {} | combine({}, recursiv=true) }}", "recursiv"),
        ("{{ 5 | to_json(profile='legacy') }}", "the JSON profile 'legacy' is not known"),
        ("{{ '{}' | from_json(profile='legacy') }}", "the JSON profile 'legacy' is not known"),
        ("{{ {'a': now} | to_json }}", "not JSON serializable"),
        ("{{ {'a': omit} | to_json }}", "not JSON serializable"),
        ("{{ 'x' | regex_search('x', '1') }}", "Unknown argument '1'"),
        ("{{ 'x' is regex('x', match_type='split') }}", "match_type must be"),
        ("{{ 'x' | random }}", None),
        ("{{ 1.5 | random }}", "random can only be used on sequences and integers"),
        ("{{ lookup('file', 'nope') }}", "Unable to access the file 'nope': File not found."),
        ("{{ lookup('file', 'motd', errors='loud') }}", "errors must be strict, warn or ignore"),
        ("{{ lookup('vars', 5) }}", "Variable name must be 'str' not 'int'"),
        ("{{ lookup('sequence', 'count=2 end=3') }}", "can't specify both count and end"),
        ("{{ lookup('sequence', start=1) }}", "must specify count or end"),
        ("{{ lookup('sequence', 'end=3 step=1') }}", r"unrecognized arguments to with_sequence: \['step'\]"),
        ("{{ lookup('sequence', '3:%d%d') }}", "bad formatting string"),
        ("{{ lookup('sequence', 'start=1 end=5 stride=-1') }}", "to count forward don't make stride negative"),
        ("{{ query('nested') }}", "at least one element"),
        ("{{ query('subelements', [1], 'a') }}", "expects a dictionary"),
        ("{{ query('subelements', [], 'a', {'skip': true}) }}", "the flag skip_missing"),
        ("{{ undef('choose one') }}", "choose one"),
    ],
)
def test_failures(templar: Templar, scoped: Scoped, template: str, message: str | None) -> None:
    if message is None:
        assert templar.render(template, scoped()) == "x"
        return
    with pytest.raises(TemplateFailure, match=message):
        templar.render(template, scoped())


def test_json_query(templar: Templar, scoped: Scoped, monkeypatch: pytest.MonkeyPatch) -> None:
    scope = scoped({"users": [{"name": "{{ 'bob' }}"}]})
    text = "{{ users | community.general.json_query('[].name') }}"
    assert templar.render(text, scope) == ["bob"] and templar.check(text) == []
    monkeypatch.setitem(sys.modules, "jmespath", None)
    with pytest.raises(TemplateFailure, match="pip install jmespath"):
        templar.render(text, scope)
    monkeypatch.setattr(filters, "find_spec", lambda name: None)
    assert "pip install jmespath" in templar.check(text)[0]


def test_a_home_at_the_root_is_no_double_slash() -> None:
    for home, expanded in (("/", "/x"), ("/root", "/root/x"), ("/root/", "/root/x")):
        surroundings = LookupContext(environment={"HOME": home}, read_file=lambda path: path, directory="/")
        assert Templar(lookups=surroundings).render("{{ '~/x' | expanduser }}", {}) == expanded
