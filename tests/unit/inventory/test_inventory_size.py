"""What is made for 20,000 hosts: text written as it is made says what the simple way says, odd shapes end in time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsrunner.errors import InputError
from opsrunner.inventory import Inventory, json_text, match
from opsrunner.inventory.listing import as_yaml, graph, listing, tree
from opsrunner.inventory.values import text_key
from tests.unit.inventory.conftest import Loaded

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
    assert "".join(json_text.parts(value)) == json.dumps(
        with_text_keys(value), sort_keys=True, indent=4, ensure_ascii=False
    )


def test_groups_with_many_ways_up_are_walked_once(loaded: Loaded) -> None:
    """Forty layers of five groups, each the parent of all five below: 5^40 ways from all to a host."""
    layers = range(40)
    below = {n: ", ".join(f"g{n + 1}_{k}: " for k in range(5)) for n in layers}
    text = "".join(
        f"g{n}_{k}: {{children: {{{below[n]}}}, hosts: {{h{n}_{k}: {{own: {n}}}}}}}\n" for n in layers for k in range(5)
    )
    inventory = loaded(text)
    assert len(match(inventory, "g0_0")) == 1 + 39 * 5
    assert inventory.groups["g39_0"].depth == 40
    assert len(inventory.groups_of("h39_4")) == 39 * 5 + 1
    assert list(listing(inventory)["_meta"]["hostvars"]) == [f"h{n}_{k}" for n in layers for k in range(5)]
    assert as_yaml(tree(inventory)).count("own: ") == 200


def test_a_thousand_levels_of_groups(loaded: Loaded) -> None:
    names = range(1000)
    text = "".join(f"g{n}: {{hosts: {{h{n}: }}, children: {{g{n + 1}: }}}}\n" for n in names)
    inventory = loaded(text)
    assert inventory.groups["g1000"].depth == 1001
    assert match(inventory, "g990") == [f"h{n}" for n in range(990, 1000)]
    assert len(list(graph(inventory))) == 1 + 1 + 2 * 1000 + 1
    assert "h999" in listing(inventory)["g999"]["hosts"]
    with pytest.raises(InputError, match="deeper than 200 levels"):
        tree(inventory)


def test_a_host_in_thousands_of_groups_comes_back_from_a_snapshot(loaded: Loaded) -> None:
    inventory = loaded("".join(f"g{n}: {{hosts: {{web: , h{n}: }}, vars: {{v: {n}}}}}\n" for n in range(2000)))
    again = Inventory.from_data(json.loads(json.dumps(inventory.to_data())))
    assert again.hosts == inventory.hosts
    assert again.variables("web")["v"] == inventory.variables("web")["v"] == 999  # the last by name
    assert len(inventory.groups_of("web")) == 2000


@pytest.mark.parametrize(
    "name",
    ["long" * 100, "a/b", "..", "a/../b", "/chroot", ".", "a" * 255, "x/" + "y" * 300],
    ids=lambda name: name[:9],
)
def test_a_host_with_a_name_that_no_file_has(loaded: Loaded, name: str) -> None:
    files = {"host_vars/other.yml": "x: 1\n", "hosts.yml": json.dumps({"all": {"hosts": {name: None, "other": None}}})}
    inventory = loaded(files)
    assert inventory.variables("other")["x"] == 1
    assert "x" not in inventory.variables(name)
