"""Keywords are inherited, arguments read and tasks ordered as Ansible's own loader has them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsrunner import inventory
from opsrunner.plan.compile import compile_playbook
from opsrunner.plan.model import Options

#: Keywords compared one by one: as a step has them, and as a task of Ansible's has them.
SAME = ("become", "become_user", "become_method", "remote_user", "port", "ignore_errors", "no_log", "run_once")
SAME += ("any_errors_fatal", "check_mode", "diff", "register", "delegate_to", "ignore_unreachable")

_BOOLEANS = st.booleans()
_SHARED: dict[str, st.SearchStrategy[Any]] = {
    "become": _BOOLEANS,
    "become_user": st.sampled_from(["root", "{{ who }}"]),
    "become_method": st.sampled_from(["su", "doas"]),
    "remote_user": st.sampled_from(["a", "b"]),
    "port": st.integers(1, 9),
    "ignore_errors": _BOOLEANS,
    "ignore_unreachable": _BOOLEANS,
    "no_log": _BOOLEANS,
    "run_once": _BOOLEANS,
    "any_errors_fatal": _BOOLEANS,
    "check_mode": _BOOLEANS,
    "diff": _BOOLEANS,
    "tags": st.lists(st.sampled_from(["x", "y", "z"]), max_size=2) | st.just("x, y"),
    "environment": st.sampled_from([{"A": "1"}, [{"B": "2"}, {"C": "{{ c }}"}], "{{ env }}"]),
    "vars": st.dictionaries(st.sampled_from(["v", "w"]), st.integers(0, 3), max_size=2),
}
_INNER: dict[str, st.SearchStrategy[Any]] = {
    **_SHARED,
    "when": st.sampled_from(["a", ["b", "c is defined"], True, False]),
    "delegate_to": st.sampled_from(["h1", "{{ d }}"]),
    "notify": st.sampled_from(["{{ n }}", ["{{ n }}", "{{ m }}"]]),
}
_ACTIONS = st.sampled_from(
    [
        {"command": "echo a chdir=/tmp"},
        {"shell": "echo a=b | wc"},
        {"ansible.builtin.command": {"cmd": "x"}},
        {"command": "x", "args": {"chdir": "/tmp"}},
        {"command": {"argv": ["a", "b"]}},
        {"action": "command echo hi"},
        {"local_action": "shell echo 'a b' creates=/x"},
        {"raw": "echo {{ x }} executable=/bin/sh"},
        {"command": 'echo "a  b" \\\nc'},
    ]
)


def _some(keywords: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    chosen = st.sets(st.sampled_from(sorted(keywords)), max_size=6)
    return chosen.flatmap(lambda names: st.fixed_dictionaries({name: keywords[name] for name in sorted(names)}))


def _without_clash(task: dict[str, Any]) -> dict[str, Any]:
    # local_action says where to run; saying it twice is refused here.
    return {key: value for key, value in task.items() if key != "delegate_to"} if "local_action" in task else task


_TASKS = st.builds(lambda action, keywords: _without_clash({**action, **keywords}), _ACTIONS, _some(_INNER))


def _blocks_of(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda block, rescue, always, keywords: {"block": block, "rescue": rescue, "always": always, **keywords},
        st.lists(inner, min_size=1, max_size=2),
        st.lists(inner, max_size=1),
        st.lists(inner, max_size=1),
        _some(_INNER),
    )


_ENTRIES = _TASKS | _blocks_of(_TASKS) | _blocks_of(_TASKS | _blocks_of(_TASKS))
_PLAYS = st.builds(
    lambda keywords, pre, tasks, post: (
        {"hosts": "all", "gather_facts": False, **keywords} | {"pre_tasks": pre, "tasks": tasks, "post_tasks": post}
    ),
    _some(_SHARED),
    st.lists(_ENTRIES, max_size=1),
    st.lists(_ENTRIES, min_size=1, max_size=3),
    st.lists(_ENTRIES, max_size=1),
)


def _ansible_tasks(path: Path) -> list[Any]:
    from ansible.inventory.manager import InventoryManager
    from ansible.parsing.dataloader import DataLoader
    from ansible.playbook import Playbook
    from ansible.vars.manager import VariableManager

    loader = DataLoader()
    manager = VariableManager(loader=loader, inventory=InventoryManager(loader=loader, sources=["h1,h2,"]))
    (play,) = Playbook.load(str(path), variable_manager=manager, loader=loader).get_plays()
    return [
        task for blocks in (play.pre_tasks, play.tasks, play.post_tasks) for block in blocks for task in _flat(block)
    ]


def _flat(entry: Any) -> list[Any]:
    if not hasattr(entry, "rescue"):
        return [entry]
    return [task for part in (entry.block, entry.rescue, entry.always) for inner in part for task in _flat(inner)]


def _once(values: Any) -> list[Any]:
    """Without twins side by side, which Ansible drops when it adds lists up."""
    return [value for value, _ in itertools.groupby(values)]


@pytest.fixture(scope="module", autouse=True)
def _plugins(ansible_plugins: None) -> None:
    """Ansible finds its modules only after this."""


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(play=_PLAYS)
def test_tasks_are_what_ansible_makes_of_them(play: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("play") / "p.yml"
    path.write_text(yaml.safe_dump([play]), encoding="utf-8")
    fleet = inventory.load(["h1,h2,"], base=path.parent)
    steps = compile_playbook(path, fleet, Options(), {}).plan.plays[0].steps
    theirs = _ansible_tasks(path)
    assert len(steps) == len(theirs)
    for step, task in zip(steps, theirs, strict=True):
        assert step.name == task.get_name()
        assert dict(step.arguments) == {key: value for key, value in task.args.items() if key != "_uses_shell"}
        for name in SAME:
            assert (getattr(step, name) or None) == (getattr(task, name) or None), name
        assert _once(step.when) == _once(task.when)
        assert set(step.tags) == set(task.tags)
        _same_environment(step.environment, task.environment or [], play.get("environment", []))
        assert list(step.notify) == _listed(task.notify)
        assert step.vars == task.get_vars()


def _same_environment(ours: Any, theirs: Any, of_play: Any) -> None:
    """Ansible puts the play's entries in front once more for each block around, which changes nothing."""
    mine, other = _once(ours), _once(theirs)
    repeated = other[: len(other) - len(mine)]
    assert other[len(repeated) :] == mine
    assert all(entry in _listed(of_play) for entry in repeated)


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]
