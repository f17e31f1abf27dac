"""What the benchmark makes of its figures. That the figures themselves are good is never asserted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks import clients, documents, profiles, tables
from benchmarks.workloads import EVERYTHING, WORKLOADS

ROOT = Path(__file__).parents[2]
PAGE = documents.PAGE.read_text(encoding="utf-8")


def sample(wall: float, verified: int = 100, **others: float) -> dict[str, float]:
    figures = {"client": 1.0, "server": 2.0, "other": 0.5, "memory": 50.0, "stored": 0.0}
    return {"wall": wall, **figures, "processes": 1, "refused": 0, "verified": verified, **others}


def workload(steps: int = 1, **walls: list[dict[str, float]]) -> dict[str, Any]:
    return {"hosts": 100, "steps": steps, "samples": walls, "left_out": {}}


# ---------------------------------------------------------------------- tables
def test_a_row_tells_medians_and_what_a_host_step_costs() -> None:
    result = workload(10, opsrunner=[sample(5.0), sample(3.0, client=2.0), sample(4.0, verified=99)])
    (row,) = tables.rows_of(result)
    assert (row.wall, row.fastest, row.slowest, row.cpu, row.runs) == (4.0, 3.0, 5.0, 1.0, 3)
    assert row.cost == pytest.approx(1000)
    assert row.verified == 99


def test_the_best_peer_is_another_one_that_was_right_on_every_host() -> None:
    result = workload(
        **{"opsrunner": [sample(1.0)], "opsrunner, no ssh_shell": [sample(0.5)]},
        wrong=[sample(1.5), sample(1.5, verified=99)],
        slow=[sample(4.0)],
        fast=[sample(2.0)],
    )
    best = tables.best_peer(tables.rows_of(result), 100)
    assert best is not None and best.client == "fast"
    assert tables.best_peer(tables.rows_of(workload(opsrunner=[sample(1.0)])), 100) is None


def test_a_table_says_whose_output_was_wrong_and_who_ran_once() -> None:
    table = tables.workload_table(
        workload(opsrunner=[sample(1.0), sample(3.0)], wrong=[sample(8.0, verified=7)], peer=[sample(4.0)])
    )
    cells = {row[0]: row for row in table.rows}
    assert [row[0] for row in table.rows] == ["opsrunner", "peer", "wrong"]
    assert cells["opsrunner"][1:3] == ["2.00 s (1.00..3.00)", "0.50"]
    assert cells["peer"][1] == "4.00 s (once)"
    assert cells["wrong"][-1] == "7 of 100"
    assert table.markdown().splitlines()[1] == "| --- |" + " ---: |" * 7
    assert len({line.index("s (") > 0 for line in table.text().splitlines()[1:]}) == 1


@pytest.mark.parametrize(
    ("ours", "peer", "reached"), [(2.0, 2.0, True), (2.1, 2.0, False), (1.0, 0.5, False), (0.1, 9.0, True)]
)
def test_a_goal_is_told_by_its_ratio(ours: float, peer: float, reached: bool) -> None:
    (verdict,) = tables.workload_verdicts(WORKLOADS["W1"], workload(opsrunner=[sample(ours)], peer=[sample(peer)]))
    assert verdict.reached is reached
    assert f"{ours / peer:.2f} × peer" in str(verdict)


def test_a_goal_is_not_reached_where_our_own_output_was_wrong() -> None:
    result = workload(opsrunner=[sample(1.0, verified=99)], peer=[sample(2.0)])
    assert tables.workload_verdicts(WORKLOADS["W1"], result)[0].reached is False


def test_a_goal_against_one_peer_needs_that_one() -> None:
    others = {"opsrunner": [sample(3.0)], "asyncssh script": [sample(1.0)]}
    assert tables.workload_verdicts(WORKLOADS["W3"], workload(10, **others))[0].reached is None
    with_it = workload(10, **others, pyinfra=[sample(10.0)])
    assert tables.workload_verdicts(WORKLOADS["W3"], with_it)[0].reached is True


def test_the_memory_goal_leaves_out_what_is_stored() -> None:
    result = workload(opsrunner=[sample(1.0, memory=400.0, stored=200.0)], peer=[sample(2.0)])
    assert [verdict.figure for verdict in tables.workload_verdicts(WORKLOADS["W4"], result)] == [
        "0.50 × peer",
        "200 MB",
    ]


def control(hosts: int, microseconds: float, worker: float = 100.0) -> dict[str, float]:
    share = microseconds * hosts * 10 / 1e6 / 4
    parts = {"command line": share, "workers": 2 * share, "redis": share}
    return {"hosts": hosts, "steps": 10, "wall": 1.0, **parts, "worker MB": worker, "redis MB": 10.0}


def test_the_control_plane_is_flat_when_the_most_hosts_cost_no_more() -> None:
    runs = [control(100, 300), control(10_000, 100), control(10_000, 120), control(10_000, 140), control(100_000, 130)]
    rows = tables.control_rows(runs)
    assert [(row.hosts, round(row.cost)) for row in rows] == [(100, 300), (10_000, 120), (100_000, 130)]
    assert rows[0].parts["workers"] == pytest.approx(150)
    assert [verdict.reached for verdict in tables.control_verdicts(runs)] == [True, True, True]
    steep = [control(10_000, 100), control(100_000, 130, worker=1200)]
    assert [verdict.reached for verdict in tables.control_verdicts(steep)] == [True, False, False]
    assert tables.control_verdicts([control(100, 100)])[0].reached is None


def test_lines_of_growth_have_their_hosts_in_order_and_ours_first() -> None:
    result = {"clush": {"10": sample(1.0), "100": sample(3.0)}, "opsrunner": {"1000": sample(9.0), "30": sample(2.0)}}
    assert tables.growth_lines(result, "wall") == [
        ("opsrunner", [30, 1000], [2.0, 9.0]),
        ("clush", [10, 100], [1.0, 3.0]),
    ]
    assert tables.growth_table(result).rows[0] == ["clush", "1.0 s, 1.0 s", "", "3.0 s, 1.0 s", ""]
    cost, memory = tables.control_lines([control(100, 200), control(1000, 100, worker=300)])
    assert cost[0][:2] == ("all told", [100, 1000]) and cost[0][2] == pytest.approx([200, 100])
    assert memory[0] == ("a worker", [100, 1000], [100.0, 300.0])


def test_idle_and_start_are_told_with_their_goals() -> None:
    idle = {
        "connections": 1000,
        "worker before": 0.2,
        "redis before": 0.1,
        "worker": 0.3,
        "redis": 0.1,
        "kilobytes": 90.0,
    }
    assert [verdict.reached for verdict in tables.idle_verdicts(idle)] == [True, False]
    assert tables.idle_table(idle).rows[1] == ["1,000", "0.30 %", "0.10 %", "90 KB"]
    start = {"opsrunner --version": [(0.05, 0.04), (0.07, 0.06), (0.2, 0.05)], "ssh": [(0.01, 0.01)]}
    assert [verdict.reached for verdict in tables.start_verdicts(start)] == [True]
    assert tables.start_table(start).rows[0] == ["opsrunner --version", "70 ms (50..200)", "50 ms"]


# ---------------------------------------------------------------------- reading outputs
OURS = """\
recap
  127.1.0.[1-9] (9)  ok=10  changed=10  unreachable=0  failed=0  skipped=0  rescued=0  ignored=0
  127.1.0.10         ok=10  changed=10  unreachable=0  failed=0  skipped=0  rescued=0  ignored=0
  127.1.0.11         ok=4   changed=4   unreachable=0  failed=1  skipped=0  rescued=0  ignored=0
