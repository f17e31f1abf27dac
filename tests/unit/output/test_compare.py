"""Two runs side by side."""

from __future__ import annotations

from opsrunner.ledger.records import Outcome, RunRecord
from opsrunner.output.compare import compare, comparison_lines
from tests.unit.output.samples import WEB, outcome, play, record, step

BEFORE = record(play(step(0, "look"), step(1, "mend")), id="run1", status="failed")
AFTER = record(play(step(0, "look"), step(1, "mend")), id="run2")


def lines(old: list[Outcome], new: list[Outcome], *, before: RunRecord = BEFORE, after: RunRecord = AFTER) -> list[str]:
    found = compare(before, old, after, new)
    return [line for line, _ in comparison_lines(before, after, found)][2:]


def test_equal_runs() -> None:
    outcomes = [outcome(number, host, stdout="up") for number in (0, 1) for host in WEB]
    assert lines(outcomes, outcomes) == ["no difference"]
    assert compare(BEFORE, outcomes, AFTER, outcomes).same


def test_new_failures_with_their_reason_folded() -> None:
    old = [outcome(0, host, "changed") for host in WEB]
    new = [outcome(0, host, "failed", msg="disk full") for host in WEB]
    assert lines(old, new) == [
        "new failures",
        "  web[01-03] (3) in 'look': changed → failed",
        "      disk full",
    ]


def test_what_follows_from_a_new_failure_is_not_told_again() -> None:
    old = [outcome(number, "web01", "changed") for number in (0, 1)]
    assert lines(old, [outcome(0, "web01", "failed", msg="no")])[1:] == [
        "  web01 in 'look': changed → failed",
        "      no",
    ]


def test_recovered_hosts() -> None:
    old = [outcome(0, "web01", "unreachable", msg="no route"), outcome(0, "web02", "failed", "ignored")]
    new = [outcome(0, "web01"), outcome(1, "web01"), outcome(0, "web02")]
    assert lines(old, new) == [
        "recovered",
        "  web01 in 'look': unreachable → ok",
        "changed status",
        "  web02 in 'look': failed (ignored) → ok",
    ]


def test_one_that_still_fails_is_no_news() -> None:
    old = [outcome(0, "web01", "failed", msg="no"), outcome(0, "web02", "failed", msg="no")]
    new = [outcome(0, "web01", "failed", msg="no"), outcome(0, "web02", "failed", msg="other")]
    assert lines(old, new) == ["changed output", "  web02 in 'look'", "      @@ -1 +1 @@", "      -no", "      +other"]


def test_a_handler_that_ran_only_once() -> None:
    assert lines([], [outcome(1, "web02", "changed")]) == [
        "changed status",
        "  web02 in 'mend': not reached → changed",
    ]


def test_changed_output_is_a_difference() -> None:
    old = [outcome(0, host, stdout="a\nb\nc") for host in WEB]
    new = [outcome(0, host, stdout="a\nB\nc") for host in WEB]
    assert lines(old, new) == [
        "changed output",
        "  web[01-03] (3) in 'look'",
        "      @@ -1,3 +1,3 @@",
        "       a",
        "      -b",
        "      +B",
        "       c",
    ]


def test_an_edited_playbook_is_matched_by_names() -> None:
    after = record(play(step(0, "new"), step(1, "look"), step(2, "look")), id="run2")
    old = [outcome(0, "web01", stdout="x"), outcome(1, "web01")]
    new = [outcome(0, "web01"), outcome(1, "web01", stdout="x"), outcome(2, "web01")]
    assert lines(old, new, after=after) == [
        "steps only in run1: 'mend'",
        "steps only in run2: 'new', 'look' (2)",
    ]


def test_other_hosts_are_named() -> None:
    after = record(play(step(0, "look"), step(1, "mend"), hosts=("web03", "web04", "web05")), id="run2")
    assert lines([], [], after=after) == [
        "hosts only in run1: web[01-02] (2)",
        "hosts only in run2: web[04-05] (2)",
    ]


def test_two_ad_hoc_commands_compare_whatever_they_were() -> None:
    before = record(play(step(0, "uptime"), name="uptime"), id="run1", kind="exec")
    after = record(play(step(0, "uptime -p"), name="uptime -p"), id="run2", kind="exec")
    found = lines([outcome(0, "web01", stdout="1")], [outcome(0, "web01", stdout="2")], before=before, after=after)
    assert found[:2] == ["changed output", "  web01 in 'the command'"]


def test_a_long_difference_is_cut_and_says_so() -> None:
    old = [outcome(0, "web01", stdout="\n".join(f"a{n}" for n in range(100)))]
    new = [outcome(0, "web01", stdout="\n".join(f"b{n}" for n in range(100)))]
    assert lines(old, new)[-1] == "      [161 more lines]"
