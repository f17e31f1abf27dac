"""INI inventories: how values are typed, where variables stand, and how each fault is told."""

from __future__ import annotations

import math
from typing import Any

import pytest

from opsrunner import yamlsource
from opsrunner.errors import InputError, InputErrors, Place
from opsrunner.inventory import ini_format, ini_values, load
from opsrunner.inventory.builder import Builder
from opsrunner.inventory.document import Document
from opsrunner.inventory.explanation import as_text, explain
from opsrunner.inventory.origins import Origins
from opsrunner.inventory.reading import Reading

#: What stands behind ``=`` in [group:vars], and what it is.
TYPED: list[tuple[str, Any]] = [
    *[("", ""), ("x", "x"), ("x y", "x y"), ("x # y", "x # y"), ("x ; y", "x ; y"), ("a=b", "a=b")],
    *[("5", 5), ("-5", -5), ("+5", 5), ("1_000", 1000), ("0x10", 16), ("0o17", 15), ("0b11", 3), ("00", 0)],
    *[("0644", "0644"), ("007", "007"), ("1.5", 1.5), ("1.", 1.0), ("1e3", 1000.0), ("1e999", math.inf)],
    *[("5 # c", 5), ("1.2.3.4", "1.2.3.4"), ("12:30", "12:30"), ("2024-01-02", "2024-01-02"), ("9" * 5000, "9" * 5000)],
    *[("True", True), ("False", False), ("None", None), ("true", "true"), ("yes", "yes"), ("null", "null")],
    *[("'x'", "x"), ('"x"', "x"), ("'5'", "5"), ("'True'", "True"), ("'a' 'b'", "ab"), ("'x", "'x"), ("x'y'", "x'y'")],
    *[("'x' # c", "x"), (r"'\x41'", "A"), (r"'\d'", r"\d"), (r"r'\x41'", r"\x41"), ("u'x'", "x"), ("f'x'", "f'x'")],
    *[("[1, 'a', None]", [1, "a", None]), ("[1", "[1"), ("[a]", "[a]"), ("{'a': [1]}", {"a": [1]}), ("{1: 2}", {1: 2})],
    *[("(1, 'a')", [1, "a"]), ("()", []), ("(1)", 1), ("{3, 1}", [1, 3]), ("{'b', 'a'}", ["a", "b"]), ("set()", [])],
    *[
        ("b'x'", "x"),
        (r"b'\xc3\xa9'", "é"),
        ("1j", "1j"),
        ("1+2j", "(1+2j)"),
        ("...", "..."),
        ("[..., (b'x',)]", ["...", ["x"]]),
    ],
    *[("{{ x }}", "{{ x }}"), ("{{ x['y'] }}", "{{ x['y'] }}"), ("'{{ 1 }}'", "{{ 1 }}"), ("{% if x %}", "{% if x %}")],
    *[("inf", "inf"), ("1 if x else 2", "1 if x else 2"), ("not True", "not True"), ("1 + 2", "1 + 2"), ("١", "١")],
]


@pytest.mark.parametrize(("text", "value"), TYPED, ids=[text[:20] for text, _ in TYPED])
def test_values_are_typed_as_ansible_does(text, value):
    found = ini_values.typed(text)
    assert (type(found), found) == (type(value), value)


def test_a_value_of_a_host_is_read_by_a_shell_and_then_typed(loaded):
    text = "h a=5 b='5' c='\"5\"' d=\"[1, 2]\" e=[1,2] f=x#y\n[all:vars]\na='x' # c\n"
    found = loaded({"hosts.ini": text}, "hosts.ini").hosts["h"].variables
    assert found == {"a": 5, "b": 5, "c": "5", "d": [1, 2], "e": [1, 2], "f": "x"}


