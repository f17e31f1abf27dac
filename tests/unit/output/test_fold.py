"""Equal outputs and their hosts, together."""

from __future__ import annotations

import time

from opsrunner.ledger.records import Outcome
from opsrunner.output import exec_blocks, wording
from opsrunner.output.fold import group_by_text, label, named, nameless


def test_a_label_counts_several() -> None:
    assert label(["web1"]) == "web1"
    assert label(["web1", "web2", "web2"]) == "web[1-2] (2)"


def test_equal_texts_are_grouped_biggest_first() -> None:
    items = [("web1", "b"), ("web10", "a"), ("web2", "a"), ("web3", "c")]
    assert list(group_by_text(items, str)) == [(["web2", "web10"], "a"), (["web1"], "b"), (["web3"], "c")]


def test_a_name_is_left_out_where_it_stands_by_itself() -> None:
    assert nameless("web1: no web10, no xweb1, no web1.example.org; web1.", "web1").count("\0") == 2
    assert named(nameless("no address of web1", "web1"), ["web1"]) == "no address of web1"
    assert named(nameless("no address of web1", "web1"), ["web1", "web2"]) == "no address of HOST"


def test_hosts_that_were_not_reached_stand_together_whatever_they_are_called() -> None:
    def unknown(host: str) -> Outcome:
        return Outcome(0, host, "unreachable", {"msg": f"no address of {host}", "remedy": "look"})

    def refused(host: str) -> Outcome:
        return Outcome(0, host, "failed", {"rc": 1, "stderr": f"{host}: no"})

    hosts = [unknown("web1"), unknown("web2"), unknown("web3")]
    assert wording.failures(hosts) == [("unreachable", "web[1-3] (3)", "no address of HOST\ntry: look")]
    assert wording.failures(hosts[:1]) == [("unreachable", "web1", "no address of web1\ntry: look")]
    assert [line for line, _ in exec_blocks.folded([*hosts, refused("db1"), refused("db2")])] == [
        "── web[1-3] (3) ── unreachable: no address of HOST",
        "try: look",
        "── db1 ── failed: rc 1",
        "stderr: db1: no",
        "── db2 ── failed: rc 1",
        "stderr: db2: no",
    ]


def test_thousands_of_hosts_with_large_texts_stay_cheap() -> None:
    text = "x" * 100_000
    begun = time.process_time()
    # Every host's text is a copy of its own: 1 GB altogether if they were kept.
    items = ((f"web{number}", number % 2) for number in range(10_000))
    groups = list(group_by_text(items, lambda number: text + str(number)))
    assert [(len(hosts), told[-1]) for hosts, told in groups] == [(5000, "0"), (5000, "1")]
    assert time.process_time() - begun < 10
