"""What people read about many hosts, and about one outcome."""

from __future__ import annotations

import pytest

from opsrunner.ledger.records import empty_stats
from opsrunner.output import describe, wording
from tests.unit.output.samples import WEB, outcome, play, record, stats_of, step


def test_a_summary_tells_good_news_first() -> None:
    outcomes = [outcome(0, "web3", "failed"), outcome(0, "web2"), outcome(0, "web1", "changed"), outcome(0, "web4")]
    outcomes.append(outcome(0, "web5", "failed", "ignored"))
    assert wording.summary(outcomes) == [
        ("ok", "web[2,4] (2)"),
        ("changed", "web1"),
        ("failed (ignored)", "web5"),
        ("failed", "web3"),
    ]


def test_hosts_that_failed_alike_are_told_together() -> None:
    outcomes = [outcome(0, host, "failed", msg="no", rc=1, stderr="why\n") for host in WEB]
    outcomes += [outcome(0, "db1", "unreachable", msg="no route"), outcome(0, "db2", "changed")]
    assert wording.failures(outcomes) == [
        ("failed", "web[01-03] (3)", "no (rc 1)\nwhy"),
        ("unreachable", "db1", "no route"),
    ]


def test_the_recap_has_equal_hosts_in_one_line_with_ansibles_names() -> None:
    run = record(play(step(0), hosts=(*WEB, "db1")))
    rows = wording.recap(stats_of(run, [*(outcome(0, host, "changed") for host in WEB), outcome(0, "db1", "lost")]))
    assert [(hosts.strip(), words) for hosts, words, _ in rows] == [
        ("web[01-03] (3)", "ok=1  changed=1  unreachable=0  failed=0  skipped=0  rescued=0  ignored=0  lost=0"),
        ("db1", "ok=0  changed=0  unreachable=0  failed=0  skipped=0  rescued=0  ignored=0  lost=1"),
    ]


def test_the_end_names_the_hosts_that_set_the_exit_code() -> None:
    run = record(play(step(0)), status="failed", exit_code=6)
    stats = stats_of(run, [outcome(0, "web01"), outcome(0, "web02", "failed"), outcome(0, "web03", "unreachable")])
    assert wording.ending(run, stats) == [
        "failed in 2.00 s, exit code 6: web02 failed; web03 unreachable",
        f"more: opsrunner show {run.id} · opsrunner logs {run.id} --host web02",
    ]
    assert wording.ending(record(play(step(0))), {"web01": empty_stats()}) == [
        "succeeded in 2.00 s, exit code 0: all good"
    ]


def test_a_run_that_goes_on_says_how_to_watch_it() -> None:
    run = record(play(step(0)), status="running", finished=None, exit_code=None)
    assert wording.ending(run, {}) == ["running so far", f"more: opsrunner watch {run.id}"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.00 s"),
        (0.424, "0.42 s"),
        (9.999, "10 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7380, "2 h 03 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert wording.duration(seconds) == text


def test_a_failed_loop_names_its_items() -> None:
    results = [{"item": number, "failed": number != 1, "msg": f"no {number}"} for number in range(8)]
    text = describe.failure_text(outcome(0, "web1", "failed", results=results, msg="One or more items failed"))
    assert text.split("\n") == [
        *(f"item {number}: no {number}" for number in (0, 2, 3, 4, 5)),
        "and 2 more items",
    ]


def test_a_failure_shows_the_end_of_what_was_printed() -> None:
    text = describe.failure_text(outcome(0, "web1", "failed", rc=2, stderr="".join(f"{n}\n" for n in range(30))))
    assert text.split("\n") == ["rc 2", "[20 more lines above]", *map(str, range(20, 30))]


def test_what_was_censored_stays_so() -> None:
    hidden = {"censored": "hidden by no_log", "changed": True}
    assert describe.output_text(outcome(0, "web1", "changed", **hidden)) == "hidden by no_log"
    assert "hidden by no_log" in describe.failure_text(outcome(0, "web1", "failed", failed=True, **hidden))


def test_output_of_a_host_is_harmless_everywhere() -> None:
    evil = "\x1b[2J\x07"
    for text in (
        describe.output_text(outcome(0, "web1", stdout=evil, stderr=evil)),
        describe.output_text(outcome(0, "web1", msg=evil)),
        describe.failure_text(outcome(0, "web1", "failed", msg=evil, stderr=evil, remedy=evil)),
        describe.exec_failure(outcome(0, "web1", "failed", msg=evil, stdout=evil)),
        describe.diff_text({"diff": {"before": "", "after": evil}}),
        wording.heading((evil,)),
    ):
        assert r"\x1b" in text
        assert "\x1b" not in text


def test_differences_are_unified() -> None:
    result = {"diff": [{"before": "a\nb\n", "after": "a\nc", "before_header": "/etc/x", "after_header": "/etc/x new"}]}
    assert describe.diff_text(result).split("\n") == [
        "--- /etc/x",
        "+++ /etc/x new",
        "@@ -1,2 +1,2 @@",
        " a",
        "-b",
        "+c",
        "\\ No newline at end of file",
    ]
