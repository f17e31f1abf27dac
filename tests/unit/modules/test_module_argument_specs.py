"""Argument specs: each rule, and what of a spec is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from opsrunner.modules.argument_specs import errors_of
from opsrunner.modules.validate_argument_spec import wrong_in
from tests.unit.modules.shell_host import SHELLS, FolderFiles, Host

EXCLUSIVE = "parameters are mutually exclusive: a|b found in x"
UNABLE = "argument 'x' is of type {} and we were unable to convert to {}: {}"


def deep(**rules: Any) -> dict[str, Any]:
    options = {"a": {}, "b": {}, "c": {"aliases": ["k"]}}
    return {"x": {"type": "dict", "options": options, **rules}}


@pytest.mark.parametrize(
    ("spec", "values", "errors"),
    [
        (
            deep(mutually_exclusive=[["a", "b"]]),
            {"a": 1, "b": 2},
            ["parameters are mutually exclusive: a|b found in x"],
        ),
        (deep(required_one_of=[["a", "b"]]), {"c": 1}, ["one of the following is required: a, b found in x"]),
        (deep(required_by={"a": "b"}), {"a": 1}, ["missing parameter(s) required by 'a': b found in x"]),
        (
            deep(required_if=[["a", "1", ["b", "c"]]]),
            {"a": 1, "b": 2},
            ["a is 1 but all of the following are missing: c found in x"],
        ),
        (deep(required_if=[["a", "1", ["b", "c"], True]]), {"a": 1, "k": 2}, []),
        (deep(), {"k": 1, "d": 2}, ["x.d. Supported parameters include: a, b, c (k)."]),
        (deep(), "a=1, b=2", []),
        (deep(apply_defaults=True), None, []),
        (
            {"x": {"type": "list", "choices": ["1", "2"]}},
            ["1", "3"],
            ["value of x must be one or more of: 1, 2. Got no match for: 3"],
        ),
        ({"x": {"type": "bytes"}}, "1.5 MB", []),
        ({"x": {"type": "bits"}}, "1Mb", []),
        (
            {"x": {"type": "bits"}},
            "1MB",
            [UNABLE.format("str", "bits", "str cannot be converted to a Bit value")],
        ),
        ({"x": {"default": "y"}}, None, []),
        (
            {"x": {"type": "json"}},
            1,
            [UNABLE.format("int", "json", "int cannot be converted to a json string")],
        ),
    ],
)
def test_rules(spec: dict[str, Any], values: Any, errors: list[str]) -> None:
    assert errors_of(spec, {"x": values}) == errors


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ({"x": "int"}, "option x is no mapping"),
        ({"x": {"type": "integer"}}, "type of option x is 'integer'"),
        ({"x": {"choices": "a"}}, "choices of option x is no list"),
        ({"x": {"type": "dict", "required_together": ["a"]}}, "required_together of option x is no list of lists"),
        ({"x": {"options": {"y": {"required": True, "default": 1}}}}, "mutually exclusive for x.y"),
        ({"x": {"required_if": [["a"]]}}, "required_if of option x takes lists"),
        ({"x": {"required_by": ["a"]}}, "required_by of option x is no mapping"),
        ({"x": {"options": ["a"]}}, "options of x are no mapping"),
    ],
)
def test_what_is_no_spec(spec: dict[str, Any], what: str, tmp_path: Path) -> None:
    assert what in "\n".join(wrong_in(spec))
    host = Host(SHELLS[0], tmp_path, FolderFiles(tmp_path))
    assert what in host.run("validate_argument_spec", {"argument_spec": spec})["msg"]
