"""Every listing is ansible-inventory's to the letter, and what is explained is what counts."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from differential.inventory.listings import AnsibleInventory, compare_listings
from differential.inventory.reference import written
from differential.inventory.test_inventory_corpus import CASES
from differential.inventory.test_inventory_generated import FILES, INVENTORIES
from differential.inventory.test_inventory_handwritten import HANDWRITTEN
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsrunner.errors import InputError
from opsrunner.inventory import listing as shapes
from opsrunner.inventory import load
from opsrunner.inventory.explanation import explain
from opsrunner.inventory.origins import Origins
from opsrunner.tagged import Encrypted

LISTED = {
    "shapes": "web: {hosts: {h: , i: }, vars: {v: 1}}\ndb: {hosts: {h: }, children: {web: , empty: }}\nempty:",
    "dates": (
        "web: {hosts: {h: {d: 2024-01-02, t: 2024-01-02 10:00:00.5, z: 2024-01-02T10:00:00 +02:30, "
        "n: [2024-01-02, {a: 2024-01-02T03:04:05Z}]}, i: }, vars: {shared: 2024-01-02}}"
    ),
    "values": (
        "web: {hosts: {'h[1:3]': {l: [1, {a: [2]}], e: [], m: {}, t: '', n: ~, b: yes, x: 0x1F, o: 010, s: 1:30, "
        "f: 1.50, g: 1e+20, i: .inf, j: -.inf, k: 1.0e+5}}}"
    ),
    "texts": (
        "web: {hosts: {h: {a: é☃😀, ü: 1, c: \"\\x07\\x1b \\u2028\\u0085\", d: ' x ', e: \"a\\nb\\n\", f: '{{ x }}', "
        f"g: '1', h: 'yes', i: '2024-01-02', j: 'a: b # c', k: '~', l: '{'word ' * 40}', m: \"\\ttab\"}}}}}}"
    ),
    "keys": "web: {hosts: {h: {m: {2: a, 10: b, 1: {3: c}}, x: {b: 1, 1: 2}, y: {true: 1, ~: 2, 1.5: 3}}}}",
    "shared": (
        "all: {vars: {l: &l [1, 2], m: *l, d: {a: &x {b: 1}, c: *x}}}\n"
        "web: {hosts: {'h[1:2]': {own: [1]}, i: {own: {a: 1}}}, vars: {w: &w {a: [1]}, v: {<<: *w, b: *l}}}"
    ),
    "internal names": "web: {hosts: {h: {groups: 1, hostvars: 2, omit: 3, ansible_version: 4, playbook_dir: x}}}",
}


@pytest.mark.parametrize("name", LISTED)
def test_listings(ansible, tmp_path, name):
    compare_listings(["hosts.yml"], written({"hosts.yml": LISTED[name]}, tmp_path))


@pytest.mark.parametrize("name", ["variable files", "two folders", "depth and priority", "diamonds", "a host list"])
def test_listings_of_the_inventories_written_by_hand(ansible, tmp_path, name):
    files, sources = HANDWRITTEN[name]
    compare_listings(sources or ["hosts.yml"], written(files, tmp_path))


@pytest.mark.parametrize("limit", ["web", "h1", "all:!h1", "web:&db", "localhost:h2"])
def test_listings_of_a_limit(ansible, tmp_path, limit):
    text = "web: {hosts: {h1: {a: 1}, h2: }, vars: {w: 1}}\ndb: {hosts: {h2: , h3: {b: 2}}, children: {web: }}"
    compare_listings(["hosts.yml"], written({"hosts.yml": text}, tmp_path), limit=limit)


def test_listings_with_the_folder_of_a_playbook(ansible, tmp_path):
    files = {
        "inv/hosts.yml": "web: {hosts: {h: {a: 1}, i: }, vars: {b: 1, c: 1}}",
        "inv/group_vars/web.yml": "b: 2\nc: 2",
        "play/group_vars/all.yml": "c: all\nd: all",
        "play/group_vars/web.yml": "b: 3",
        "play/host_vars/h.yml": "a: 3",
    }
    compare_listings(["inv"], written(files, tmp_path), basedir=str(tmp_path / "play"))


@pytest.mark.skipif(not CASES, reason="no corpus beside the repository")
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}/{case.name}")
def test_the_trees_and_graphs_of_the_corpus(ansible, case):
    sources, base = json.loads((case / "case.json").read_text())["inventory"], case / "files"
    try:
        inventory = load(sources, base=base)
    except InputError:
        return
    for export in (False, True):
        ours = shapes.as_yaml(shapes.tree(inventory, export=export))
        assert ours == AnsibleInventory(sources, base, yaml=True, export=export).tree()
    if any(isinstance(value, Encrypted) for host in inventory.hosts for value in inventory.variables(host).values()):
        return  # The graph shows values opened, and there is no password.
    theirs = AnsibleInventory(sources, base, show_vars=True).graph()
    assert "\n".join(shapes.graph(inventory, variables=True)) == theirs


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(inventories=st.lists(INVENTORIES, min_size=1, max_size=2), files=FILES)
def test_generated_listings(ansible, inventories, files):
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder).resolve()
        sources = [f"inv{number}.yml" for number in range(len(inventories))]
        texts = dict(zip(sources, map(json.dumps, inventories), strict=True))
        written(texts | {name: json.dumps(variables) for name, variables in files.items()}, base)
        try:
            load(sources, base=base)
        except InputError:
            return
        compare_listings(sources, base)


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(inventories=st.lists(INVENTORIES, min_size=1, max_size=3), files=FILES, beside_playbook=FILES)
def test_what_is_explained_is_what_counts(inventories, files, beside_playbook):
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder).resolve()
        sources = [f"inv{number}.yml" for number in range(len(inventories))]
        texts = dict(zip(sources, map(json.dumps, inventories), strict=True)) | {
            f"{where}{name}": json.dumps(variables)
            for where, files in (("", files), ("play/", beside_playbook))
            for name, variables in files.items()
        }
        written(texts, base)
        origins = Origins()
        try:
            inventory = load(sources, base=base, playbook_directory=base / "play", origins=origins)
        except InputError:
            return
        for host in (*inventory.hosts, "localhost"):
            explained = explain(inventory, origins, host).variables
            assert {name: given[0].value for name, given in explained.items()} == shapes.host_variables(inventory, host)
            for name, given in explained.items():
                for one in given:
                    if one.place is None:
                        assert one.level == "implicit localhost"
                    elif (name, one.level) != ("ansible_port", "host"):
                        line = texts[one.place.file].splitlines()[one.place.line - 1]
                        assert line[one.place.column - 1 :].startswith(f'"{name}": {json.dumps(one.value)}')
