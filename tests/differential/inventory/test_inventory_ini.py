"""INI inventories, written by hand and generated: read by opsrunner and by ansible-core."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path

import pytest
from differential.inventory.reference import PATTERNS, Reference, compare, written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsrunner.errors import InputError
from opsrunner.inventory import ini_words, load

#: Python 3.11 still calls '\\d' deprecated, which is an error in these tests, and Ansible takes errors for text.
pytestmark = pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")

#: Name → text of hosts.ini, or the files of an inventory, of which the first is the source.
HANDWRITTEN: dict[str, str | dict[str, str]] = {
    "hosts before any section": "web1\nweb2 a=1\n\n[web]\nweb1\n",
    "groups": "[web]\nweb1\nweb2\n[db]\ndb1 x=1\nweb1\n",
    "blanks and comments": "# c\n; c\n\n  [web]  # the web\n\t web1\t# first\n  # c\n  ; c\nweb2#\n[db]#c\ndb1\n",
    "variables of a host": "h a=1 b='x y' c=\"q \\\" r\" d=x\\ y e= f='' g=\"\" h==x=y i=x'y z'w\n",
    "a quoted name": "'h' \"a\"=1 'b=2'\n'host one' a=1\n",
    "backslashes": "h a=\\\\ b='\\d' c=\"\\d\" d=\\d e=\"'\\d'\" f='\"\\x41\"' g=\\# h='\"\\\\d\"'\n",
    "comments in a host's line": "h a=1 # b=2\ni a=x#y b=2\nj a='x#y' b=2\nk a=\"#\" # x\n",
    "variables of a group": "[web]\nweb1\n[web:vars]\na=1\nb = x y \nc= 'q' \nd =\"r\" # c\ne = x # c\n"
    "f=a=b\ng=\n#h=1\n;i=1\nj=[1, 2] # c\n",
    "quotes in group variables": "[all:vars]\na='x\nb=x'y'\nc=\"it's\"\nd='a' 'b'\ne='\\d'\nf=u'x'\n"
    "g=r'\\x'\nh=f'x'\ni='''x'''\nj=\\\n",
    "children": "[top:children]\nweb\ndb # c\n[web]\nweb1\n[db]\ndb1\n[top:vars]\nv=1\n",
    "children first, several times": "[a:children]\nc\nb\n[x:children]\nb\n[b:children]\nd\nc\n[c]\n"
    "h\n[d:vars]\nv=1\n[d]\ni\n",
    "children of all": "[all:children]\nweb\n[web]\nweb1\n[ungrouped]\nu\n[all]\nv\n",
    "empty groups": "[web]\n[db:children]\n[db]\n",
    "variables first": "[web:vars]\na=1\n[web]\nweb1\n[all:vars]\nb=2\n[ungrouped:vars]\nc=1\n",
    "variables and children first": "[p:children]\ng\n[g:vars]\na=1\n[q:children]\ng\n[g]\nh\n",
    "sections again": "[web]\nweb1 a=1\n[db]\ndb1\n[web]\nweb2\nweb1 a=2 b=1\n[web:vars]\nx=1\n"
    "[web:vars]\nx=2\n[web:children]\ndb\n",
    "a variable twice": "h a=1 b=2 a=3\n[all:vars]\nv=1\nv=2\n",
    "ranges": "[web]\nweb[1:3] a=1\nweb[08:11].example.org\nr[a:c][1:2]\ns[1:9:4]\n10.0.[0:1].[1:2]\n[1:3]x\n",
    "ports": "[web]\nweb1:22\nweb[2:3]:2222 a=1\n[::1]:23\n1.2.3.4:5\nweb1:24\nweb9:0\nweb8:x\n[2001:db8::2]:22 b=1\n",
    "addresses": "fe80::1\n2001:db8::[1:3]\n::ffff:1.2.3.4\n10.0.0.1\n",
    "names as they are": "[web-1]\na/b\nü\n[höst.s]\nh\n[1]\n2\n[web:children]\nweb-1\n[web]\na,b\n_x_\n*\n@x\n",
    "priority": "[web]\nh\n[x]\nh\n[web:vars]\nansible_group_priority=3\nv=1\n[x:vars]\n"
    "v=2\nansible_group_priority='2'\n",
    "priority of a host": "h ansible_group_priority=high\n",
    "a host of no group like a group": "web\n[web]\nh\n",
    "a host like a group": "[web]\nweb x=1\nweb1\n[db]\nlate y=1\n[late]\nweb1\n",
    "jinja": "h a={{b}} c=\"{{ b | default('x') }}\" d='{{ b }}'\n[all:vars]\nb={{ x }}\n"
    "e={% raw %}\ny={{ lookup('env', 'X') }}\n",
    "hashes are replaced": "[web]\nh d={'c':3}\n[web:vars]\nd={'a': 1, 'b': 2}\nd={'b': 4}\n[all:vars]\nd={'z': 1}\n",
    "localhost": "localhost ansible_connection=local\n[web]\n127.0.0.1\n",
    "carriage returns": "[web]\r\nweb1 a=1\r\n\r\n[web:vars]\r\nb=x y\r\n",
    "other ends of lines": "[web]\rweb1\x0cweb2\u2028web3\x85web4 a=x\u00a0y b='\u00a0'\n",
    "control characters": "h a=\x1b[0m b=\x7f\n[all:vars]\nx=\x1b\n",
    "not ASCII": "[wéb]\nhöst v=ü w='日本 語'\n[wéb:vars]\nclé='ü'\n",
    "names of variables": "h a-b=1 x.y=2 clé=3 1=4 :=5\n[all:vars]\na-b=1\nx.y : z=1\n".replace(
        "x.y : z=1\n", "x.y=1\n"
    ),
    "nothing": "",
    "only comments": "# nothing\n\n; here\n   \n",
    "dashes": "--\n-\n-- a=1\n- b=2\n",
    "no ending": {"hosts": "web1\n[web]\nweb1 a=1\n"},
    "no ending, one name": {"hosts": "web1"},
    "no ending, a colon in quotes": {"hosts": "[web]\nweb1 a='b: c'\n"},
    "no ending, two colons in quotes": {"hosts": "web1 a='b: c' d='e: f'\n"},
    "no ending, a list": {"hosts": "[web]"},
    "no ending, nothing": {"hosts": "\n"},
    "no ending, a number": {"hosts": "5\n"},
    "no ending, the word null": {"hosts": "null\n"},
    "named YAML": {"hosts.yml": "# c\n[web]\nweb1\n"},
    "named YAML, a host first": {"hosts.yaml": "localhost ansible_connection=local\n[web]\nweb1 a='b: c'\n"},
    "named YAML, a list": {"hosts.yml": "[web]"},
    "named JSON": {"hosts.json": "[web]\nweb1\n"},
    "named YAML, nothing": {"hosts.yml": ""},
    "named JSON, only comments": {"hosts.json": "; x\n"},
    "any other ending": {"hosts.prod": "[web]\nweb1\n"},
    "an ending in capitals": {"hosts.YML": "[web]\nweb1\n"},
    "a dot at the end": {"hosts.": "[web]\nweb1\n"},
    "variable files": {
        "hosts.ini": "[web]\nh z=0\nweb1\n[web:vars]\na=0\nb=0\n[deep:children]\nweb\n",
        "group_vars/all": "a: all\nb: all",
        "group_vars/web.yaml": "a: web",
        "group_vars/deep/2.yml": "a: deep\nc: 2",
        "host_vars/h.yml": "z: file",
    },
}


@pytest.mark.parametrize("name", HANDWRITTEN)
def test_handwritten(ansible, tmp_path, name):
    case = HANDWRITTEN[name]
    files = {"hosts.ini": case} if isinstance(case, str) else case
    for file, text in files.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(text.encode())
    compare([next(iter(files))], tmp_path, PATTERNS)


def test_comments_need_not_be_utf8(ansible, tmp_path):
    (tmp_path / "hosts.ini").write_bytes(b"# caf\xe9\n[web] # caf\xe9\nweb1 # caf\xe9\n[top:children]\nweb # caf\xe9\n")
    compare(["hosts.ini"], tmp_path, PATTERNS)


def test_groups_of_another_source(ansible, tmp_path):
    files = {
        "inv/a.ini": "[web]\nweb1\n",
        "inv/b": "[web:vars]\nv=1\n[top:children]\nweb\n",
        "inv/c.yml": "web: {hosts: {web2: {a: 1}}}\n",
        "inv/d.yml": "[web]\nweb2 a=2\nweb3\n",
        "inv/e": "",
    }
    compare(["inv"], written(files, tmp_path), PATTERNS)


REFUSED = {
    "an unknown group among children": "[web:children]\ndb\n",
    "an unknown group of variables": "[web:vars]\na=1\n",
    "a child that has variables only": "[top:children]\nweb\n[web:vars]\na=1\n",
    "a kind of section": "[web:host]\nh\n",
    "a blank in a section": "[web servers]\nh\n",
    "a colon in a section": "[web:]\nh\n",
    "a semicolon after a section": "[web] ; c\nh\n",
    "a word that is no variable": "h a\n",
    "blanks around =": "h a = 1\n",
    "a semicolon on a host's line": "h ; c\n",
    "an open quote": "h a='x\n",
    "an open double quote": 'h a="x\n',
    "a backslash at the end": "h a=x\\\n",
    "no name": "''\n",
    "a colon at the end": "h:\n",
    "a document": "---\nh\n",
    "no =": "[all:vars]\na: 1\n",
    "two children": "[a]\n[b]\n[c:children]\na b\n",
    "itself": "[a:children]\na\n",
    "a circle": "[a:children]\nb\n[b:children]\na\n",
    "all": "[a:children]\nall\n",
    "a range": "h[1:x]\n",
    "a priority": "[all:vars]\nansible_group_priority=high\n",
    "a set of sets": "[all:vars]\na={{ 1 }}\n",
    "a list in a set": "h a={[]}\n",
    "too many operators": "h a=" + "-" * 100_000 + "1\n",
    "dots as a key": "h a={...:1}\n",
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_both(ansible, tmp_path, name):
    from ansible.errors import AnsibleError

    written({"hosts.ini": REFUSED[name]}, tmp_path)
    with pytest.raises(InputError) as caught:
        load(["hosts.ini"], base=tmp_path)
    assert caught.value.place is not None
    with pytest.raises(AnsibleError):
        Reference(["hosts.ini"], tmp_path)


#: What Ansible accepts and opsrunner does not: the text, and what stands in the refusal.
STRICTER = {
    "Ansible makes a host of it: a variable": ("[web]\nansible_user=x\n", "a variable where a host's name belongs"),
    "Ansible makes a host of it: a byte order mark": ("\ufeffweb1\n", "a byte order mark"),
    "Ansible makes a variable of it: a blank": ("[all:vars]\nweb1 a=1\n", "not the name of a variable"),
    "Ansible makes a variable of it: nothing": ("h =1\n", "not the name of a variable"),
    "Ansible warns: a group's name": ("[a,b]\nh\n", "a group's name with"),
    "a range of nothing": ("[web]\nh[3:1]\n", "holds no number"),
    "Ansible makes a host of it: a list": ("- a=1\n", "not the name of a YAML inventory"),
    "ungrouped below a group": ("[a:children]\nungrouped\n", "cannot have the child ungrouped"),
    "no plan carries it: a number": (f"h a=0x{'f' * 300}\n", "a number of more than"),
    "no plan carries it: a key": ("h a={(1,2):3}\n", "for a key"),
    "no plan carries it: a NUL": ("h a=\"'\\x00'\"\n", "a value with a NUL"),
    "no plan carries it: half a character": ("h a=\"'\\ud83e'\"\n", "a value with half a character"),
    "no plan carries it: a NUL as it is": ("h\0\n", "a NUL in a text"),
}


@pytest.mark.parametrize("name", STRICTER)
def test_refused_though_ansible_says_nothing(ansible, tmp_path, name):
    text, reason = STRICTER[name]
    written({"hosts.ini": text}, tmp_path)
    with pytest.raises(InputError, match=reason):
        load(["hosts.ini"], base=tmp_path)
    Reference(["hosts.ini"], tmp_path)


VALUES = st.sampled_from(
    [
        *("", "1", "-1", "1_000", "0x10", "0o7", "0b1", "007", "1.5", "1.", "1e3", "1e999", "-0.0", "1+2j", "2j"),
        *("True", "true", "yes", "None", "null", "...", "inf", "x", "x y", "x#y", "x # y", "x ; y", "a=b", "=", "'"),
        *("'x'", '"x"', "'5'", '"a b"', "'it''s'", "b'x'", "u'x'", "r'\\d'", "'\\d'", "'\\n'", "\\", "\\\\", "f'x'"),
        *("[1, 'a']", "[1,'a',]", "(1, 2)", "()", "(1)", "{1, 2}", "{'a'}", "set()", "{'a': 1, 'b': {'c': [None]}}"),
        *("{1: 2, True: 3}", "{'a'", "[1", "{{ x }}", "{{ 1 }}", "{{ 'x' }}", "{x}", "{{x}}", "{% x %}", "1 2", "1;2"),
        *("é", "日本", "１", "١", "1 if 1 else 2", "not 1", "-x", "+5", "--5", "'a' + 'b'", "`x`", "$x", "@x", "~1"),
        *("9" * 30, "1" * 310, "1.2.3.4", "fe80::1", "2024-01-02", "12:30", "'\\ud83e'", "\t1", "/etc/x", "a\u00a0b"),
    ]
)
KEYS = st.sampled_from(
    ["a", "b", "ansible_host", "ansible_port", "ansible_group_priority", "x-y", "é", "a b", "", "[x"]
)
GROUPS = st.sampled_from(["a", "b", "c", "web", "db", "all", "ungrouped", "x-y", "[x", "web servers", "1"])
HOSTS = st.sampled_from(
    [
        *(
            "h",
            "web1",
            "web[1:3]",
            "n[01:03].x",
            "p:22",
            "[::1]:22",
            "::1",
            "10.0.0.[1:2]",
            "q[a:c]",
            "localhost",
            "web",
        ),
        *("k[3:1]", "h:", "---", "'h'", "h#c", "''", "é", "-", "a=b", "[x", "h[1:", "1", "a/b", "a,b", "h h", "{x}"),
    ]
)
SPACES = st.sampled_from([" ", "  ", "\t", " \t "])
COMMENTS = st.sampled_from(["", "", "", "", " # c", "#c", " ; c", " #", "\t"])
HOST_LINES = st.builds(
    lambda name, pairs, space, comment: space.join([name, *pairs]) + comment,
    HOSTS,
    st.lists(
        st.builds(
            lambda key, value, quote: quote(f"{key}={value}") if quote is shlex.quote else f"{key}={quote(value)}",
            KEYS,
            VALUES,
            st.sampled_from([str, shlex.quote, lambda value: f'"{value}"', lambda value: shlex.quote(value)]),
        ),
        max_size=3,
    ),
    SPACES,
    COMMENTS,
)
VARIABLE_LINES = st.builds(
    lambda key, equals, value, comment: key + equals + value + comment,
    KEYS,
    st.sampled_from(["=", " = ", "= ", " =", "\t=\t", ": "]),
    VALUES,
    COMMENTS,
)
CHILD_LINES = st.builds(lambda name, comment: name + comment, GROUPS, COMMENTS)


def section(kind: str, body: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda name, comment, some: "\n".join([f"[{name}{kind}]{comment}", *some]),
        GROUPS,
        COMMENTS,
        st.lists(body, max_size=4),
    )


FIRST = st.lists(HOST_LINES, max_size=2).map("\n".join)
SECTIONS = st.lists(
    section("", HOST_LINES)
    | section(":vars", VARIABLE_LINES)
    | section(":children", CHILD_LINES)
    | section(":hosts", HOST_LINES)
    | st.sampled_from(["", "# c", "; c", "[web:kind]", "[]", "[:vars]"]),
    max_size=6,
)
TEXTS = st.builds(lambda first, rest: "\n".join([first, *rest]), FIRST, SECTIONS)
#: Well-formed ones, so that many are accepted.
GOOD = st.builds(
    lambda hosts, sections: "\n".join([*hosts, *sections, "[a]", "[b]", "[c]"]),
    st.lists(st.sampled_from(["h", "web1 a=1", "i b=x", "web[1:2]"]), max_size=2),
    st.lists(
        st.builds(
            lambda name, kind, keys, values: "\n".join(
                [
                    f"[{name}{kind}]",
                    *(
                        f"{key}={value}" if kind == ":vars" else f"h{len(key)} {key}={shlex.quote(value)}"
                        for key, value in zip(keys, values, strict=False)
                    ),
                ]
            ),
            st.sampled_from(["a", "b", "c", "all"]),
            st.sampled_from(["", ":vars", ":hosts"]),
            st.lists(st.sampled_from(["v", "w", "vw", "x-y", "é"]), max_size=3),
            st.lists(VALUES, min_size=3, max_size=3),
        )
        | st.builds(
            lambda name, children: "\n".join([f"[{name}:children]", *children]),
            st.sampled_from(["a", "top", "all"]),
            st.lists(st.sampled_from(["b", "c"]), max_size=2),
        ),
        max_size=5,
    ),
)
#: The last one: a file without an ending whose one line is a YAML mapping as well; Ansible skips it with a warning.
REASONS = (*(reason for _, reason in STRICTER.values()), "is text, not a mapping (a group holds")


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(text=TEXTS | GOOD, name=st.sampled_from(["hosts.ini", "hosts.ini", "hosts", "hosts.yml"]))
def test_generated(ansible, text, name):
    from ansible.errors import AnsibleError

    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder).resolve()
        (base / name).write_bytes(text.encode())
        try:
            load([name], base=base)
        except InputError as error:
            if name == "hosts.yml" and "\n[" not in f"\n{text}":
                return
            if not any(reason in str(error) for reason in REASONS):
                with pytest.raises(AnsibleError):
                    Reference([name], base)
            return
        compare([name], base, ["all", "web", "a:!b"])


@settings(max_examples=500, deadline=None, derandomize=True)
@given(line=st.text(st.sampled_from("ab= \t'\"\\#é"), max_size=14))
def test_a_line_is_cut_as_a_shell_would(line):
    try:
        expected = shlex.split(line, comments=True)
    except ValueError:
        with pytest.raises(ini_words.BrokenLine):
            ini_words.split(line)
        return
    words = ini_words.split(line)
    assert [word.text for word in words] == expected
    assert all(line[word.start :].startswith(word.raw) for word in words)
