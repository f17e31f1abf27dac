"""The table of ``runs`` and the page of ``show``."""

from __future__ import annotations

import datetime

from opsrunner.ledger.records import Outcome, RunRecord
from opsrunner.output.tables import run_lines, runs_table
from tests.unit.output.samples import BEGAN, WEB, outcome, play, record, stats_of, step


def shown(
    run: RunRecord, outcomes: list[Outcome], *, verbosity: int = 0, at_work: dict[int, list[str]] | None = None
) -> list[str]:
    stats = stats_of(run, outcomes)
    lines = run_lines(run, outcomes, stats, at_work or {}, now=BEGAN + 5, verbosity=verbosity, zone=datetime.UTC)
    return [line for line, _ in lines]


def test_the_table_of_runs() -> None:
    going = record(play(step(0)), id="r2", status="running", exit_code=None, finished=None, title="a\x1b" + "b" * 80)
    waiting = record(
        play(step(0)), id="r3", status="submitted", exit_code=None, started=None, finished=None, check=True
    )
    rows = [line for line, _ in runs_table([waiting, going, record(play(step(0)))], BEGAN + 90, datetime.UTC)]
    assert rows == [
        "RUN                 WHEN                 STATUS     EXIT  HOSTS        TOOK  WHAT",
        "r3                  2026-01-02 03:04:04  submitted            3              p.yml (check mode)",
        "r2                  2026-01-02 03:04:04  running              3  1 min 30 s  a\\x1b" + "b" * 44 + "…",
        "260102-030405-abcd  2026-01-02 03:04:04  succeeded     0      3      2.00 s  p.yml",
    ]


def test_a_whole_run() -> None:
    run = record(play(step(0, "look"), step(1, "mend"), step(2, "reload", handler=True)), status="failed", exit_code=2)
    outcomes = [
        *(outcome(0, host) for host in WEB),
        outcome(1, "web01", "changed"),
        *(outcome(1, host, "failed", msg="no") for host in WEB[1:]),
        outcome(2, "web01", "changed"),
    ]
    lines = shown(run, outcomes)
    assert lines[:9] == [
        f"run {run.id} · p.yml · failed",
        "  by ann@desk · 3 hosts · 2026-01-02 03:04:05 · 2.00 s",
        "play first · web[01-03] (3)",
        "    0 look: ok web[01-03] (3)",
        "    1 mend:",
        "        changed web01",
        "        failed web[02-03] (2):",
        "          no",
        "    2 handler reload: changed web01",
    ]
    assert lines[-3:] == [
        "accounted for: 3 hosts × 3 steps = 9: 7 recorded (3 ok, 2 changed, 2 failed), "
        "2 not reached (2 after a failure)",
        "failed in 2.00 s, exit code 2: web[02-03] (2) failed",
        f"more: opsrunner show {run.id} · opsrunner logs {run.id} --host web02",
    ]


def test_a_step_where_all_failed_alike_names_them_once() -> None:
    run = record(play(step(0, "mend")), status="failed", exit_code=2)
    lines = shown(run, [outcome(0, host, "failed", msg="no") for host in WEB])
    assert lines[3:5] == ["    0 mend: failed web[01-03] (3)", "          no"]
    lines = shown(run, [outcome(0, host, "failed", msg=f"no {host}") for host in WEB[:2]])
    assert lines[3:8] == [
        "    0 mend: failed web[01-02] (2)",
        "        failed web01:",
        "          no web01",
        "        failed web02:",
        "          no web02",
    ]


def test_a_run_that_goes_on_tells_who_is_at_work() -> None:
    run = record(play(step(0, "look"), step(1, "mend")), status="running", exit_code=None, finished=None)
    lines = shown(run, [outcome(0, "web01")], at_work={0: ["web02", "web03"], 1: ["web01"]})
    assert lines[3:7] == [
        "    0 look: ok web01",
        "        at work web[02-03] (2)",
        "    1 mend:",
        "        at work web01",
    ]
    assert "5.00 s" in lines[1]


def test_verbose_shows_output_and_steps_of_nobody() -> None:
    run = record(play(step(0, "look"), step(1, "reload", handler=True)))
    lines = shown(run, [outcome(0, host, stdout="up") for host in WEB], verbosity=1)
    assert lines[3:7] == [
        "    0 look: ok web[01-03] (3)",
        "        web[01-03] (3):",
        "          up",
        "    1 handler reload: nobody",
    ]
