"""Node sets in patterns (``web[01-20,25]``), hosts that ``@name`` stands for, and what wrong patterns are told."""

from __future__ import annotations

import time

import pytest

from opsrunner.errors import InputError, InputErrors
from opsrunner.inventory import match
from opsrunner.inventory.patterns import PatternError, check_limit, folded, split

TEXT = """
web: {hosts: {"web[01:12]": }}
node: {hosts: {"n[1:12].x": }}
small: {hosts: {"s[1:3].x": }}
six: {hosts: {"2001:db8::[1:3]": }}
rack1: {hosts: {a1: , a2: }}
rack2: {hosts: {b1: }}
none:
"""


@pytest.fixture
def fleet(loaded):
    return loaded(TEXT)


@pytest.mark.parametrize(
    ("pattern", "hosts"),
    [
        ("web[02-04]", "web02 web03 web04"),
        ("web[04,02-03]", "web04 web02 web03"),
        ("web[02-10/4]", "web02 web06 web10"),
        ("web[01,03]:&web[02-03]", "web03"),
        ("web:!web[01-11]", "web12"),
        ("web[01,02],rack2", "web01 web02 b1"),
        ("rack[1-2]", "a1 a2 b1"),
        ("rack[1-2],!a[1-1]", "a2 b1"),
        ("a[1,2][0]", "a1"),
        ("web[01-12,12][1:2]", "web02 web03"),
        ("2001:db8::[1-2]", "2001:db8::1 2001:db8::2"),
        ("2001:db8::[1,3]", "2001:db8::1 2001:db8::3"),
        ("n[1-11,12].x:&n[10,11].x", "n10.x n11.x"),
        # As a wildcard it is a set that runs backwards: Ansible finds nothing and says so.
        ("n[9-10].x", "n9.x n10.x"),
        # Ansible's: positions, and sets of characters.
        ("web[5]", "web06"),
        ("web[0:1]", "web01 web02"),
        ("s[1-2].x", "s1.x s2.x"),
        ("s[0-9].x", "s1.x s2.x s3.x"),
        ("n[12].x", "n1.x n2.x"),
        ("web0[1-2]*", "web01 web02"),
        ("s[1-3].x[1]", "s2.x"),
    ],
)
def test_brackets(fleet, pattern, hosts):
    assert match(fleet, pattern) == hosts.split()


@pytest.mark.parametrize(
    ("pattern", "what", "help_"),
    [
        ("web[10-14]", "no group or host is called web[13-14] of the node set web[10-14]", "inventory graph"),
        ("web[1-3]", "no group or host is called web[1-3]", "web[1:3]"),
        ("x[1-90000]", "x[1-1000] and 89,000 more", "inventory graph"),
        ("n[1-12].x", "may mean two things", "n[1-11,12].x"),
        ("web*[1-3]", "web*[1-3]: a subscript with a dash", "web*[1:3]"),
        ("web[01,02]*", "is no node set", "web[01-20,25]"),
        ("web[a,b]", "is no node set", "[ab]"),
        ("web[3-1]", "is no node set", "web[01-20,25]"),
        ("web[1-100000000]", "is no node set", "web[01-20,25]"),
        ("web[08-100]", "is no node set", "web[01-20,25]"),
        ("web[0", "a bracket without its other half", "pairs"),
        ("web]", "a bracket without its other half", "pairs"),
        ("web[99999999999999999999]", "no group has that many hosts", "mend"),
        ("web[-2:]", "is no slice", "[2:]"),
        ("web[:2]", "is no slice", "[2:]"),
        ("rack1:rack2,web", "no group or host is called rack1:rack2", "commas alone"),
        ("web01:22", "no group or host is called web01:22", "no port"),
        ("!!web", "no group or host is called !web", "one sign"),
        ("web:&", "nothing follows &", "&name"),
        ("@some", "@some does not stand for hosts here", "--limit"),
        ("web:!@some", "@some does not stand for hosts here", "takes no sign"),
        ("~we(b", "is no regular expression", "separates patterns"),
    ],
)
def test_what_is_told(fleet, pattern, what, help_):
    with pytest.raises(PatternError) as caught:
        match(fleet, pattern)
    assert what in caught.value.what
    assert help_ in str(caught.value.remedy)


