"""A corpus of public inventories with Ansible's recorded answers, where it lies beside the repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from opsrunner.errors import InputError
from opsrunner.inventory import Inventory, load, match
from opsrunner.inventory import listing as shapes
from opsrunner.inventory.patterns import PatternError
from opsrunner.nodeset import expand_term

CORPUS = Path(__file__).parents[4] / "shared" / "corpus" / "inventories"
CASES = sorted(path.parent for path in CORPUS.glob("*/*/case.json"))
#: Not supported: refused though Ansible said nothing.
REFUSED = {
    "stephrobert__ansible-training/5": "encrypted with Ansible Vault",
    "stephrobert__ansible-training/7": "encrypted with Ansible Vault",
}
HALF_READ = ("Failed to parse", "Unable to parse", "Skipping")


@pytest.mark.skipif(not CASES, reason="no corpus beside the repository")
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}/{case.name}")
def test_corpus(case):
    sources = json.loads((case / "case.json").read_text())["inventory"]
    expected = json.loads((case / "expected.json").read_text())
    magic = json.loads((case / "magic.json").read_text())
    name = f"{case.parent.name}/{case.name}"
    if name in REFUSED or any(w.startswith(HALF_READ) for w in magic["parse_warnings"]):
        with pytest.raises(InputError, match=REFUSED.get(name, r".")):
            load(sources, base=case / "files")
        return
    read = load(sources, base=case / "files")
    for inventory in (read, Inventory.from_data(json.loads(json.dumps(read.to_data())))):
        for kind, export in (("list", False), ("export", True)):
            expected[kind]["stdout"]["_meta"].pop("profile", None)
            assert json.loads(shapes.as_json(shapes.listing(inventory, export=export))) == expected[kind]["stdout"]
        assert "\n".join(shapes.graph(inventory)) + "\n" == expected["graph"]["stdout"]
        assert list(inventory.hosts) == magic["hosts_in_order"]
        assert list(inventory.groups) == magic["groups_in_order"]
        assert {name: group.depth for name, group in inventory.groups.items()} == magic["group_depth"]
        for host, told in magic["host"].items():
            assert inventory.groups_of(host) == told["group_names"]
    compare_corpus_patterns(read, json.loads((case / "patterns.json").read_text()))


def compare_corpus_patterns(inventory: Inventory, recorded: dict[str, dict[str, Any]]) -> None:
    for pattern, answer in recorded["patterns"].items():
        # One session asked for localhost before; asked alone, Ansible answers as opsrunner does.
        if pattern == "127.0.0.1" and "localhost" not in inventory.hosts and answer["hosts"] == ["localhost"]:
            answer = {**answer, "hosts": ["127.0.0.1"]}
        compare_recorded(inventory, pattern, None, answer)
    for patterns, answer in recorded["lists"].items():
        compare_recorded(inventory, json.loads(patterns), None, answer)
    for both, answer in recorded["limit"].items():
        pattern, _, limit = both.partition(" --limit ")
        compare_recorded(inventory, pattern, limit, answer)


def compare_recorded(inventory: Inventory, pattern: Any, limit: str | None, answer: dict[str, Any]) -> None:
    hosts, warnings = answer.get("hosts"), answer.get("warnings", [])
    # What Ansible breaks off at with an error of its own.
    if not isinstance(hosts, list):
        with pytest.raises(InputError):
            match(inventory, pattern, limit=limit, allow_empty=True)
        return
    if any(warning.startswith("Use [x:y]") for warning in warnings):
        compare_dashed(inventory, pattern)
        return
    try:
        found = match(inventory, pattern, limit=limit, allow_empty=True)
    except PatternError as error:
        assert warnings and "without its other half" in error.what
        return
    if answer["order"] == "fixed":
        assert (pattern, found) == (pattern, hosts)
    elif answer["order"] == "varies":
        assert (pattern, sorted(found)) == (pattern, sorted(hosts))
    else:
        assert found in answer["variants"]
    if warnings or not hosts:
        with pytest.raises(InputError):
            match(inventory, pattern, limit=limit)


def compare_dashed(inventory: Inventory, pattern: str) -> None:
    """``web[0-2]``, of which Ansible warns, is a node set; beside a wildcard it is an error."""
    if "*" in pattern:
        with pytest.raises(PatternError, match="no wildcard"):
            match(inventory, pattern, allow_empty=True)
        return
    known = [host for host in expand_term(pattern) if host in inventory.hosts]
    assert match(inventory, pattern, allow_empty=True) == known
