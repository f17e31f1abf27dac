"""Generated inventories and addresses, read by opsrunner and by ansible-core."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from differential.inventory.reference import PATTERNS, Reference, compare, written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsrunner.errors import InputError
from opsrunner.inventory import load
from opsrunner.inventory.addresses import parse

NAMES = st.sampled_from(["a", "b", "c", "web", "db", "all", "ungrouped", "x-y"])
HOSTS = st.sampled_from(
    ["h", "i", "web1", "web[1:3]", "n[01:03].x", "p:22", "10.0.0.[1:2]", "q[a:c]", "localhost", "web", "k[3:1]"]
)
VARIABLES = st.dictionaries(
    st.sampled_from(["v", "w", "ansible_group_priority"]), st.integers(0, 3) | st.just("7"), max_size=2
)
GROUPS = st.deferred(
    lambda: (
        st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "hosts": st.none() | st.dictionaries(HOSTS, st.none() | VARIABLES, max_size=4),
                "vars": VARIABLES,
                "children": st.none() | st.dictionaries(NAMES, GROUPS, max_size=3),
            },
        )
    )
)
INVENTORIES = st.dictionaries(NAMES, GROUPS, min_size=1, max_size=4)
FILES = st.dictionaries(
    st.sampled_from(
        ["group_vars/all", "group_vars/web.yml", "group_vars/a/x.yml", "host_vars/h.yml", "host_vars/web1"]
    ),
    VARIABLES,
    max_size=3,
)


#: Refused though Ansible says nothing: it passes over a range of nothing, puts a group into
#: `ungrouped` for a host of the same name, and takes hosts out of all their groups.
PASSED_OVER = (
    *("holds no number", "is a host without a group", "cannot have the child ungrouped"),
    "is in ungrouped itself and in a group below it",
)


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(inventories=st.lists(INVENTORIES, min_size=1, max_size=2), files=FILES)
def test_generated(ansible, inventories, files):
    from ansible.errors import AnsibleError

    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder).resolve()
        sources = [f"inv{number}.yml" for number in range(len(inventories))]
        texts = dict(zip(sources, map(json.dumps, inventories), strict=True))
        written(texts | {name: json.dumps(variables) for name, variables in files.items()}, base)
        try:
            load(sources, base=base)
        except InputError as error:
            if not any(reason in str(error) for reason in PASSED_OVER):
                with pytest.raises(AnsibleError):
                    Reference(sources, base)
            return
        compare(sources, base, PATTERNS)


ADDRESSES = st.text(st.sampled_from("aF0219:.[]-_gé% "), max_size=14) | st.from_regex(
    r"(\[?[a-f0-9]{0,5}(::?[a-f0-9]{0,4}){0,8}(\.[0-9]{1,3}){0,3}\]?|[a-z]{1,3}\[[0-9a-c]{1,2}:[0-9a-c]{1,2}(:[0-9])?\])(:[0-9]{1,3})?",
    fullmatch=True,
)


@settings(max_examples=2000, deadline=None, derandomize=True)
@given(text=ADDRESSES)
def test_addresses(text):
    from ansible.errors import AnsibleError
    from ansible.parsing.utils.addresses import parse_address

    try:
        expected = parse_address(text, allow_ranges=True)
    except AnsibleError:
        expected = None
    assert parse(text) == expected