#: Text of hosts.ini, place and words of each fault.
FAULTS = [
    ("an unknown group below another", "[db]\n[web:children]\n  dp # c\n", (3, 3), "names an unknown group: dp"),
    ("variables of an unknown group", "h\n[wbe:vars]\na=1\n[web]\n", (2, 2), "[wbe:vars] is of an unknown group"),
    ("an unknown kind of section", "[web:var]\na=1\n", (1, 6), "unknown kind of section: var"),
    ("a blank in a section", "[web servers]\na b\n", (1, 1), "a section that cannot be read"),
    ("a section of nothing", "[]\n", (1, 1), "a section that cannot be read"),
    ("a list in a section", "[web,db]\nh x\n", (1, 5), "a group's name with , in it"),
    ("another comment after a section", "h\n [web] ; c\n", (2, 8), "a comment after a section's header begins with #"),
    ("a word without =", "[web]\nh  a=1  b c=1\n", (2, 9), "a word that is no variable"),
    ("blanks around =", "h a = 1\n", (1, 3), "a word that is no variable"),
    ("a semicolon", "h a=1 ; c\n", (1, 7), "a word that is no variable"),
    ("no name before =", "h a=1 =2\n", (1, 7), "not the name of a variable"),
    ("a blank in a variable's name", "[all:vars]\nhost a=1\n", (2, 1), "not the name of a variable"),
    ("an open quote", "h a=1 b='x y\n", (1, 9), "a ' without its other half"),
    ("an open double quote", 'h a="x\\"\n', (1, 5), 'a " without its other half'),
    ("a backslash at the end", "h a=x \\\n", (1, 7), "a backslash at the end of the line"),
    ("an empty name", "'' a=1\n", (1, 1), "a host's name is empty"),
    ("a variable without a host", "[web]\na=1\n", (2, 1), "a variable where a host's name belongs: a"),
    ("a range", "  web[1:x]\n", (1, 3), "'x' is no number"),
    ("no = in variables", "[all:vars]\n\ta: 1\n", (2, 2), "a line of [all:vars] without ="),
    ("two children", "[a]\n[b]\n[c:children]\na b\n", (4, 1), "the name of one group"),
    ("a group below itself", "[a:children]\na\n", (2, 1), "cannot be its own child"),
    ("a circle", "[a:children]\nb\n[b:children]\na\n", (4, 1), "a > b > a"),
    ("a circle closed later", "[a:children]\nb\n[c:children]\na\n[b:children]\nc\n", (6, 1), "in a circle"),
    ("a priority that is none", "[all:vars]\nx=1\nansible_group_priority = high\n", (3, 1), "not a whole number"),
    ("a priority of a host like a group", "[a]\na ansible_group_priority=x\n", (2, 3), "not a whole number"),
    ("a set of sets", "h a={{1}}\n", (1, 5), "a value that cannot be read"),
    ("a set of sets in quotes", "h 'a={{ 1 }}'\n", (1, 6), "a value that cannot be read"),
    ("brackets without end", "[all:vars]\na =  " + "-" * 90_000 + "1\n", (2, 6), "a value that cannot be read"),
    ("a very long value", "[all:vars]\na=" + "x" * 100_001 + "\n", (2, 3), "a value of 100001 characters"),
    ("a very large number", "h a=0x" + "f" * 300 + "\n", (1, 5), "a number of more than 1024 bits"),
    ("a key that is none", "h a=\"{b'x':1}\"\n", (1, 5), "a mapping with a bytes for a key"),
    ("a NUL written out", "[all:vars]\na='\\x00'\n", (2, 3), "a value with a NUL in it"),
    ("half a character", "[all:vars]\na='\\ud800'\n", (2, 3), "a value with half a character"),
    ("a byte that is no UTF-8", "[all:vars]\na=b'\\xff'\n", (2, 3), "a value with half a character"),
    ("a NUL", "# c\nh\0\n", (2, 2), "a NUL in a text"),
    ("a byte order mark", "\ufeff[web]\nh\n", (1, 1), "a byte order mark"),
]


