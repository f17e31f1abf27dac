"""Inventory scripts, run by opsrunner and by ansible-core."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from differential.inventory.reference import PATTERNS, Reference, compare
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsrunner.errors import InputError
from opsrunner.inventory import load

#: Prints what lies beside it: ``.inv.json`` or, asked for a host, ``.inv.json.HOST``.
SCRIPT = '#!/bin/sh\nexec cat "${0%/*}/.inv.json${2:+.$2}"\n'


def written(listed: Any, base: Path, hosts: dict[str, Any] | None = None) -> None:
    texts = {".inv.json": listed, **{f".inv.json.{name}": own for name, own in (hosts or {}).items()}}
    for name, data in texts.items():
        (base / name).write_text(data if isinstance(data, str) else json.dumps(data))
    (base / "inv").write_text(SCRIPT)
    (base / "inv").chmod(0o755)


META: dict[str, Any] = {"_meta": {"hostvars": {}}}
TAKEN: dict[str, Any] = {
    "everything": {
        "web": {"hosts": ["web1", "web2", "h"], "vars": {"a": 1, "b": "{{ a }}"}, "children": ["db"]},
        "db": {"hosts": ["db1", "h"], "vars": {"a": 2, "ansible_group_priority": 3}},
        "_meta": {"hostvars": {"web1": {"a": {"x": None}, "b": 1e3}, "stranger": {"c": 1}, "h": {}}},
    },
    "names as they stand": {"web": {"hosts": ["web[1:3]", "web1:22", "::1", "a b", "é", "-h"]}, **META},
    "lists": {"web": ["web1", "h"], "db": [], "_meta": {"hostvars": {"h": {"v": 1}}}},
    "all and ungrouped": {
        "all": {"hosts": ["h", "u"], "vars": {"a": 0}, "children": ["web"]},
        "ungrouped": {"hosts": ["u", "web1"]},
        "web": {"hosts": ["web1"]},
        **META,
    },
    "sections alone": {"a": {"vars": {"x": 1}}, "b": {"children": ["a", "a", "c"]}, "c": {"hosts": ["h", "h"]}, **META},
    "children as a mapping": {"a": {"children": {"b": None, "c": {}}}, "b": {"hosts": ["h"]}, **META},
    "a host like a group": {"web": {"hosts": ["web", "h"]}, "_meta": {"hostvars": {"web": {"x": 1}}}},
    "unknown keys": {"web": {"hosts": ["h"], "var": {"x": 1}, "name": "web"}, **META},
    "priorities": {
        "a": {"hosts": ["h"], "vars": {"v": "a", "ansible_group_priority": "7"}},
        "b": {"hosts": ["h"], "vars": {"v": "b"}},
        "_meta": {"hostvars": {"h": {"ansible_group_priority": 9}}},
    },
    "nothing": {},
    "no group": META,
    "its own profile": {"web": {"hosts": ["h"]}, "_meta": {"hostvars": {}, "profile": "inventory_legacy"}},
    "keys twice": '{"a": {"hosts": ["x"]}, "b": {"hosts": ["h"], "hosts": ["i"]}, "a": {"hosts": ["y"]},'
    ' "_meta": {"hostvars": {"i": {"v": 1, "v": 2}}}}',
    "JSON that is no YAML": '{"a": {"hosts": ["h\\/i"], "vars": {"t":\t"\\ud83d\\ude00", "n":1E2, "~": "\\u0007"}},\n\t'
    '"_meta": {"hostvars": {}}}',
}


@pytest.mark.parametrize("name", TAKEN)
def test_taken(ansible, tmp_path, name):
    written(TAKEN[name], tmp_path)
    compare(["inv"], tmp_path, PATTERNS)


def test_hosts_asked_for_one_by_one(ansible, tmp_path):
    listed = {"web": {"hosts": ["web1", "h", "i"], "vars": {"v": 0}}, "db": ["h"]}
    written(listed, tmp_path, {"web1": {"v": 1, "_meta": {"x": "{{ v }}"}}, "h": " \n", "i": "{}"})
    compare(["inv"], tmp_path, PATTERNS)


def test_among_files_and_with_variable_files(ansible, tmp_path):
    folder = tmp_path / "all"
    folder.mkdir()
    written({"web": {"hosts": ["h", "s"], "vars": {"v": "script", "w": 1}}, **META}, folder)
    (folder / "a.yml").write_text("web: {hosts: {h: {x: a}}, vars: {v: a}}")
    (folder / "z.yml").write_text("db: {hosts: {h: {x: z}}, vars: {w: z}}")
    for name, text in {"group_vars/web": "f: folder", "host_vars/s.yml": "f: host"}.items():
        (folder / name).parent.mkdir()
        (folder / name).write_text(text)
    (tmp_path / "one.yml").write_text("web: {hosts: {one: }, vars: {v: one}}")
    for sources in (["all"], ["one.yml", "all"], ["all", "one.yml"], ["all/inv"], ["all/inv", "h,one"], ["h,", "all"]):
        compare(sources, tmp_path, PATTERNS)


NAMES = st.sampled_from(["a", "b", "web", "all", "ungrouped", ""])
HOSTS = st.sampled_from(["h", "i", "web1", "web", "localhost", "n[1:2]", ""])
VALUES = st.sampled_from([0, "7", None, "{{ v }}", [1], {"x": 1}, True, 1.5])
VARIABLES = st.dictionaries(st.sampled_from(["v", "w", "a-b", "ansible_group_priority"]), VALUES, max_size=2)
WRONG = st.sampled_from([None, "h", 5, [], {}, [None], [["a"]], {"a": 1}, True])
GROUPS = (
    st.fixed_dictionaries(
        {},
        optional={
            "hosts": st.lists(HOSTS, max_size=3) | WRONG,
            "vars": VARIABLES | WRONG,
            "children": st.lists(NAMES, max_size=2) | WRONG,
            "other": VARIABLES,
        },
    )
    | st.lists(HOSTS, max_size=2)
    | WRONG
)
SOUND_GROUPS = st.fixed_dictionaries(
    {"hosts": st.lists(HOSTS.filter(bool), max_size=3)},
    optional={"vars": VARIABLES, "children": st.lists(NAMES.filter(bool), max_size=2)},
)
HOSTVARS = st.dictionaries(HOSTS, VARIABLES | st.none(), max_size=3)
LISTED = st.tuples(
    st.dictionaries(NAMES, GROUPS, max_size=2) | st.dictionaries(NAMES.filter(bool), SOUND_GROUPS, max_size=4),
    st.fixed_dictionaries({}, optional={"_meta": st.fixed_dictionaries({"hostvars": HOSTVARS}) | WRONG})
    | st.fixed_dictionaries({"_meta": st.fixed_dictionaries({"hostvars": st.dictionaries(HOSTS, VARIABLES)})}),
).map(lambda parts: {**parts[0], **parts[1]})
#: Refused though Ansible gives an answer.
GUESSED = (
    *("has neither hosts nor vars nor children", "is a host without a group", "cannot have the child ungrouped"),
    *("children of group", "not a whole number", "is in ungrouped itself and in a group below it"),
)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(listed=LISTED)
def test_generated(ansible, listed):
    from ansible.errors import AnsibleError

    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder).resolve()
        written(listed, base, dict.fromkeys(["h", "i", "web1", "web", "localhost", "n[1:2]"], '{"own": 1}'))
        try:
            load(["inv"], base=base)
        except InputError as error:
            if not any(reason in str(error) for reason in GUESSED):
                with pytest.raises(AnsibleError):
                    Reference(["inv"], base)
            return
        compare(["inv"], base, PATTERNS)
