"""Whatever Ansible would skip, guess or half-read is an error with its place."""

from __future__ import annotations

import os

import pytest

from opsrunner.errors import InputError, InputErrors

FAULTS = [
    ("a list of hosts", "web:\n  hosts:\n    - a\n", 3, 5, "hosts: of group web is a list"),
    ("a list of children", "web:\n  children: [a]\n", 2, 13, "children: of group web is a list"),
    ("a list for a group", "web:\n  - a\n", 1, 1, "group web is a list"),
    ("text for a group", "web: abc\n", 1, 1, "group web is text"),
    ("an unknown key", "web:\n  host:\n    a:\n", 2, 3, "unknown key 'host'"),
    ("an unknown key without a value", "hosts:\n  a:\n", 2, 3, "unknown key 'a'"),
    ("text for a host", "web:\n  hosts:\n    a: x=1\n", 3, 8, "host a has text"),
    ("a number for a host's name", "web:\n  hosts:\n    5:\n", 3, 5, "a host's name must be text"),
    ("a truth value for a host's name", "web:\n  hosts:\n    on:\n", 3, 5, "a host's name must be text"),
    ("an empty name", 'web:\n  hosts:\n    "":\n', 3, 5, "a host's name must be text"),
    ("a number for a group's name", "7:\n  hosts: {a: }\n", 1, 1, "a group's name must be text"),
    ("a number for a variable's name", "web:\n  vars: {1: a}\n", 2, 10, "variable names are text"),
    ("a host's variable called 1", "web:\n  hosts: {a: {1: a}}\n", 2, 15, "variable names are text"),
    ("a priority that is none", "web:\n  vars: {ansible_group_priority: high}\n", 2, 10, "not a whole number"),
    ("a group below itself", "a:\n  children:\n    a:\n", 3, 5, "cannot be its own child"),
    ("all below a group", "a:\n  children:\n    all:\n", 3, 5, "cannot have the child all"),
    ("ungrouped below a group", "a:\n  children:\n    ungrouped:\n", 3, 5, "cannot have the child ungrouped"),
    ("a circle", "a: {children: {b: {children: {c: }}}}\nc:\n  children:\n    a:\n", 4, 5, "a > b > c > a"),
    ("a range without an end", "a: {hosts: {'w[1:]': }}\n", 1, 13, "has no end"),
    ("a range with a dash", "a: {hosts: {'w[1-3]': }}\n", 1, 13, "is no range"),
    ("a range that mixes", "a: {hosts: {'w[a:3]': }}\n", 1, 13, "'a' is no number"),
    ("a range backwards", "a: {hosts: {'w[3:1]': }}\n", 1, 13, "holds no number"),
    ("letters backwards", "a: {hosts: {'w[c:a]': }}\n", 1, 13, "begins after its end"),
    ("a range of unequal widths", "a: {hosts: {'w[01:100]': }}\n", 1, 13, "not of one length"),
    ("a range that steps by 0", "a: {hosts: {'w[1:9:0]': }}\n", 1, 13, "a step of 0"),
    ("a bracket left open", "a: {hosts: {'w[1:3': }}\n", 1, 13, "without its other half"),
    ("a range of too many", "a: {hosts: {'w[1:9999999]': }}\n", 1, 13, "more than 1000000"),
    ("ranges of too many", "a: {hosts: {'w[1:9999][1:9999]': }}\n", 1, 13, "more than 1000000"),
    ("an address in brackets", "a: {hosts: {'[2001:db8::2]': }}\n", 1, 13, "is no range"),
    ("an encrypted list", "a:\n  vars:\n    p: !vault [1]\n", 3, 8, "!vault takes a text"),
    ("a tag of nobody", "a:\n  vars:\n    p: !mine x\n", 3, 8, "unknown tag"),
    ("a plugin's settings", "plugin: aws_ec2\n", 1, 1, "an inventory plugin's settings"),
    ("a list at the top", "- a\n- b\n", 1, 1, "an inventory is a mapping"),
    ("a tab", "a:\n\thosts:\n", 2, 1, "broken YAML"),
]


@pytest.mark.parametrize(
    ("text", "line", "column", "what"), [fault[1:] for fault in FAULTS], ids=[f[0] for f in FAULTS]
)
def test_a_fault_is_told_with_its_place(loaded, text, line, column, what):
    with pytest.raises(InputError) as caught:
        loaded(text)
    error = caught.value
    assert what in error.what
    assert error.place is not None
    assert error.place.file == "hosts.yml"
    assert (error.place.line, error.place.column) == (line, column)
    assert error.excerpt is not None
    assert error.excerpt == text.splitlines()[line - 1].replace("\t", " ")


