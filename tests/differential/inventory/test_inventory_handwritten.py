"""Inventories written by hand, one for each rule: read by opsrunner and by ansible-core."""

from __future__ import annotations

import pytest
from differential.inventory.reference import PATTERNS, Reference, compare, written

from opsrunner.inventory import load, match

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
