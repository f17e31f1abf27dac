"""Tags choose steps and serial cuts hosts as Ansible does: compared with Ansible's own code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsrunner import inventory
from opsrunner.plan.batches import batches, ordered, size
from opsrunner.plan.compile import compile_playbook
from opsrunner.plan.model import Options
from opsrunner.plan.tags import selected

_WORDS = ("a", "b", "always", "never", "tagged", "untagged", "all")


@pytest.mark.parametrize(
    ("tags", "only", "skip", "runs"),
    [
        ("", "", "", True),
        ("a", "", "", True),
        ("never", "", "", False),
        ("never a", "a", "", True),
        ("never a", "b", "", False),
        ("never always", "", "", True),
        ("", "a", "", False),
        ("always", "a", "", True),
        ("a", "tagged", "", True),
        ("", "tagged", "", False),
        ("never a", "tagged", "", False),
        ("", "untagged", "", True),
        ("a", "untagged", "", False),
        ("a", "all", "a", False),
        ("a", "", "all", False),
        ("always", "", "all", True),
        ("always", "", "always", False),
        ("a", "", "tagged", False),
        ("", "", "tagged", True),
        ("", "", "untagged", False),
        ("a b", "a", "b", False),
    ],
)
def test_tags(tags: str, only: str, skip: str, runs: bool) -> None:
    assert selected(tags.split(), only.split(), skip.split()) is runs


@pytest.mark.parametrize(
    ("wanted", "warnings"),
    [
        (("web",), []),
        (("inner", "tagged"), []),
        (("wbe",), ["no task that is reached has the tag 'wbe': did you mean web?"]),
        (("nosuch", "web"), ["no task that is reached has the tag 'nosuch': there are deep, inner, web"]),
    ],
)
def test_a_tag_that_no_task_has_is_told_of(wanted: tuple[str, ...], warnings: list[str], tmp_path: Path) -> None:
    (tmp_path / "site.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks:\n  - {debug: {msg: x}, tags: web}\n"
        "  - {block: [{debug: {msg: x}, tags: deep}], tags: inner}\n"
    )
    hosts = inventory.load(["a,"], base=tmp_path)
    assert [*compile_playbook(tmp_path / "site.yml", hosts, Options(tags=wanted), {}).warnings] == warnings


def _ansible_selects(tags: list[str], only: list[str], skip: list[str]) -> bool:
    from ansible.playbook.task import Task

    task = Task()
    task.tags = list(tags)
    task.get_play = lambda: None
    return bool(task.evaluate_tags(set(only) or {"all"}, set(skip), {}))


_LISTS = st.lists(st.sampled_from(_WORDS), max_size=3)


@settings(deadline=None)
@given(_LISTS, _LISTS, _LISTS)
def test_tags_as_ansible(tags: list[str], only: list[str], skip: list[str]) -> None:
    assert selected(tags, only, skip) is _ansible_selects(tags, only, skip)


@pytest.mark.parametrize(
    ("hosts", "serial", "sizes"),
    [
        (5, [], [5]),
        (5, [0], [5]),
        (5, [-1], [5]),
        (5, [2], [2, 2, 1]),
        (5, ["2"], [2, 2, 1]),
        (10, ["30%"], [3, 3, 3, 1]),
        (3, ["10%"], [1, 1, 1]),
        (10, [1, "50%"], [1, 5, 4]),
        (10, [1, 2, 3], [1, 2, 3, 3, 1]),
        (10, [1, 0], [1, 9]),
        (100, ["29%"], [28, 28, 28, 16]),
        (4, ["200%"], [4]),
        (0, [2], []),
    ],
)
def test_batches(hosts: int, serial: list[Any], sizes: list[int]) -> None:
    names = [f"h{number}" for number in range(hosts)]
    cut = batches(names, serial)
    assert [len(batch) for batch in cut] == sizes
    assert [name for batch in cut for name in batch] == names


@settings(deadline=None)
@given(st.integers(0, 300), st.lists(st.integers(-2, 40) | st.integers(0, 150).map("{}%".format), max_size=4))
def test_batches_as_ansible(hosts: int, serial: list[Any]) -> None:
    from ansible.utils.helpers import pct_to_int

    for entry in serial:
        assert size(entry, hosts) == pct_to_int(entry, hosts)
    names = tuple(str(number) for number in range(hosts))
    assert tuple(name for batch in batches(names, serial) for name in batch) == names


@pytest.mark.parametrize("entry", [2.5, True, None, "abc", "2.5%"])
def test_a_size_that_is_none(entry: Any) -> None:
    with pytest.raises(ValueError):
        size(entry, 10)


def test_order() -> None:
    hosts = ["b", "a", "c"]
    assert ordered(hosts, None) == ordered(hosts, "inventory") == hosts
    assert ordered(hosts, "reverse_inventory") == ["c", "a", "b"]
    assert ordered(hosts, "sorted") == ["a", "b", "c"]
    assert ordered(hosts, "reverse_sorted") == ["c", "b", "a"]
