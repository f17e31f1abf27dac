"""Host patterns in Ansible's order of evaluation, and what is told about a wrong one."""

from __future__ import annotations

import pytest

from opsrunner.errors import InputError, InputErrors
from opsrunner.inventory import match
from opsrunner.inventory.patterns import PatternError, split

TEXT = """
web: {hosts: {"web[1:5]": }}
db: {hosts: {db1: , db2: }}
canary: {hosts: {web1: , db1: }}
six: {hosts: {"2001:db8::1": }}
none:
"""


@pytest.fixture
def fleet(loaded):
    return loaded(TEXT)


@pytest.mark.parametrize(
    ("pattern", "hosts"),
    [
        ("db:web", "db1 db2 web1 web2 web3 web4 web5"),
        ("web,db1", "web1 web2 web3 web4 web5 db1"),
        ("!web1:web:&canary:db", "db1"),
        ("web:db:&canary", "web1 db1"),
        ("&canary", "web1 db1"),
        ("!web:!six", "db1 db2"),
        ("web*:!web[1:3]", "web1 web5"),
        ("web[0]", "web1"),
        ("web[-1]", "web5"),
        ("web[1:2]", "web2 web3"),
        ("web[3:]", "web4 web5"),
        ("web[0:0]", "web1"),
        ("~(web|db)[12]$", "web1 web2 db1 db2"),
        ("~2", "2001:db8::1"),
        ("web?", "web1 web2 web3 web4 web5"),
        ("w*[1]", "web2"),
        ("2001:db8::1", "2001:db8::1"),
        ("web1,web1", "web1"),
        ("localhost", "localhost"),
        ("127.0.0.1,localhost", "127.0.0.1"),
        ("all,localhost,!web,!db,!six", "localhost"),
    ],
)
def test_patterns(fleet, pattern, hosts):
    assert match(fleet, pattern) == hosts.split()


def test_a_list_of_patterns(fleet):
    assert match(fleet, ["web", "!web1:!web2", "db[0]"]) == ["web3", "web4", "web5", "db1"]


def test_a_listed_localhost_answers_to_all_its_names(loaded):
    inventory = loaded("all: {hosts: {127.0.0.1: }}")
    assert match(inventory, "localhost") == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("limit", "hosts"),
    [("web[1:2]", "web2 web3"), ("!web1", "web2 web3 web4 web5"), ("canary,web5", "web1 web5"), ("@some", "web2 web4")],
)
def test_limit(fleet, tmp_path, limit, hosts):
    (tmp_path / "some").write_text("web4\n\n web2 \ndb1\n")
    assert match(fleet, "web", limit=limit, base=tmp_path) == hosts.split()


def test_a_limit_file_that_is_not_there(fleet, tmp_path):
    with pytest.raises(PatternError, match="cannot read the limit file nope"):
        match(fleet, "web", limit="@nope", base=tmp_path, allow_empty=True)


@pytest.mark.parametrize(
    ("pattern", "part", "remedy"),
    [
        ("wbe", "wbe", "did you mean web?"),
        ("all:!cannary", "cannary", "did you mean canary?"),
        ("web:&canry", "canry", "did you mean canary?"),
        ("db3", "db3", "did you mean db"),
        ("x*", "x*", "inventory graph"),
        ("web:~^x", "~^x", "inventory graph"),
        ("none", "'none'", "allow-empty"),
        ("web[7:9]", "'web[7:9]'", "allow-empty"),
        ("", "''", "allow-empty"),
    ],
)
def test_what_matches_nothing_is_an_error_unless_that_is_allowed(fleet, pattern, part, remedy):
    if pattern == "":
        pattern = "web:!web"
        part = "'web:!web'"
    with pytest.raises(PatternError) as caught:
        match(fleet, pattern)
    assert caught.value.part == part
    assert caught.value.exit_code == 65
    assert remedy in str(caught.value.remedy)
    assert isinstance(match(fleet, pattern, allow_empty=True), list)


def test_every_wrong_part_is_told(fleet):
    with pytest.raises(InputErrors) as caught:
        match(fleet, "wbe:!dbb", limit="canry")
    assert [error.part for error in caught.value.errors] == ["wbe", "dbb", "canry"]


def test_a_limit_that_leaves_nobody_is_told_as_such(fleet):
    with pytest.raises(PatternError, match="'web' limited to 'db' matches no host"):
        match(fleet, "web", limit="db")


@pytest.mark.parametrize("pattern", ["web[9]", "web*[1-3]", "~(", "web,!", "web:&"])
def test_what_cannot_be_read_is_always_an_error(fleet, pattern):
    with pytest.raises(InputError):
        match(fleet, pattern, allow_empty=True)


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        ("a,b[1], c[2:3] , d", ["a", "b[1]", "c[2:3]", "d"]),
        ("a:b[1:2]:c", ["a", "b[1:2]", "c"]),
        ("web[1:3]", ["web[1:3]"]),
        ("::1", ["::1"]),
        ("fe80::1%eth0", ["fe80", "1%eth0"]),
        ("", []),
    ],
)
def test_split(pattern, parts):
    assert split(pattern) == parts
