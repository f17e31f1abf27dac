"""Generated host patterns over generated inventories, evaluated by opsrunner and by ansible-core."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from differential.inventory.reference import Reference, order_is_fixed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsrunner.errors import InputError
from opsrunner.inventory import Inventory, load, match
from opsrunner.inventory.patterns import PatternError, folded

HOSTS = [f"web{number}" for number in range(1, 6)] + ["web01", "web10", "h", "db1", "db.x", "n1.x", "n2.x", "n3.x"]
HOSTS += ["n10.x", "n12.x", "10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2", "localhost", "web", "r1n1", "r2n1"]
GROUPS = ["web", "db", "a", "rack1", "rack2", "n.x", "h"]

INVENTORIES = st.fixed_dictionaries(
    {},
    optional={
        name: st.fixed_dictionaries(
            {"hosts": st.lists(st.sampled_from(HOSTS), max_size=7).map(dict.fromkeys)},
            optional={"children": st.sets(st.sampled_from(GROUPS[place + 1 :]), max_size=2).map(dict.fromkeys)}
            if place + 1 < len(GROUPS)
            else {},
        )
        for place, name in enumerate(GROUPS)
    },
).filter(bool)

PLAIN = st.sampled_from([*HOSTS, *GROUPS, "all", "ungrouped", "127.0.0.1", "::1", "nobody"])
WILD = st.sampled_from(
    ["*", "web*", "w?b*", "*.x", "n?.x", "[wn]*", "[!w]*", "*[12]", "web[1-3]*", "n[1-3].x", "n[0-9]*"]
)
REGEX = st.sampled_from(
    ["~web", "~.*1$", "~(web|db)[0-9]", "~^n[0-9]+\\.x", "~h", "~[^w]", "~(", "~nobody", "~web[1-3]"]
)
RANGES = st.sampled_from(
    ["web[1-3]", "web[01-10]", "rack[1-2]", "n[1-12].x", "r[1-2]n[1-1]", "10.0.0.[1-2]", "rack[1-2]*"]
)
SUBSCRIPT = st.sampled_from(
    ["[0]", "[-1]", "[3]", "[-9]", "[0:1]", "[1:]", "[2:0]", "[0:0]", "[5:9]", "[0-1]", "[:2]", "[-2:]"]
)
TERM = st.one_of(
    PLAIN,
    WILD,
    REGEX,
    RANGES,
    st.tuples(PLAIN | WILD | RANGES, SUBSCRIPT).map("".join),
    st.text(st.sampled_from("web1[]-!&~*?.0@ "), max_size=5),
)
SIGNED = st.tuples(st.sampled_from(["", "", "", "&", "!"]), TERM).map("".join)
PATTERN = st.builds(
    lambda separator, terms, end: separator.join(terms) + end,
    st.sampled_from([":", ",", ", ", " "]),
    st.lists(SIGNED, min_size=1, max_size=4),
    st.sampled_from(["", "", "", ",", ":"]),
)
PATTERNS = PATTERN | st.lists(PATTERN, min_size=1, max_size=3)
#: A limit that begins with @ is a file.
LIMITS = st.none() | PATTERN.filter(lambda text: "@" not in text)

#: A range of numbers, which may be a node set where Ansible warns.
_RANGE = re.compile(r"\[[0-9]+-[0-9]*\]")
_COMMA_IN_BRACKETS = re.compile(r"\[[^\[\]]*,[^\[\]]*\]")


@pytest.fixture
def warned(ansible: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What ansible-core warns of, as it is said."""
    from ansible.inventory import manager

    said: list[str] = []
    monkeypatch.setattr(manager.display, "warning", lambda text, **_: said.append(text))
    yield said


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(inventory=INVENTORIES, asked=st.lists(st.tuples(PATTERNS, LIMITS), min_size=4, max_size=8))
def test_generated_patterns(warned: list[str], inventory: dict[str, Any], asked: list[tuple[Any, str | None]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder).resolve()
        (base / "hosts.yml").write_text(json.dumps(inventory))
        try:
            loaded = load(["hosts.yml"], base=base)
        except InputError:
            return
        reference = Reference(["hosts.yml"], base)
        fixed = all(order_is_fixed(loaded, name) for name in loaded.groups)
        for pattern, limit in asked:
            warned.clear()
            compare(loaded, reference, pattern, limit, fixed, warned)


def compare(
    inventory: Inventory, reference: Reference, pattern: Any, limit: str | None, fixed: bool, warned: list[str]
) -> None:
    texts = [*([pattern] if isinstance(pattern, str) else pattern), *([limit] if limit else [])]
    if any(_COMMA_IN_BRACKETS.search(text) for text in texts):
        return  # a node set, which Ansible cuts in two
    expected, error = answer(reference, pattern, limit)
    try:
        found = match(inventory, pattern, limit=limit, allow_empty=True)
    except PatternError as refused:
        allowed = ("may mean two things", "other half", "is no node set") + (("",) if error or warned else ())
        assert any(words in refused.what for words in allowed), (pattern, limit, refused, expected)
        return
    ranges = any(_RANGE.search(text) for text in texts)
    if error:
        assert ranges, (pattern, limit, error)
    elif not (ranges and warned) and (fixed or not any("[" in text for text in texts)):
        assert (found if fixed else sorted(found)) == (expected if fixed else sorted(expected)), (pattern, limit)
    if (warned and not ranges) or not found:
        with pytest.raises(InputError):
            match(inventory, pattern, limit=limit)
    elif not warned:
        assert match(inventory, pattern, limit=limit) == found


def answer(reference: Reference, pattern: Any, limit: str | None) -> tuple[list[str], str]:
    """Ansible's hosts, and the error it ends with: a pattern of a sign alone breaks it."""
    from ansible.errors import AnsibleError

    try:
        return reference.match(pattern, limit), ""
    except (AnsibleError, IndexError) as error:
        return [], str(error) or "an error"


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(inventory=INVENTORIES, chosen=st.sets(st.sampled_from(HOSTS)))
def test_folded_hosts_are_a_pattern_that_names_them(inventory: dict[str, Any], chosen: set[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        (base / "hosts.yml").write_text(json.dumps(inventory))
        try:
            loaded = load(["hosts.yml"], base=base)
        except InputError:
            return
        hosts = sorted(chosen.intersection(loaded.hosts))
        if hosts:
            assert sorted(match(loaded, folded(loaded, hosts))) == hosts
