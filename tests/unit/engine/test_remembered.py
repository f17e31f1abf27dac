"""What steps gave a host: long outputs are dicts like any other, and are opened only where somebody looks."""

from __future__ import annotations

import pytest

from opsrunner.engine.remembered import Remembered
from opsrunner.ledger.results import StoredResult, encode_result, is_long, read_variable
from opsrunner.templating import Layer, LookupContext, Scope, Templar

TEMPLAR = Templar(lookups=LookupContext(environment={}, read_file=lambda path: path, directory="/"))
TEXT = "".join(f"line {number}\n" for number in range(2000))
RESULT = {"rc": 0, "stdout": TEXT, "stderr": "", "_ansible_verbose": True}


def remembered() -> Remembered:
    return Remembered({"said": read_variable(encode_result(RESULT)), "small": {"rc": 1, "stdout": "x"}})


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("said.rc", 0),
        ("said.stdout | length", len(TEXT)),
        ("said.stdout_lines[-1]", "line 1999"),
        ("said.stderr_lines", []),
        ("said['stdout'].startswith('line 0')", True),
        ("said is mapping and 'stdout' in said and '_ansible_verbose' not in said", True),
        ("(said | to_json | from_json).stdout_lines | length", 2000),
        ("said | list | sort", ["rc", "stderr", "stderr_lines", "stdout", "stdout_lines"]),
        ("(said | dict2items | selectattr('key', 'eq', 'stdout') | first).value | length", len(TEXT)),
        ("(said | combine({'rc': 5})).rc", 5),
        ("said.get('nothing', 'none')", "none"),
        ("small.rc", 1),
        ("vars.said.stdout_lines | length", 2000),
    ],
)
def test_templates_see_a_dict(template: str, value: object) -> None:
    scope = Scope(TEMPLAR, [Layer(remembered(), False)])
    assert TEMPLAR.render(f"{{{{ {template} }}}}", scope) == value


def test_what_nobody_looks_at_stays_small() -> None:
    stored = read_variable(encode_result(RESULT))
    assert isinstance(stored, StoredResult)
    assert is_long(RESULT)
    assert not is_long({"rc": 0, "stdout": "short"})
    assert not is_long("x" * 100_000)
    assert (list(remembered()), len(remembered()), "said" in remembered()) == (["said", "small"], 2, True)
