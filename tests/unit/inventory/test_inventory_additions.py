"""What add_host and group_by make of an inventory, and what they leave as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from opsrunner import inventory
from opsrunner.errors import InputError
from opsrunner.inventory.additions import Added, AddedHost, AddedMember, Grown, from_data, grown, is_new, to_data

HOSTS = """\
all:
  children:
    web: {hosts: {w1: , w2: , w3: }, vars: {kind: web}}
    dc: {children: {racks: {hosts: {w1: }}}}
    ungrouped: {hosts: {alone: }}
"""


@pytest.fixture
def base(tmp_path: Path) -> inventory.Inventory:
    (tmp_path / "hosts.yml").write_text(HOSTS)
    return inventory.load([str(tmp_path / "hosts.yml")], base=tmp_path)


def test_a_new_host_is_of_all_and_of_its_groups_and_the_first_inventory_stays(base: inventory.Inventory) -> None:
    before = base.to_data()
    added = [
        Added(0, AddedHost("n1", ("web", "made"), {"said": "{{ no template }}", "size": 3})),
        Added(1, AddedHost("n2")),
    ]
    after = grown(base, added)
    assert after.groups_of("n1") == ["made", "web"] and after.groups_of("n2") == ["ungrouped"]
    assert after.hosts_of("web") == ("w1", "w2", "w3", "n1")
    assert after.hosts_of("all")[:2] == ("n1", "n2"), "as in Ansible, before those of groups"
    said = after.variables("n1")
    assert (said["kind"], said["size"], said["said"]) == ("web", 3, "{{ no template }}")
    assert type(said["said"]) is not str, "it is never rendered again"
    assert base.to_data() == before and "n1" not in base.hosts


def test_a_host_that_gets_a_group_is_ungrouped_no_more(base: inventory.Inventory) -> None:
    after = grown(base, [Added(0, AddedMember("alone", "made"))])
    assert after.groups_of("alone") == ["made"] and after.hosts_of("ungrouped") == ()


def test_members_of_one_step_stand_in_the_inventorys_order(base: inventory.Inventory) -> None:
    added = [Added(1, AddedMember(host, "made")) for host in ("w3", "w1")]
    added += [
        Added(2, AddedMember("w2", "made")),
        Added(3, AddedHost("n2", ("made",))),
        Added(3, AddedHost("n1", ("made",))),
    ]
    assert grown(base, added).hosts_of("made") == ("w1", "w3", "w2", "n2", "n1")


@pytest.mark.parametrize(
    ("addition", "changed"),
    [
        (AddedHost("w1"), False),
        (AddedHost("w1", ("web",)), False),
        (AddedHost("w1", ("racks",), {"kind": "web"}), True),
        (AddedHost("w2", ("racks",)), True),
        (AddedMember("w1", "web"), False),
        (AddedMember("w1", "dc"), False),
        (AddedMember("w1", "racks"), True),  # racks is put below all itself
        (AddedMember("w1", "racks", ("dc",)), False),
        (AddedMember("w2", "racks", ("dc",)), True),
        (AddedMember("w1", "made"), True),
        (AddedMember("w1", "web", ("above",)), True),
    ],
)
def test_whether_anything_changes(base: inventory.Inventory, addition: AddedHost | AddedMember, changed: bool) -> None:
    found = Grown(base)
    assert is_new(base, addition) in (None, changed)
    assert found.add(addition) is changed
    assert not found.add(addition), "a second time never"


@pytest.mark.parametrize(
    "addition",
    [
        AddedHost("web"),
        AddedHost(""),
        AddedHost("n1", ("",)),
        AddedMember("w1", ""),
        AddedMember("w1", "made", ("made",)),
        AddedMember("w1", "dc", ("racks",)),
        AddedMember("w1", "all"),
    ],
)
def test_what_cannot_be_is_refused_and_passed_over(
    base: inventory.Inventory, addition: AddedHost | AddedMember
) -> None:
    assert is_new(base, addition) is None
    with pytest.raises(InputError):
        Grown(base).add(addition)
    after = grown(base, [Added(0, addition), Added(1, AddedHost("n9"))])
    assert "n9" in after.hosts


def test_the_implicit_localhost_is_in_its_group_and_not_of_all(base: inventory.Inventory) -> None:
    after = grown(base, [Added(0, AddedMember("localhost", "made"))])
    assert after.hosts_of("made") == ("localhost",) and "localhost" not in after.hosts_of("all")
    assert after.variables("localhost")["ansible_connection"] == "local"


def test_files_of_groups_and_hosts_that_may_be_made(tmp_path: Path, base: inventory.Inventory) -> None:
    for name, text in {"group_vars/made.yml": "a: 1", "group_vars/other.yml": "{", "host_vars/n1": "b: 2"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    read = base.with_files_of_others(lambda name: name == "made", lambda name: name == "n1", base=tmp_path)
    after = grown(inventory.Inventory.from_data(read.to_data()), [Added(0, AddedHost("n1", ("made",)))])
    assert {"a": 1, "b": 2}.items() <= after.variables("n1").items()
    with pytest.raises(InputError, match="other"):
        base.with_files_of_others(lambda _: True, lambda _: True, base=tmp_path)


def test_additions_as_data() -> None:
    additions = [AddedHost("n1", ("a",), {"x": [1, {"y": None}]}), AddedMember("w1", "b", ("c",))]
    assert from_data(to_data(additions)) == additions
