"""Where files lie: folders, several sources, ``group_vars/``, ``host_vars/``, read by opsrunner and by ansible-core."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path

import pytest
from differential.inventory.reference import Reference, compare, written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsrunner.errors import InputError
from opsrunner.inventory import listing, load

HOSTS = "web: {hosts: {h: , h.example.org: , a/b: }}\nweb.x: {hosts: {h: }}\nmy web: {hosts: {h.example.org: }}\n"


def laid_out(layout: dict[str, str], base: Path) -> None:
    """Make what the layout names, in order: a file that says its own name, or what the word says."""
    for name, what in layout.items():
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if what == "folder":
            path.mkdir(exist_ok=True)
        elif what.startswith("-> "):
            path.symlink_to(base / what.removeprefix("-> "))
        elif what == "empty":
            path.touch()
        else:
            path.write_text(what or json.dumps({"v": name, f"from {name}": 1}))


def compare_variables(sources: list[str], base: Path, playbook: str | None = None) -> None:
    """Compare what each host is told, with the files beside the playbook where one is named."""
    directory = base / playbook if playbook else None
    inventory = load(sources, base=base, playbook_directory=directory)
    reference = Reference(sources, base)
    if directory:
        reference.variable_manager._loader.set_basedir(str(directory))
    assert list(inventory.hosts) == [str(name) for name in reference.manager.hosts]
    for host in (*inventory.hosts, "localhost"):
        assert listing.host_variables(inventory, host) == reference.variables(host)


#: Name → what lies beside ``hosts.yml``.
VARIABLE_FILES: dict[str, dict[str, str]] = {
    "no ending first": {"group_vars/web": "", "group_vars/web.yml": "", "host_vars/h.json": "", "host_vars/h.yaml": ""},
    "yml before yaml before json": {"group_vars/web.json": "", "group_vars/web.yaml": "", "host_vars/h.yml": ""},
    "a folder hides files": {"group_vars/web/x.yml": "", "group_vars/web.yml": "", "group_vars/web.json": ""},
    "an empty folder hides files": {"group_vars/web": "folder", "group_vars/web.yml": ""},
    "an empty file hides files": {"group_vars/web": "empty", "group_vars/web.yml": "", "host_vars/h.yml": "empty"},
    "a folder with an ending": {"group_vars/web.yml/x": "", "group_vars/web.yml/y.json": "", "group_vars/web.yaml": ""},
    "other endings": {"group_vars/web.txt": "", "group_vars/web.": "", "group_vars/web.YML": "", "host_vars/h.ini": ""},
    "hidden and backup files": {
        "group_vars/.web.yml": "",
        "group_vars/web.yml~": "",
        "host_vars/h/.a.yml": "",
        "host_vars/h/a.yml~": "",
        "host_vars/h/a~/b.yml": "",
        "host_vars/h/.d/b.yml": "",
        "host_vars/h/c": "",
    },
    "endings in a folder": {
        **{f"group_vars/web/{name}": "" for name in ("a", "b.yml", "c.yaml", "d.json", "e.txt", "f.", "g.YML", "h.j2")},
        **{f"host_vars/h/{name}": "" for name in ("x.y.yml", "x.y", ".yml", "...", "..a", "a.b.", "é")},
    },
    "folders in a folder": {
        "group_vars/web/b/x.yml": "",
        "group_vars/web/a.yml": "",
        "group_vars/web/c.d/x.yml": "",
        "group_vars/web/e.yml/x.yml": "",
        "group_vars/web/b/c/d/y": "",
        "group_vars/web/f./x": "",
        "group_vars/web/empty": "folder",
    },
    "sorted by name": {f"group_vars/web/{name}": "" for name in ("10", "9", "a", "B", "é", "z.yml", "_")},
    "names with dots and blanks": {
        "group_vars/web.x": "",
        "group_vars/my web.yml": "",
        "host_vars/h.example.org": "",
        "host_vars/h.example.yml": "",
        "host_vars/h.example.org.yml": "",
    },
    "a group that reads like another's file": {"group_vars/web.x/a": "", "group_vars/web.x.yml": ""},
    "names with a slash": {"host_vars/a/b": "", "host_vars/a/b.yml": ""},
    "a name with a slash and an ending": {"host_vars/a/b.yaml": ""},
    "links": {
        "group_vars/web": "-> shared",
        "shared/x.yml": "",
        "host_vars/h.yml": "-> shared/x.yml",
        "host_vars/h.example.org": "-> nowhere",
        "host_vars/h.example.org.yaml": "",
    },
    "links in a folder": {
        "group_vars/web/a": "-> shared",
        "group_vars/web/b.yml": "-> shared/x.yml",
        "group_vars/web/c.yml": "-> nowhere",
        "group_vars/web/d.yml": "-> shared",
        "shared/x.yml": "",
    },
    "linked folders": {"group_vars": "-> shared/groups", "shared/groups/web.yml": "", "host_vars": "-> nowhere"},
    "all and ungrouped": {
        "group_vars/all/x": "",
        "group_vars/all.yml": "",
        "group_vars/ungrouped": "",
        "host_vars/all": "",
    },
    "beside the playbook": {
        "group_vars/web": "",
        "group_vars/all": "",
        "host_vars/h.yml": "",
        "play/group_vars/web/x.yml": "",
        "play/group_vars/all.yml": "",
        "play/group_vars/my web": "",
        "play/host_vars/h": "",
        "play/host_vars/localhost": "",
    },
    "beside the playbook alone": {"play/group_vars/all": "", "play/host_vars/h.example.org.yml": ""},
    "the playbook's folder is a link": {"play": "-> elsewhere", "elsewhere/group_vars/web": ""},
}


@pytest.mark.parametrize("name", VARIABLE_FILES)
def test_variable_files(ansible, tmp_path, name):
    laid_out({"hosts.yml": HOSTS, **VARIABLE_FILES[name]}, tmp_path)
    compare_variables(["hosts.yml"], tmp_path)
    compare_variables(["hosts.yml"], tmp_path, ".")
    if any(path.startswith("play") for path in VARIABLE_FILES[name]):
        compare_variables(["hosts.yml"], tmp_path, "play")


ENTRIES = [
    *(
        "web",
        "web.yml",
        "web.yaml",
        "web.json",
        "web.",
        "web.x",
        "web.x.yml",
        "h",
        "h.yml",
        "h.example.org",
        "all",
        "all.yml",
    ),
]
INSIDE = ["", "", "/a", "/b.yml", "/c.json", "/d.txt", "/.e", "/f~", "/s/g", "/s.d/g", "/s/t/i.yaml", "/k."]
LAYOUTS = st.lists(
    st.tuples(
        st.sampled_from(["", "play/", "other/"]),
        st.sampled_from(["group_vars/", "group_vars/", "host_vars/"]),
        st.sampled_from(ENTRIES),
        st.sampled_from(INSIDE),
        st.sampled_from(["", "", "", "empty", "-> shared/x.yml", "-> shared", "-> nowhere"]),
    ),
    max_size=9,
)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    layout=LAYOUTS,
    sources=st.permutations(["hosts.yml", "other/more.yml", "other"]),
    playbook=st.sampled_from([None, "play", "."]),
)
def test_generated_layouts(ansible, layout, sources, playbook):
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder).resolve()
        laid_out(
            {"hosts.yml": HOSTS, "other/more.yml": "web: {hosts: {h: , o: }}", "shared/x.yml": "", "play": "folder"},
            base,
        )
        for room, kind, entry, inside, what in layout:
            name = f"{room}{kind}{entry}{inside}"
            # Where something lies already, and below a file, nothing is put.
            with contextlib.suppress(OSError):
                if not os.path.lexists(base / name):
                    laid_out({name: what}, base)
        compare_variables(sources[:2], base, playbook)


HOST = "web: {{hosts: {{{0}: {{from: {1}}}}}, vars: {{v: {1}, {0}: 1}}}}"

#: Name → files (``""`` lists a host named after the file), and the sources.
SOURCES: dict[str, tuple[dict[str, str], list[str]]] = {
    "by name": (dict.fromkeys(["i/b.yml", "i/a.yml", "i/x10", "i/x9", "i/B.yaml", "i/_x.json"], ""), ["i"]),
    "sub-folders by name": (
        dict.fromkeys(["i/m/x.yml", "i/a.yml", "i/z.yml", "i/m/a/y.yml", "i/m.d/q.yml"], ""),
        ["i"],
    ),
    "what is passed over": (
        {
            "i/a.yml": "",
            **{f"i/x{ending}": "- no" for ending in (".bak", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry", ".swp")},
            **{f"i/x{ending}": "- no" for ending in (".pyc", ".pyo", ".rpm", "~", ".yml~", ".yml.orig")},
            **{f"i/{name}/x.yml": "- no" for name in (".git", "vars_plugins", "old.bak", "notes.txt", "host_vars")},
            "i/.hidden": "- no",
            "i/group_vars/nobody": "- no",
        },
        ["i"],
    ),
    "names like those passed over": (
        dict.fromkeys(["i/xgroup_vars", "i/group_vars.yml", "i/host_vars2/a", "i/bak", "i/x.bak.yml", "i/mdx"], ""),
        ["i"],
    ),
    "variable files of sub-folders are not read": (
        {"i/s/a.yml": "", "i/s/group_vars/web": "g: 1", "i/s/host_vars/a": "x: 1", "i/group_vars/web": "top: 1"},
        ["i"],
    ),
    "unless they are named": (
        {"i/s/a.yml": "", "i/s/group_vars/web": "g: 1", "i/group_vars/web": "g: 2"},
        ["i", "i/s"],
    ),
    "a file in a folder": (
        {"i/s/a.yml": "", "i/s/group_vars/web": "g: 1", "i/group_vars/web": "g: 2"},
        ["i/s/a.yml", "i"],
    ),
    "later wins": (
        {"a/x.yml": "", "b/x.yml": "", "a/group_vars/web": "g: a", "b/group_vars/all": "g: b", "b/host_vars/x": "h: b"},
        ["a", "b"],
    ),
    "later wins, turned round": (
        {"a/x.yml": "", "b/x.yml": "", "a/group_vars/web": "g: a", "b/group_vars/all": "g: b", "b/host_vars/x": "h: b"},
        ["b", "a"],
    ),
    "the same source twice": (
        {"a/x.yml": "", "b/x.yml": "", "a/group_vars/web": "g: a", "b/group_vars/web": "g: b"},
        ["a", "b", "a"],
    ),
    "the same file by two names": ({"a/x.yml": "", "b": "-> a", "a/group_vars/web": "g: a"}, ["b/x.yml", "a"]),
    "links": (
        {"i/a.yml": "-> real/x.yml", "i/s": "-> real", "real/x.yml": "", "real/group_vars/web": "g: 1"},
        ["i"],
    ),
    "a link to a file": (
        {"i/a.yml": "-> real/x.yml", "real/x.yml": "", "real/group_vars/web": "g: real", "i/group_vars/web": "g: i"},
        ["i/a.yml"],
    ),
    "host lists between": ({"a.yml": "", "group_vars/web": "g: 1", "host_vars/n": "x: 1"}, ["n,a", "a.yml", "m:22,a"]),
    "a host list alone": ({"group_vars/all": "g: 1", "host_vars/n": "x: 1"}, ["n,"]),
    "no host at all": ({}, [","]),
    "odd items in a host list": ({}, [" a , ,b:22,,c d,e:x,[f]:1,::1,[::2]:3,1.2.3.4:5,g:0,é,a:9,x_y-,-z,"]),
    "localhost in a host list": ({}, ["localhost,127.0.0.1"]),
    "ports and priorities in several files": (
        {
            "i/a.yml": "web: {hosts: {'h:1': }, vars: {v: 1, ansible_group_priority: 5}}\n"
            "db: {hosts: {h: }, vars: {v: 2}}",
            "i/b.yml": "web: {hosts: {'h:2': , 'k:3': }}\ndb: {hosts: {'k:4': }, vars: {ansible_group_priority: 9}}",
        },
        ["i"],
    ),
    "groups put together from files": (
        {
            "i/a.yml": "site: {children: {web: }}\nweb: {hosts: {h: {x: a, y: a}}}",
            "i/b.yml": "web: {children: {rack: {hosts: {h: {x: b}}}}}\nall: {hosts: {k: , h: }, vars: {all: b}}",
            "i/c.yml": "ungrouped: {hosts: {k: , u: }}\nrack: {vars: {r: c}}\nall: {vars: {all: c}}",
        },
        ["i"],
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_sources(ansible, tmp_path, monkeypatch, name):
    files, sources = SOURCES[name]
    laid_out(
        {path: text or HOST.format(Path(path).stem, path.replace("/", "-")) for path, text in files.items()}, tmp_path
    )
    monkeypatch.chdir(tmp_path)
    compare(sources, tmp_path, ["all", "web", "ungrouped"])


@pytest.mark.parametrize(
    "source", ["~/i", "$WHERE/i", "${WHERE}/i/a.yml", "$TILDE/i", "./x/../i//", "i/", "x,y/a.yml", "i,"]
)
def test_spellings_of_a_source(ansible, tmp_path, monkeypatch, source):
    from ansible.utils.path import unfrackpath

    written(
        {"i/a.yml": "web: {hosts: {h: }}", "i/group_vars/web": "g: 1", "x,y/a.yml": "web: {hosts: {c: }}"}, tmp_path
    )
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(tmp_path)
    for name, value in {"HOME": str(tmp_path), "WHERE": str(tmp_path), "TILDE": "~"}.items():
        monkeypatch.setenv(name, value)
    inventory = load([source], base=tmp_path)
    # As ansible's command line does with it before the inventory sees it.
    reference = Reference([source if "," in source else unfrackpath(source, follow=False)], Path())
    for host in inventory.hosts:
        assert listing.host_variables(inventory, host) == reference.variables(host)
    assert list(inventory.hosts) == [str(name) for name in reference.manager.hosts] != []


@pytest.mark.parametrize("name", ["web", "hosts.", "x.prod", "x.yml.", "x.YML"])
def test_names_of_yaml_inventories(ansible, tmp_path, name):
    """Ansible reads some of them as INI, and then says so."""
    from ansible.errors import AnsibleError

    written({name: "web: {hosts: {h: }}"}, tmp_path)
    try:
        Reference([name], tmp_path)
    except AnsibleError:
        with pytest.raises(InputError):
            load([name], base=tmp_path)
        return
    compare([name], tmp_path, ["all"])
