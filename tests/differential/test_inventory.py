"""The same inventories read by opsrunner and by ansible-core: hosts, groups, variables, patterns, listings.

Three sources of inventories: some forty written by hand, a generator, and a corpus of public ones
beside the repository, where it is there.
"""

from __future__ import annotations

import datetime
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsrunner.errors import InputError
from opsrunner.inventory import Inventory, load, match
from opsrunner.inventory import listing as shapes
from opsrunner.inventory.addresses import parse

ROOT = Path(__file__).parents[2]
CORPUS = ROOT.parent / "shared" / "corpus" / "inventories"


class Reference:
    """What ansible-core makes of the same sources, in this process."""

    def __init__(self, sources: list[str], base: Path) -> None:
        from ansible import constants
        from ansible.inventory.manager import InventoryManager
        from ansible.parsing.dataloader import DataLoader
        from ansible.vars.manager import VariableManager

        self.internal = constants.INTERNAL_STATIC_VARS
        loader = DataLoader()
        given = [source if "," in source else str(base / source) for source in sources]
        self.manager = InventoryManager(loader=loader, sources=given)
        self.variable_manager = VariableManager(loader=loader, inventory=self.manager)

    def variables(self, host: str) -> dict[str, Any]:
        found = self.variable_manager.get_vars(
            host=self.manager.get_host(host), include_hostvars=False, stage="all", use_cache=False
        )
        return {name: normal(value) for name, value in found.items() if name not in self.internal}

    def match(self, pattern: Any, limit: str | None = None) -> list[str]:
        # Ansible remembers under which name the implicit localhost was first asked for; each command
        # line begins anew.
        data = self.manager._inventory
        if data.localhost is not None and data.localhost.implicit:
            data.localhost = None
        self.manager.subset(limit)
        self.manager.clear_caches()
        try:
            return [str(host.name) for host in self.manager.get_hosts(pattern)]
        finally:
            self.manager.subset(None)