@pytest.mark.parametrize(("text", "place", "what"), [fault[1:] for fault in FAULTS], ids=[f[0] for f in FAULTS])
def test_a_fault_is_told_with_its_place(loaded, text, place, what):
    with pytest.raises(InputError) as caught:
        loaded({"hosts.ini": text}, "hosts.ini")
    error = caught.value
    assert what in error.what
    assert error.place == ("hosts.ini", *place)
    assert error.excerpt == text.splitlines()[place[0] - 1].replace("\t", " ")


def test_bytes_that_are_no_utf8(tmp_path, loaded):
    (tmp_path / "hosts.ini").write_bytes(b"# caf\xe9\n[web] # caf\xe9\nh # \xe9\n[web:vars]\na=caf\xe9\n[\xe9]\n\xe9\n")
    with pytest.raises(InputErrors) as caught:
        loaded({}, "hosts.ini")
    assert [error.place for error in caught.value.errors] == [("hosts.ini", 5, 6), ("hosts.ini", 6, 2)]
    (tmp_path / "hosts.yml").write_bytes(b"web:\n  hosts: {caf\xe9: }\n")
    with pytest.raises(InputError, match=r"^hosts\.yml:2:14: not UTF-8 text"):
        loaded({}, "hosts.yml")


def test_all_faults_are_told_at_once_one_a_line(loaded):
    text = (
        "h a b c\ni a = 1\n[web x]\nany thing\n[web:chidlren]\n[db]\ni[1:]  x\n[top:children]\nwep\ndbb\n[late:vars]\n"
    )
    with pytest.raises(InputErrors) as caught:
        loaded({"hosts.ini": text}, "hosts.ini")
    told = [(error.place.line, error.place.column, error.remedy) for error in caught.value.errors]
    assert told == [
        (1, 3, "put a value with blanks in quotes; a comment begins with #"),
        (2, 3, "write name=value without blanks around the ="),
        (3, 1, None),
        (5, 6, "did you mean [web:children]?"),
        (7, 1, "write where it ends, as in [1:20]"),
        (9, 1, "declare it with [wep]; hosts go below [group]"),
        (10, 1, "did you mean db?"),
        (11, 2, "declare it with [late]"),
    ]


def test_a_comment_within_a_word_is_warned_of(loaded):
    inventory = loaded({"hosts.ini": "h password=a#b # c\ni password='a#b' # c\n[web]# c\n"}, "hosts.ini")
    assert [inventory.variables(name)["password"] for name in "hi"] == ["a", "a#b"]
    assert [(warning.place, warning.what) for warning in inventory.warnings] == [
        (("hosts.ini", 1, 13), "a comment begins here, in the middle of a word")
    ]


def test_the_builder_is_told_where_each_variable_stands(tmp_path):
    given: list[yamlsource.Mapping] = []

    class Listening(Builder):
        def set_host_variables(self, name: str, variables: yamlsource.Mapping) -> None:
            given.append(variables)

        def set_group_variables(self, name: str, variables: yamlsource.Mapping) -> None:
            given.append(variables)

    text = "[web]\n h  a=1 'b c=2'\" x\" d='e=f'\n[web:vars]\n  a =  1 # c\n"
    text = text.replace("b c", "b")
    path = tmp_path / "hosts"
    ini_format.add(Document(path, "hosts", text, None), Listening(), Reading(tmp_path))
    assert given == [{"a": 1, "b": "2 x", "d": "e=f"}, {"a": 1}]
    places = [(m.key_places, m.value_places) for m in given]
    assert places == [
        (
            {"a": Place("hosts", 2, 5), "b": Place("hosts", 2, 9), "d": Place("hosts", 2, 19)},
            {"a": Place("hosts", 2, 7), "b": Place("hosts", 2, 12), "d": Place("hosts", 2, 21)},
        ),
        ({"a": Place("hosts", 4, 3)}, {"a": Place("hosts", 4, 8)}),
    ]


