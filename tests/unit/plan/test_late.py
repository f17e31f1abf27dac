"""Plays for hosts that the run adds: which these are, what is refused, and who they are when it is time."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from opsrunner.inventory import Inventory
from opsrunner.inventory.additions import Added, AddedHost, AddedMember, grown
from opsrunner.plan.codec import decode, encode
from opsrunner.plan.compile import lookups_here
from opsrunner.plan.late import Makes, decided, is_settled, next_undecided
from opsrunner.plan.revise import differences, revised
from opsrunner.templating import Templar
from tests.unit.plan.conftest import Project

ADDS = """\
- hosts: web
  gather_facts: false
  tasks:
    - group_by: {key: "kind_{{ kind }}", parents: by kind}
    - add_host: name=new1 groups=made,db
"""


def late(pattern: str, more: str = "") -> str:
    return f"{ADDS}- hosts: {pattern}\n  gather_facts: false\n{more}  tasks: [ping: ]\n"


@pytest.mark.parametrize(
    ("pattern", "is_late"),
    [
        ("kind_a", True),
        ("kind_*", True),
        ("by-kind", True),
        ("made", True),
        ("made[0]", True),
        ("new1", True),
        ("new[1-3]", True),
        ("'!made'", True),
        ("db", True),
        ("web:&kind_a", True),
        ("all", True),
        ("ungrouped", True),
        ("~web.*", True),
        ("web", False),
        ("web[1-3]", False),
        ("db1", False),
        ("localhost", False),
    ],
)
def test_which_plays_are_late(project: Project, pattern: str, is_late: bool) -> None:
    first, second = project.compile(late(pattern)).plan.plays
    assert first.late is None and bool(second.late) is is_late
    assert bool(second.batches) is not is_late


def test_what_no_play_before_can_make_is_an_error_as_ever(project: Project) -> None:
    [fault] = project.faults(late("maed"))
    assert "maed" in fault.what and fault.place and fault.place.line == 6
    assert project.faults(ADDS.replace("web", "made", 1)), "a play comes before what it adds itself"


def test_what_is_made_by_templates_of_any_name(project: Project) -> None:
    text = late("whatever").replace("groups=made,db", "groups={{ x }}")
    assert project.compile(text).plan.plays[1].late


def test_names_in_the_limit_may_be_made_too(project: Project) -> None:
    plays = project.compile(late("web"), limit="web2,kind_a").plan.plays
    assert plays[1].late and plays[1].late.limit == ("web2", "kind_a") and plays[1].hosts == ("web2",)
    assert project.faults(late("web"), limit="web2,knd_a")
    assert project.faults(late("web"), limit="kind_a"), "nobody is there to begin with, as in Ansible"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (late("made", "  serial_by: rack\n"), "serial_by needs hosts that are known"),
        (ADDS.replace("  tasks", "  strategy: free\n  tasks"), "add_host needs strategy: linear"),
        (ADDS.replace("key: ", "kye: "), "missing required arguments: key"),
        (ADDS.replace("name=new1 ", ""), "one of the following is required: name, hostname, host"),
    ],
)
def test_what_is_refused(project: Project, text: str, what: str) -> None:
    fault = project.faults(text)[0]
    assert what in fault.what and fault.place


def test_tags_that_leave_out_what_adds_change_nothing(project: Project) -> None:
    text = late("made").replace("[ping: ]", "[{ping: , tags: x}]")
    plays = project.compile(text, tags=("x",)).plan.plays
    assert not plays[0].steps and plays[1].late


def test_deciding(project: Project) -> None:
    plan = decode(encode(project.compile(late("made:kind_a", "  serial: [1, 2]\n  order: sorted\n")).plan))
    play = next_undecided(plan, 0)
    assert play is not None and play.number == 1 and not is_settled(plan, 0)
    base, templar = Inventory.from_data(plan.inventory), Templar(lookups=lookups_here(project.directory))
    added = [Added(0, AddedMember("web3", "kind_a")), Added(1, AddedHost("new1", ("made",), {"opsrunner_zone": "far"}))]
    now = decided(plan, play, grown(base, added), templar, 0)
    assert now.plays[1].hosts == ("new1", "web3") and now.plays[1].batches == (("new1",), ("web3",))
    assert now.zones["far"] == ("new1",) and now.zones["default"] == plan.zones["default"]
    assert next_undecided(now, 0) is None and is_settled(now, 0)
    # The next walk puts behind who has come since.
    added += [Added(0, AddedMember(host, "kind_a")) for host in ("web2", "web1")]
    play = next_undecided(now, 1)
    assert play is not None
    again = decided(now, play, grown(base, added), templar, 1)
    assert again.plays[1].batches == (("new1",), ("web3",), ("web1",), ("web2",))
    assert decode(encode(again)) == replace(again, inventory=plan.inventory)


def test_names_that_may_meet() -> None:
    inventory = Inventory({}, {})
    makes = Makes(groups=frozenset(("os_*",)))
    assert makes.may_touch(["os_debian"], inventory) and makes.may_touch(["*_debian"], inventory)
    assert makes.may_touch(["o*"], inventory) and not makes.may_touch(["web*"], inventory)
    assert not makes.may_touch(["db", "@failed-of-last"], inventory) and not Makes().may_touch(["x"], inventory)


def test_a_changed_playbook_keeps_the_hosts_that_were_decided(project: Project) -> None:
    old = project.compile(late("made")).plan
    play = next_undecided(old, 0)
    assert play is not None
    after = grown(Inventory.from_data(old.inventory), [Added(1, AddedHost("new1", ("made",)))])
    now = decided(old, play, after, Templar(lookups=lookups_here(project.directory)), 0)
    new = project.compile(late("'made:db1'")).plan
    assert [one.hosts for one in differences(now, new)] == [()], "the pattern, and not who it is for"
    kept = revised(now, new)
    assert kept.plays[1].batches == (("new1",),) and kept.plays[1].late == now.plays[1].late
    assert kept.zones["default"][-1] == "new1"
    # Nobody has decided yet: the pattern is what it is now.
    static = revised(old, project.compile(late("db1")).plan).plays[1]
    assert static.late is None and static.batches == (("db1",),)