accounted for: 11 hosts × 10 steps = 110: {recorded} recorded (105 changed)
"""
PYINFRA = "".join(f"    step {number}    2    {2 - (number == 4)}    -    -\n" for number in range(10))
ANSIBLE = """\
127.1.0.1   : ok=10   changed=10   unreachable=0    failed=0    skipped=0    rescued=0    ignored=0
127.1.0.2   : ok=3    changed=3    unreachable=0    failed=1    skipped=0    rescued=0    ignored=0
"""


def test_outputs_are_compared_host_by_host() -> None:
    fold = clients.folded("opsok")
    assert fold("── 127.1.0.[1-9] (9) ──\nopsok\n── h10 ──\nopsok\n── h11 ──\nopsok?\n") == 10
    assert fold("── h1 ── failed: rc 1\nopsok\n") == 0
    assert clients.accounted(OURS.format(recorded=110)) == 10
    assert clients.accounted(OURS.format(recorded=109)) == 0
    assert clients.tabled(PYINFRA) == 1
    assert clients.tabled(PYINFRA.replace("step 9", "step x")) == 0
    assert clients.recapped(ANSIBLE) == 1
    assert clients.echoed("h1: opsok\n[h2] opsok\nran: /bin/echo opsok and more\n") == 2
    assert clients.filled("h1: " + "x" * 1_000_000 + "\nh2: " + "x" * 999_999) == 1
    assert clients.told("noise\nverified 12\n") == 12
    assert clients.told("Traceback") == 0


# ---------------------------------------------------------------------- profiles
def test_a_sample_belongs_to_the_innermost_function_of_ours() -> None:
    thread = "run (threading.py:9);carry (opsrunner/engine/carry.py:82)"
    stacks = (
        f"{thread};exec (opsrunner/ssh/host.py:5);send (paramiko/channel.py:1) 3",
        f"{thread};exec (opsrunner/ssh/host.py);wait (threading.py:1) 2",
        "run (threading.py:9);loop (celery/worker/loops.py:4);poll (selectors.py:2) 1",
        "",
    )
    assert profiles.costs(stacks) == {"opsrunner/ssh/host.py exec": 5, "celery/worker/loops.py": 1}
    kept = profiles.summary([("worker", 1.5)], profiles.costs(stacks))
    assert kept["rooms"][0] == ("opsrunner/ssh", pytest.approx(83.3, abs=0.1))
    assert tables.profile_table({"W1": kept}).rows == [
        ["W1", "83 %", "`opsrunner/ssh/host.py` exec"],
        ["", "17 %", "`celery/worker/loops.py`"],
    ]
    assert tables.profile_notes({"W1": kept})[0].startswith(
        "W1: CPU of worker 1.50 s; of the worker's, opsrunner/ssh 83 %"
    )


# ---------------------------------------------------------------------- the page
def test_the_page_has_a_part_for_everything_that_is_measured() -> None:
    assert sorted(documents.marked(PAGE)) == sorted(("machine", *EVERYTHING))
    assert set(re.findall(r"\bW\d+\b", PAGE)) <= set(EVERYTHING)


def test_the_page_says_what_its_figures_are() -> None:
    assert documents.rewritten(PAGE, documents.load(documents.RESULTS)) == PAGE, (
        "docs/performance.md: python benchmarks --from docs/performance.json --write-docs"
    )


def test_what_the_page_names_is_there() -> None:
    named = set(re.findall(r"`((?:benchmarks|docs)/[\w./]+)`", PAGE))
    assert named and all((ROOT / name).exists() for name in named)
    assert documents.PICTURE.read_bytes().startswith(b"\x89PNG")
    assert f"]({documents.PICTURE.relative_to(documents.DOCS).as_posix()})" in PAGE


def test_parts_that_were_not_measured_say_so() -> None:
    assert documents.part("W1", {}) == "Not measured yet.\n"
    result = workload(opsrunner=[sample(1.0)]) | {"left_out": {"clush": "no clush on PATH"}}
    assert "* clush is not there: no clush on PATH.\n" in documents.part("W1", {"W1": result})