#: Name of a file and its text; the hosts, or the words of the refusal.
FORMATS: list[tuple[str, str, list[str] | str]] = [
    ("hosts", "web1\n", ["web1"]),
    ("hosts", "web1 a='b: c' d='e: f'\n", ["web1"]),
    ("hosts", "web: {hosts: {web1: }}\n", ["web1"]),
    ("hosts", "[web]\nweb1 x\n", "hosts:2:6: a word that is no variable"),
    ("hosts", "all:\n\thosts:\n", "hosts:2:1: broken YAML"),
    ("hosts", "all:\n  vars:\n    motd: |\n      [x]\n   a\n", "hosts:5:4: broken YAML"),
    ("hosts", '{"all":{"hosts":{"web1":null}}\n', "hosts:2:1: broken YAML"),
    ("hosts", "- web1\n- web2\n", "hosts:1:1: an inventory is a mapping of groups"),
    ("hosts", "- a=1\n", "hosts:1:1: an inventory is a mapping of groups"),
    ("hosts", "plugin: x\n", "hosts:1:1: an inventory plugin's settings"),
    ("hosts", "{}\n", "hosts: an empty inventory"),
    ("hosts", "", []),
    ("hosts.yml", "# nothing\n; here\n", []),
    ("hosts.yml", "; INI in disguise\n[web]\nweb1\n", ["web1"]),
    ("hosts.yml", "web1 a=1\n[web]\nweb2\n", ["web1", "web2"]),
    ("hosts.yml", "[web]\nweb1 x\n", "hosts.yml:2:6: a word that is no variable"),
    ("hosts.yml", "web1\n", "hosts.yml:1:1: an inventory is a mapping of groups"),
    ("hosts.yml", "[web1, web2]\n", "hosts.yml:1:1: an inventory is a mapping of groups"),
    ("hosts.json", '["web1"]\n', "hosts.json:1:1: an inventory is a mapping of groups"),
    ("hosts.yml", "all:\n  vars: {a: }\n  [x]\n", "hosts.yml:4:1: broken YAML"),
    ("hosts.yml", "---\n", "hosts.yml: an empty inventory"),
    ("hosts.ini", "all:\n  hosts:\n    web1:\n", "hosts.ini:1:1: hosts.ini: not the name of a YAML inventory"),
    ("hosts.prod", "---\nall: {}\n", "hosts.prod:1:1: hosts.prod: not the name of a YAML inventory"),
    ("hosts.prod", '{"all": {}}\n', "hosts.prod:1:1: hosts.prod: not the name of a YAML inventory"),
    ("hosts.ini", "web1 ansible_host: 10.0.0.1\n", "hosts.ini:1:6: a word that is no variable"),
    ("hosts.ini", "[web]\nall:\n", "hosts.ini:2:1: this is no host's name"),
    ("hosts.toml", "", "hosts.toml is a TOML inventory: not supported yet"),
]


@pytest.mark.parametrize(("name", "text", "expected"), FORMATS)
def test_a_file_is_read_as_what_it_is(loaded, name, text, expected):
    if isinstance(expected, list):
        assert list(loaded({name: text}, name).hosts) == expected
        return
    with pytest.raises(InputError) as caught:
        loaded({name: text}, name)
    assert str(caught.value).startswith(expected)


def test_what_yaml_warned_of_is_forgotten_when_it_is_ini_after_all(loaded):
    assert not loaded({"hosts": "web1 a={'x':1,'x':2}\n"}, "hosts").warnings


def test_each_variable_and_port_is_explained_by_its_place(tmp_path):
    (tmp_path / "hosts").write_text("[web]\n  h:22 a=1\nh  a=2\n[web:vars]\n a = 0\n")
    origins = Origins()
    inventory = load(["hosts"], base=tmp_path, origins=origins)
    told = [" ".join(line.split()) for line in as_text(explain(inventory, origins, "h"), None)]
    assert [line for line in told if "hosts:" in line] == [
        *("from hosts:3:4 host", "over hosts:2:8 host = 1", "over hosts:5:2 group web = 0"),
        "from hosts:2:3 host",
    ]
