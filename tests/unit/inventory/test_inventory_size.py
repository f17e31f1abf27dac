"""What is made for 20,000 hosts: text written as it is made says what the simple way says, odd shapes end in time."""

from __future__ import annotations

import io
import json
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from opsrunner.inventory import json_text, yaml_text
from opsrunner.inventory.values import text_key

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
KEYS = st.text(max_size=4) | st.integers(-2, 2) | st.booleans() | st.none() | st.floats(allow_nan=False)
VALUES = st.recursive(
    SCALARS | st.sampled_from(["yes", "1", "0x1", "", " a", "a: b", "- a", "x " * 90, "é🦊", "\ud83e", "a\n b\n"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def with_text_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {text_key(key): with_text_keys(item) for key, item in value.items()}
    return [with_text_keys(item) for item in value] if isinstance(value, list) else value


@settings(max_examples=150, derandomize=True, deadline=None)
@given(value=VALUES)
def test_json_is_what_python_writes_with_sorted_keys(value: Any) -> None:
    assert "".join(json_text.parts(value)) == json.dumps(with_text_keys(value), sort_keys=True, indent=4)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(value=VALUES)
def test_yaml_is_what_pyyaml_writes(value: Any) -> None:
    value = {"all": with_text_keys(value)}
    try:
        expected = yaml.dump(value, Dumper=yaml.CSafeDumper, default_flow_style=False, allow_unicode=True)
    except UnicodeEncodeError:
        expected = yaml.safe_dump(value, default_flow_style=False, allow_unicode=True)
    written = io.StringIO()
    yaml_text.write(value, written)
    # PyYAML writes a value that stands twice once, with an alias; we and Ansible never do.
    assert written.getvalue() == expected or "&id001" in expected
