"""Equal outputs and their hosts, together."""

from __future__ import annotations

import time

from opsrunner.output.fold import group_by_text, label


def test_a_label_counts_several() -> None:
    assert label(["web1"]) == "web1"
    assert label(["web1", "web2", "web2"]) == "web[1-2] (2)"


def test_equal_texts_are_grouped_biggest_first() -> None:
    items = [("web1", "b"), ("web10", "a"), ("web2", "a"), ("web3", "c")]
    assert group_by_text(items) == [(["web2", "web10"], "a"), (["web1"], "b"), (["web3"], "c")]


def test_thousands_of_hosts_with_large_texts_stay_cheap() -> None:
    text = "x" * 100_000
    begun = time.process_time()
    # Every host's text is a copy of its own: 1 GB altogether if they were kept.
    groups = group_by_text((f"web{number}", text + str(number % 2)) for number in range(10_000))
    assert [len(hosts) for hosts, _ in groups] == [5000, 5000]
    assert time.process_time() - begun < 10
