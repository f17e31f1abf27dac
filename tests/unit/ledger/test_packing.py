"""Transitions in few calls: the same ones, in the same order."""

from __future__ import annotations

from msgspec.structs import replace

from opsrunner.ledger.packing import packs
from opsrunner.ledger.records import Outcome
from opsrunner.ledger.transitions import Arguments, Budget, Finish, Start

HOSTS = ("web1", "web2", "web3")
OTHERS = ("db1", "db2", "db3")


def start(host: str, **more: object) -> Arguments:
    return Start("r", 0, host, "t", "boot", "w", **more).arguments()  # type: ignore[arg-type]


def finish(host: str, **more: object) -> Arguments:
    whole = Finish("r", "t", Outcome(0, host, "changed", {"rc": 0}, None, 1.0, 2.0, "w"), 1, "1")
    return replace(whole, **more).arguments()  # type: ignore[arg-type]


def test_what_differs_in_its_host_alone_is_one_call() -> None:
    batch = [*(finish(host) for host in HOSTS), *(start(host, known=number) for number, host in enumerate(OTHERS))]
    ended, begun = packs(batch)
    assert (ended.call[0], ended.count, ended.alike) == ("finishes", 3, True)
    assert ended.call[7::3] == HOSTS
    assert (begun.call[0], begun.count, begun.alike) == ("starts", 3, True)
    assert begun.call[9:] == OTHERS
    assert begun.call[6] == 2, "the ledger must know as much as any of them was told"


def test_what_does_more_is_carried_out_by_itself() -> None:
    lost = Finish("r", "t", Outcome(0, "web1", "lost", {}, None, 1.0, 2.0, "w"), None, "", "lost").arguments()
    for one in (
        start("web1", budgets=(Budget("slots", 1),)),
        finish("web1", variables=(("x", b"@0:web1"),)),
        finish("web1", ended="failed"),
        finish("web1", once=True),
        finish("web1", additions=b"sealed"),
        lost,
    ):
        (pack,) = packs([one, one])
        assert (pack.call[0], pack.count, pack.alike) == ("many", 2, False)
    assert [pack.call for pack in packs([("move", "run", "a", "b")] * 2)] == [("move", "run", "a", "b")] * 2


def test_a_host_step_that_comes_twice_keeps_its_place() -> None:
    # A call for many that was mixed is made anew behind the batch: none of its own must have been there before.
    whole = packs([finish("web1"), finish("web2"), finish("web1")])
    assert [(pack.call[0], pack.count, pack.alike) for pack in whole] == [("many", 3, False)]
    mostly = packs([start("web1"), start("web2"), finish("web1", ended="failed"), start("web3"), start("web3")])
    assert [(pack.call[0], pack.count) for pack in mostly] == [("many", 5)]


def test_nothing_changes_places() -> None:
    batch = [start("web1"), finish("web1"), ("move", "run", "a", "b"), start("web2"), start("web3")]
    assert [(pack.call[0], pack.count) for pack in packs(batch)] == [("many", 2), ("move", 1), ("starts", 2)]