def normal(value: Any) -> Any:
    """Ansible's tagged values as plain ones; dates as its JSON shows them."""
    if isinstance(value, dict):
        return {normal(key): normal(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [normal(item) for item in value]
    if isinstance(value, datetime.date):
        return value.isoformat()
    return value


def empty_configuration(home: str) -> str:
    path = Path(home) / "ansible.cfg"
    path.touch()
    return str(path)


@pytest.fixture(scope="module")
def ansible() -> Iterator[None]:
    """ansible-core imported with an empty configuration and a home of its own."""
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("ANSIBLE_")]:
            patch.delenv(name)
        patch.setenv("ANSIBLE_CONFIG", empty_configuration(home))
        patch.setenv("ANSIBLE_HOME", home)
        patch.setenv("ANSIBLE_LOCAL_TEMP", f"{home}/tmp")
        from ansible import constants

        patch.setattr(constants, "INVENTORY_ANY_UNPARSED_IS_FAILED", True)
        patch.setattr(constants, "INVENTORY_UNPARSED_WARNING", False)
        yield


def order_is_fixed(inventory: Inventory, group: str) -> bool:
    """Whether Ansible visits the groups below ``group`` in an order that does not depend on chance.

    It walks them level by level, in sets: only where several groups of one level bring in new ones
    does the order of those vary.
    """
    seen = {group, *inventory.groups[group].children}
    level = list(inventory.groups[group].children)
    while level:
        bring_in = {name: [c for c in inventory.groups[name].children if c not in seen] for name in level}
        if sum(1 for children in bring_in.values() if children) > 1:
            return False
        level = [child for children in bring_in.values() for child in children]
        seen.update(level)
    return True


def compare(sources: list[str], base: Path, patterns: list[str]) -> None:
    inventory, reference = load(sources, base=base), Reference(sources, base)
    assert list(inventory.hosts) == [str(name) for name in reference.manager.hosts]
    assert list(inventory.groups) == [str(name) for name in reference.manager.groups]
    for name, group in inventory.groups.items():
        other = reference.manager.groups[name]
        assert (name, group.depth, group.priority) == (name, other.depth, other.priority)
        assert group.children == [child.name for child in other.child_groups]
        assert list(group.hosts) == [host.name for host in other.hosts]
        names = [host.name for host in other.get_hosts()]
        if order_is_fixed(inventory, name):
            assert list(inventory.hosts_of(name)) == names
        else:
            assert sorted(inventory.hosts_of(name)) == sorted(names)
    for host in (*inventory.hosts, "localhost"):
        assert shapes.host_variables(inventory, host) == reference.variables(host)
        assert inventory.groups_of(host) == reference.manager.get_host(host).get_magic_vars()["group_names"]
        own, theirs = inventory.magic(host), reference.manager.get_host(host).get_vars()
        # Of a host list Ansible says that it lies in the folder "None".
        # What is said of a host with a group's name goes to the group, there even its file.
        for key in ("inventory_hostname", "inventory_hostname_short", "inventory_file"):
            assert own.get(key) == theirs.get(key) or (key == "inventory_file" and host in inventory.groups)
    fixed = all(order_is_fixed(inventory, name) for name in inventory.groups)
    for pattern in patterns:
        compare_pattern(inventory, reference, pattern, fixed)


def compare_pattern(inventory: Inventory, reference: Reference, pattern: str, fixed: bool) -> None:
    from ansible.errors import AnsibleError

    try:
        expected = reference.match(pattern)
    except AnsibleError:
        with pytest.raises(InputError):
            match(inventory, pattern, allow_empty=True)
        return
    found = match(inventory, pattern, allow_empty=True)
    if fixed:
        assert (pattern, found) == (pattern, expected)
    elif "[" not in pattern:
        assert (pattern, sorted(found)) == (pattern, sorted(expected))


PATTERNS = [
    *("all", "*", "ungrouped", "web", "db", "web:db", "db:web", "web,db", "web:&db", "web:!db", "!web", "&web"),
    *("all:!ungrouped", "web[0]", "web[-1]", "web[1:2]", "web[1:]", "web[0:0]", "all[0]", "w*", "w*:!web[0]"),
    *("~w.*1", "~^(web|db)", "*1*", "?eb", "web1", "web1:web2", "!web1:web", "nobody", "all:!nobody", "web[99]"),
    *("web[5:9]", "web*[0:1]", "*.example.org", "h", "h:!all", "::1", "localhost", "deep:!c", "a:b:c:&h"),
]

#: Name → the files of an inventory, and the sources where they are not just hosts.yml.
HANDWRITTEN: dict[str, tuple[dict[str, str], list[str]]] = {
    name: (files if isinstance(files, dict) else {"hosts.yml": files}, sources)
    for name, files, sources in [
        ("flat", "web: {hosts: {web1: , web2: , web3: }}\ndb: {hosts: {db1: {x: 1}}}", []),
        (
            "ungrouped and all",
            "all: {hosts: {h: , web1: }}\nungrouped: {hosts: {u: , web1: }}\nweb: {hosts: {web1: }}",
            [],
        ),
        ("ranges", "web: {hosts: {'web[1:3]': , 'web[08:11].example.org': , 'r[a:c][1:2]': , 's[1:9:4]': }}", []),
        (
            "more ranges",
            "web: {hosts: {'web[:2]': , 'x[A:C]': , 'y[y:B]': , '10.0.[0:1].[1:2]': , 'z[007:010:3]-a': }}",
            [],
        ),
        (
            "ports",
            "web: {hosts: {'web1:22': , 'web[2:3]:2222': {a: 1}, '[::1]:23': , '[web9]:24': , '1.2.3.4:5': }}",
            [],
        ),
        ("ports of known hosts", "web: {hosts: {web1: }}\ndb: {hosts: {'web1:22': , 'web2:0': , 'web3:x': }}", []),
        ("names as they are", "'my web': {hosts: {'host one': , ' lead': , 'a/b': , ü: }}\nweb-1: {hosts: {h: }}", []),
        (
            "addresses",
            "web: {hosts: {'fe80::1': , '2001:db8::[1:3]': , '::ffff:1.2.3.4': , 10.0.0.1: , 'fe80::1%e': }}",
            [],
        ),
        ("nested", "all: {children: {web: {children: {a: {hosts: {h: }}, b: }}}}\nb: {hosts: {web1: }}", []),
        (
            "depth and priority",
            "a: {children: {c: }, vars: {v: a}}\nb: {children: {m: {children: {c: }, vars: {v: m}}}, vars: {v: b}}\n"
            "c: {hosts: {h: }, vars: {w: c}}\nd: {hosts: {h: }, vars: {v: d, w: d, ansible_group_priority: 5}}",
            [],
        ),
        (
            "priority within a depth",
            "web: {hosts: {h: }, vars: {v: 1, ansible_group_priority: '3'}}\nx: {hosts: {h: }, vars: {v: 2}}",
            [],
        ),
        ("names decide", "b: {hosts: {h: }, vars: {v: b}}\na: {hosts: {h: }, vars: {v: a}}", []),
        (
            "hashes are replaced",
            "all: {vars: {d: {a: 1, b: 2}}}\nweb: {hosts: {h: {d: {c: 3}}}, vars: {d: {b: 4}}}",
            [],
        ),
        (
            "a group written twice",
            "web: {hosts: {web1: {a: 1}}, vars: {x: 1}}\nall: {children: {web: {hosts: {web2: }, vars: {x: 2}}}}",
            [],
        ),
        ("a host written twice", "web: {hosts: {h: {a: 1, b: 1}}}\ndb: {hosts: {h: {a: 2}}}", []),
        ("text for sections", "web: {hosts: web1, vars: abc}\ndb: {children: web}", []),
        ("nothing in sections", "web: {hosts: , children: , vars: }\ndb: {}\nx:\nall: {hosts: {h: {}, i: ''}}", []),
        (
            "a host like a group",
            "web: {hosts: {web: {x: 1}, web1: }}\ndb: {hosts: {late: {y: 1}}}\nlate: {hosts: {web1: }}",
            [],
        ),
        ("ungrouped has children", "ungrouped: {children: {web: }, hosts: {u: }}\nweb: {hosts: {web1: }}", []),
        ("localhost is listed", "all: {hosts: {h: , 127.0.0.1: {a: 1}}}\nweb: {hosts: {localhost: {b: 2}}}", []),
        (
            "values",
            "all: {hosts: {h: {a: yes, b: 0644, c: 1e3, d: 12:30, e: 2024-01-02, f: ~, g: [1, {2: x}], i: .5}}}",
            [],
        ),
        ("jinja", "web: {hosts: {h: {a: '{{ b }}', c: '{% raw %}'}}}", []),
        (
            "json",
            {"hosts.json": '{"web": {"hosts": {"web1": {"e": 1e3, "s": "\\/", "t": "\\u00e9"}}, "vars": {"n": null}}}'},
            ["hosts.json"],
        ),
        ("no ending", {"hosts": "web: {hosts: {web1: }}"}, ["hosts"]),
        ("a host list", {}, ["web1,web2:22, ::1,a b"]),
        (
            "variable files",
            {
                "hosts.yml": "web: {hosts: {h: {z: 0}, web1: }, vars: {a: 0, b: 0}}\ndeep: {children: {web: }}",
                "group_vars/all": "a: all\nb: all",
                "group_vars/web.yaml": "a: web",
                "group_vars/deep/2.yml": "a: deep\nc: 2",
                "group_vars/deep/1.json": '{"c": 1, "d": 1e2}',
                "group_vars/deep/sub/3.yml": "d: 3",
                "group_vars/deep/sub.d/4.yml": "d: 4",
                "group_vars/ungrouped.yml": "u: 1",
                "host_vars/h.yml": "z: file",
                "host_vars/localhost.yml": "l: file",
                "host_vars/nobody.yml": "- x",
            },
            [],
        ),
        (
            "which file is first",
            {
                "hosts.yml": "web: {hosts: {h: }}\ndb: {hosts: {h: }}\nempty: {hosts: {h: }}",
                "group_vars/web.yml": "a: yml",
                "group_vars/web.yaml": "a: yaml",
                "group_vars/web.txt": "a: txt",
                "group_vars/db.yml/x.yml": "b: in a folder",
                "group_vars/db.json": '{"b": "json"}',
                "group_vars/empty": "---\n",
                "group_vars/empty.yml": "c: not reached",
            },
            [],
        ),
        (
            "two folders",
            {
                "one/hosts.yml": "deep: {children: {web: {hosts: {h: {a: 1}}}}}",
                "one/group_vars/web.yml": "v: one-web",
                "two/hosts.yml": "web: {hosts: {h: {a: 2}, web1: }}",
                "two/group_vars/deep.yml": "v: two-deep",
                "two/host_vars/h.yml": "w: two",
            },
            ["one", "two"],
        ),
        (
            "the same folder again",
            {
                "one/a.yml": "web: {hosts: {h: }}",
                "one/b.yml": "db: {hosts: {h: }}",
                "one/group_vars/web.yml": "v: one",
                "two/c.yml": "web: {hosts: {h: }}",
                "two/group_vars/web.yml": "v: two",
            },
            ["one/a.yml", "two", "one/b.yml"],
        ),
        (
            "a folder of everything",
            {
                "inv/b.yml": "web: {hosts: {web2: }}",
                "inv/a": "web: {hosts: {web1: }}",
                "inv/sub/c.json": '{"db": {"hosts": {"db1": null}}}',
                "inv/sub/host_vars/db1.yml": "not: read",
                "inv/README.md": "text",
                "inv/old.bak": "text",
                "inv/hosts.retry": "text",
                "inv/ansible.cfg": "text",
                "inv/.git/config": "text",
            },
            ["inv"],
        ),
        ("a file and a list", {"hosts.yml": "web: {hosts: {h: }}", "host_vars/x.yml": "a: 1"}, ["hosts.yml", "x,h"]),
        ("anchors", "x: {vars: &v {a: 1, b: 2}}\nweb: {hosts: {h: {<<: *v, b: 3}}, vars: *v}", []),
        ("invalid names of variables", "web: {hosts: {h: {a-b: 1, clé: 2}}, vars: {x.y: 3}}", []),
        ("inventory_hostname is no variable", "web: {hosts: {h.example.org: {group_names: x, hostvars: 1}}}", []),
        (
            "deep",
            "a: {children: {b: {children: {c: {children: {deep: {hosts: {h: }}}}}}}}\ndeep: {hosts: {web1: }}",
            [],
        ),
        (
            "diamonds",
            "top: {children: {a: {children: {s: }}, b: {children: {s: , t: }}}}\ns: {hosts: {h: , web1: }}\n"
            "t: {hosts: {i: }}",
            [],
        ),
    ]
}


def written(files: dict[str, str], base: Path) -> Path:
    for name, text in files.items():
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return base


@pytest.mark.parametrize("name", HANDWRITTEN)
def test_handwritten(ansible, tmp_path, name):
    files, sources = HANDWRITTEN[name]
    compare(sources or ["hosts.yml"], written(files, tmp_path), PATTERNS)


@pytest.mark.parametrize(
    ("pattern", "limit"),
    [
        ("all", "web"),
        ("web:db", "!web1"),
        ("all", "web[0]:db"),
        ("db:web", "w*,&all"),
        ("all", "@names"),
        ("localhost", "all"),
    ],
)
def test_limits(ansible, tmp_path, monkeypatch, pattern, limit):
    text = "web: {hosts: {web1: , web2: }}\ndb: {hosts: {db1: , web1: }}\nall: {hosts: {h: }}"
    written({"hosts.yml": text, "names": "db1\n\n web2 \n"}, tmp_path)
    monkeypatch.chdir(tmp_path)
    inventory, reference = load(["hosts.yml"], base=tmp_path), Reference(["hosts.yml"], tmp_path)
    assert match(inventory, pattern, limit=limit, allow_empty=True) == reference.match(pattern, limit)


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
PASSED_OVER = ("holds no number", "is a host without a group", "cannot have the child ungrouped")


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


@functools.cache
def ansible_inventory(source: str, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    with tempfile.TemporaryDirectory() as home:
        environment |= {"ANSIBLE_CONFIG": empty_configuration(home), "ANSIBLE_HOME": home, "ANSIBLE_LOCAL_TEMP": home}
        command = [sys.executable, "-m", "ansible.cli.inventory", "-i", source, *arguments]
        done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, check=True)
    return done.stdout.rstrip("\n")


def test_the_commands_print_the_same_text():
    source = str(ROOT / "inventory")
    inventory = load([source], base=ROOT)
    for export, arguments in ((False, ()), (True, ("--export",))):
        ours = shapes.listing(inventory, export=export)
        # ansible-core's own mark, which says nothing about the inventory.
        ours["_meta"]["profile"] = "inventory_legacy"
        assert shapes.as_json(ours) == ansible_inventory(source, "--list", *arguments)
        ours = shapes.tree(inventory, export=export)
        assert shapes.as_yaml(ours) == ansible_inventory(source, "--list", "--yaml", *arguments)
    assert "\n".join(shapes.graph(inventory, variables=True)) == ansible_inventory(source, "--graph", "--vars")
    assert shapes.as_json(shapes.host_variables(inventory, "db1")) == ansible_inventory(source, "--host", "db1")


CASES = sorted(path.parent for path in CORPUS.glob("*/*/case.json"))
#: Not supported, or read by Ansible with another parser: refused though Ansible said nothing.
REFUSED = {
    "stephrobert__ansible-training/4": "!vault values are not supported",
    "stephrobert__ansible-training/5": "encrypted vault file",
    "stephrobert__ansible-training/7": "encrypted vault file",
    "synthetic__traps/empty_file": "an empty inventory",
}
HALF_READ = ("Failed to parse", "Unable to parse", "Skipping", "Found duplicate")


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
    # The dash that Ansible warns of, and what it breaks off at with an error of its own.
    if not isinstance(hosts, list) or any(w.startswith("Use [x:y]") for w in warnings):
        with pytest.raises(InputError):
            match(inventory, pattern, limit=limit, allow_empty=True)
        return
    found = match(inventory, pattern, limit=limit, allow_empty=True)
    if answer["order"] == "fixed":
        assert (pattern, found) == (pattern, hosts)
    elif answer["order"] == "varies":
        assert (pattern, sorted(found)) == (pattern, sorted(hosts))
    else:
        assert found in answer["variants"]
    if warnings or not hosts:
        with pytest.raises(InputError):
            match(inventory, pattern, limit=limit)