def test_a_key_that_stands_twice_is_warned_of_and_the_last_counts(loaded):
    inventory = loaded(
        {"hosts.yml": "a:\n  hosts: {x: }\na:\n  hosts: {y: }\n", "group_vars/a": '{"v": 1e3, "v": 1e4}'},
    )
    assert list(inventory.hosts) == ["y"]
    assert inventory.variables("y")["v"] == 1e4
    assert [warning.place for warning in inventory.warnings] == [("hosts.yml", 3, 1), ("group_vars/a", 1, 12)]
    assert str(inventory.warnings[0]) == "hosts.yml:3:1: key 'a' stands twice (as in Ansible the last one counts)"


def test_a_near_name_is_offered(loaded):
    with pytest.raises(InputError) as caught:
        loaded("web:\n  childern:\n    a:\n")
    assert caught.value.remedy == "did you mean children:?"


def test_all_faults_of_all_files_are_told_at_once(loaded):
    with pytest.raises(InputErrors) as caught:
        loaded(
            {"a.yml": "web:\n  host: {a: }\n  hosts: {5: }\n", "b.yml": "db: [x]\n", "c.yml": "[web]\nx y\n"},
            "a.yml",
            "b.yml",
            "missing.yml",
            "c.yml",
        )
    assert [error.what.split(" ")[0] for error in caught.value.errors] == ["unknown", "a", "group", "no", "a"]


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("hosts.toml", "[web]\n", "TOML inventory: not supported yet"),
        ("hosts.prod", "web: {hosts: {a: }}\n", "not the name of a YAML inventory"),
        ("hosts.yml", "$ANSIBLE_VAULT;1.1;AES256\n616263\n", "encrypted with Ansible Vault"),
        ("hosts.yml", "---\n# nothing\n", "an empty inventory"),
    ],
)
def test_what_is_no_inventory_is_refused_by_its_kind(loaded, name, text, what):
    with pytest.raises(InputError) as caught:
        loaded({name: text}, name)
    assert what in caught.value.what
    assert name in caught.value.what
    assert caught.value.remedy


def test_yaml_that_happens_to_be_executable_is_yaml(loaded, tmp_path):
    (tmp_path / "hosts.yml").write_text("web: {hosts: {a: }}")
    (tmp_path / "hosts.yml").chmod(0o755)
    assert list(loaded({}, "hosts.yml").hosts) == ["a"]


def test_a_host_without_a_group_that_is_called_like_a_group(loaded):
    with pytest.raises(InputError, match="web is a host without a group and the name of a group"):
        loaded("all: {hosts: {web: }}\nweb: {hosts: {a: }}\n")


def test_a_host_in_ungrouped_and_below_it(loaded):
    with pytest.raises(InputError, match="h is in ungrouped itself and in a group below it"):
        loaded("ungrouped: {hosts: {h: }, children: {web: {hosts: {h: }}}}\n")


def test_an_empty_folder(loaded, tmp_path):
    (tmp_path / "inv").mkdir()
    with pytest.raises(InputError, match="no inventory in the folder inv"):
        loaded({}, "inv")


def test_a_range_in_a_host_list(loaded):
    with pytest.raises(InputError, match="a range in the host list"):
        loaded({}, "web[1:3],")


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("group_vars/web.yml", "- a\n", "a file of variables is a mapping"),
        ("host_vars/h", "1: a\n", "variable names are text"),
        ("host_vars/h.yml", "$ANSIBLE_VAULT;1.1;AES256\n", "encrypted with Ansible Vault"),
        ("host_vars/h.yml", "a: !vault 5\n", "!vault takes a text"),
        ("host_vars/h.yml", "!vault x: 1\n", "an encrypted text cannot be a key"),
        ("group_vars", "", "group_vars is not a folder"),
    ],
)
def test_faults_in_variable_files(loaded, name, text, what):
    with pytest.raises(InputError, match=what):
        loaded({"hosts.yml": "web: {hosts: {h: }}", name: text})


def test_variable_files_of_nobody_are_not_read(loaded):
    files = {"hosts.yml": "web: {hosts: {h: }}", "group_vars/other.yml": "- broken", "host_vars/x.yml": "- broken"}
    assert list(loaded(files).hosts) == ["h"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission(loaded, tmp_path):
    (tmp_path / "hosts.yml").write_text("web: {hosts: {a: }}")
    (tmp_path / "hosts.yml").chmod(0)
    with pytest.raises(InputError, match=r"cannot read hosts\.yml"):
        loaded({}, "hosts.yml")