def test_only_the_first_slips_get_a_suggestion(loaded):
    inventory = loaded('all: {hosts: {"web[00001:20000]": }}')
    begun = time.process_time()
    with pytest.raises(InputErrors) as caught:
        match(inventory, [f"wbe{number:05}" for number in range(2000)])
    assert time.process_time() - begun < 10
    assert sum("did you mean" in error.remedy for error in caught.value.errors) == 5


def test_selections(fleet):
    chosen = {"failed-of-last": ["web02", "a1"], "lost-of-last": []}
    assert match(fleet, "@failed-of-last", selections=chosen) == ["web02", "a1"]
    assert match(fleet, "web:&@failed-of-last", selections=chosen) == ["web02"]
    assert match(fleet, "rack1", limit="!@failed-of-last", selections=chosen) == ["a2"]
    assert match(fleet, "rack1:!@lost-of-last", selections=chosen) == ["a1", "a2"]
    assert match(fleet, "all", limit="@failed-of-last,b1", selections=chosen) == ["web02", "a1", "b1"]
    with pytest.raises(PatternError) as caught:
        match(fleet, "all", limit="@lost-of-last", selections=chosen)
    assert caught.value.why == "@lost-of-last names no host"
    with pytest.raises(PatternError, match="'@lost-of-last' matches no host"):
        check_limit(fleet, "@lost-of-last", selections=chosen)
    with pytest.raises(PatternError, match="gone1 of @failed-of-last is in no inventory"):
        match(fleet, "@failed-of-last", selections={"failed-of-last": ["gone1", "web01"]})


def test_limit_files(fleet, tmp_path):
    def limited(text, **more):
        (tmp_path / "some").write_bytes(text)
        return match(fleet, "all", limit="@some", base=tmp_path, **more)

    assert limited(b"\xef\xbb\xbfa1\r\nweb[01-02]\r\n\r\n!web01\n") == ["web02", "a1"]
    with pytest.raises(PatternError, match="no group or host is called # a comment"):
        limited(b"# a comment\nweb01\n")
    with pytest.raises(PatternError, match="the limit file some is empty"):
        limited(b" \n\n", allow_empty=True)
    with pytest.raises(PatternError, match="Is a directory"):
        match(fleet, "all", limit="@.", base=tmp_path)
    assert match(fleet, "rack2", limit="") == ["b1"]


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        ("web[1,2]:db[3-4,5]", ["web[1,2]", "db[3-4,5]"]),
        ("web[1,2],db:x", ["web[1,2]", "db:x"]),
        ("web,", ["web"]),
        ("a:b,", ["a:b"]),
        ("web1,x],y", ["web1", "x]", "y"]),
        ("fe80::[1-2]", ["fe80::[1-2]"]),
        (" , ", []),
    ],
)
def test_commas_in_brackets_separate_nothing(pattern, parts):
    assert split(pattern) == parts


def test_folded_hosts_may_be_typed_in_again(fleet):
    assert folded(fleet, ["web01", "web02", "n1.x", "n2.x"]) == "n[1-2].x,web[01-02]"
    whole = folded(fleet, fleet.hosts_of("node"))
    assert whole == "n[1-11,12].x"
    assert match(fleet, whole) == list(fleet.hosts_of("node"))
    for group in fleet.groups:
        if hosts := fleet.hosts_of(group):
            assert set(match(fleet, folded(fleet, hosts))) == set(hosts)


@pytest.mark.parametrize(
    "pattern", ["[" * 50_000 + ",", "~" + "[" * 50_000, "[1-2]" * 50_000, "[1," * 50_000, "~(a" * 9_000]
)
def test_nonsense_is_refused_at_once(fleet, pattern):
    begun = time.process_time()
    with pytest.raises(InputError):
        match(fleet, pattern)
    assert time.process_time() - begun < 5
