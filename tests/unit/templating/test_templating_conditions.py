"""Conditions: what holds, what is refused, and what is never evaluated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from opsrunner.templating import Scope, Templar, TemplateFailure, UndefinedVariable

Scoped = Callable[..., Scope]


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (True, True),
        (False, False),
        ("n == 1", True),
        ("n == 2", False),
        (["n == 1", True, 'text == "t"'], True),
        (["n == 1", "n == 2", "missing"], False),
        ([], True),
        (("n == 1",), True),
        ("result.rc == 0 and result is succeeded", True),
        ("missing is not defined", True),
        ("{{ n == 1 }}", True),
        ("{{ condition }}", True),
        ("{{ indirect }}", True),
        ("{{ condition if n == 1 else 'x' }}", True),
        (r"text is match('\w+')", True),
        ("text == '{{ text }}'", True),
        ("result.stdout == '{{ text }}'", False),
    ],
)
def test_conditions(templar: Templar, scoped: Scoped, condition: Any, holds: bool) -> None:
    written = {"n": 1, "text": "t", "condition": "n == 1", "indirect": "{{ condition }}"}
    scope = scoped(written, {"result": {"rc": 0, "stdout": "{{ text }}"}})
    assert templar.condition(condition, scope) is holds


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("n", r"Conditional result \(True\) was derived from value of type 'int'\. Conditionals must have a boolean"),
        ("text", r"Conditional result \(True\) was derived from value of type 'str'"),
        ("missing", "Error while evaluating conditional: 'missing' is undefined"),
        (["n == 1", "txt == 't'"], "'txt' is undefined. Did you mean 'text'"),
        ("", "Empty conditional expressions are not allowed"),
        (None, "Empty conditional expressions are not allowed"),
        (5, "Conditional expressions must be strings"),
        ([["n == 1"]], "Conditional expressions must be strings"),
        ("{{ n }} == 1", "Template delimiters are not supported in expressions"),
        ("n ==", "Syntax error in expression"),
        ("{{ told }}", "untrusted"),
        ("{{ told_through }}", "untrusted"),
        ("{{ 'n == 1' }}", "untrusted"),
        ("{{ told ~ '' }}", "untrusted"),
        ("{{ condition ~ '' }}", "untrusted"),
        ("omit", "value of type 'Omit'"),
    ],
)
def test_bad_conditions(templar: Templar, scoped: Scoped, condition: Any, message: str) -> None:
    written = {"n": 1, "text": "t", "condition": "n == 1", "told_through": "{{ told }}"}
    with pytest.raises(TemplateFailure, match=message):
        templar.condition(condition, scoped(written, {"told": "n == 1"}))


def test_the_undefined_in_a_condition_is_its_own_kind_of_failure(templar: Templar) -> None:
    with pytest.raises(UndefinedVariable):
        templar.condition("missing == 1", {})


@pytest.mark.parametrize(
    ("condition", "problems"),
    [
        (True, []),
        ("n == 1", []),
        (["n == 1", "x is defined"], []),
        ("{{ n == 1 }}", []),
        ("n ==", ["Syntax error in expression: unexpected 'end of template'"]),
        ("", ["Empty conditional expressions are not allowed."]),
        (None, ["Empty conditional expressions are not allowed."]),
        (5, ["Conditional expressions must be strings."]),
        (["n | lenght == 1", "n is defnied"], ["no filter named 'lenght': did you mean 'length'?"]),
        ("{{ n | lenght }}", ["no filter named 'lenght': did you mean 'length'?"]),
        ("n == '{{ m | lenght }}'", ["no filter named 'lenght': did you mean 'length'?"]),
    ],
)
def test_checking_conditions(templar: Templar, condition: Any, problems: list[str]) -> None:
    found = templar.check_condition(condition)
    assert found[: len(problems)] == problems
    assert bool(found) == bool(problems)
