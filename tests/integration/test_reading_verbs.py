"""runs, show, logs, report and diff on a real Redis that holds runs written with the ledger's own means."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from opsrunner.cli import context, main
from opsrunner.ledger import keys
from opsrunner.ledger.encoding import encode_event, encode_outcome, encode_terminal
from opsrunner.ledger.following import Ledger
from opsrunner.ledger.records import Outcome, PlayOutline, StepOutline
from opsrunner.ledger.results import encode_result
from opsrunner.ledger.sealing import Sealer
from opsrunner.ledger.store import Store
from tests.integration.stack import Redis

HOSTS = ("web1", "web2", "web3")
PLAY = PlayOutline(
    0,
    "site",
    HOSTS,
    (3,),
    (
        StepOutline(0, "look", "command", "p.yml:3:5"),
        StepOutline(1, "mend", "shell", "p.yml:4:5"),
        StepOutline(2, "reload", "command", "p.yml:9:5", "handlers", True),
    ),
)
Type = Callable[..., str]


def outcome(step: int, host: str, status: str, **result: Any) -> Outcome:
    return Outcome(step, host, status, result, None, 10.0 + step, 10.5 + step, "w1")  # type: ignore[arg-type]


def write(redis: Redis, run_id: str, outcomes: list[Outcome], *, ended: Mapping[str, Any] | None = None) -> Store:
    """A run as workers leave it; without ``ended`` it still goes on."""
    store = Store(redis.client, Sealer(b"k" * 32))
    store.create_run(run_id, {"title": "p.yml", "kind": "playbook", "user": "me@here"}, [PLAY], b"", {})
    for one in outcomes:
        redis.client.hset(keys.steps(run_id, one.step), one.host, encode_terminal(one))
        redis.client.hset(keys.results(run_id, one.step), one.host, encode_result(one.result))
        store.publish(run_id, "outcome", encode_outcome(one))
    redis.client.hset(keys.run(run_id), mapping={"status": "running", "started": 10.0})
    if ended:
        redis.client.hset(keys.run(run_id), mapping={"finished": 12.0, **ended})
        store.publish(run_id, "run_finished", encode_event(**ended))
    return store


@pytest.fixture(scope="module")
def redis(server: Redis) -> Redis:
    """It holds three runs: a good one, a poor one, and one that goes on."""
    write(
        server,
        "260101-000000-good",
        [outcome(step, host, "changed", stdout=f"fine {step}", rc=0) for step in (0, 1) for host in HOSTS],
        ended={"status": "succeeded", "exit_code": 0},
    )
    write(
        server,
        "260102-000000-poor",
        [
            *(outcome(0, host, "changed", stdout="fine 0", rc=0) for host in HOSTS),
            outcome(1, "web1", "changed", stdout="better", rc=0),
            outcome(1, "web2", "failed", msg="non-zero return code", stderr="no space", rc=3),
            outcome(1, "web3", "lost", msg="the worker died"),
            outcome(2, "web1", "changed"),
        ],
        ended={"status": "failed", "exit_code": 10},
    )
    store = write(server, "260103-000000-open", [outcome(0, "web1", "changed", stdout="fine 0", rc=0)])
    for run_id, step, hosts in (("260102-000000-poor", 1, ("web3",)), ("260103-000000-open", 0, ("web2", "web3"))):
        for text in ("so ", "far\n"):
            for host in hosts:
                store.publish(run_id, "output", encode_event(step=step, host=host, stream="stdout", text=text))
    for host in ("web2", "web3"):
        server.client.hset(keys.steps("260103-000000-open", 0), host, "R|t|b|10.0")
    return server


@pytest.fixture
def type_(redis: Redis, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """Type a verb; gives what it printed on stdout, its exit code must be 0 unless said otherwise."""
    monkeypatch.setattr(context, "open_ledger", lambda worker=False: Ledger(redis.client))

    def typed(*words: str, code: int = 0, stderr: bool = False) -> str:
        capsys.readouterr()
        assert main.run(words) == code
        done = capsys.readouterr()
        return done.err if stderr else done.out

    return typed


def test_redis_is_asked_for_texts(type_: Type) -> None:
    assert "'night\\udcff' is no UTF-8" in type_("runs", "--schedule", "night\udcff", code=64, stderr=True)


def test_what_is_shown_as_json(type_: Type) -> None:
    assert type_("runs", "-n", "1", "--json") == type_("runs", "--limit", "1", "--output", "json")
    assert type_("show", "last", "--json") == type_("show", "last", "--output", "json")


def test_runs_newest_first(type_: Type) -> None:
    lines = type_("runs").splitlines()
    assert [line.split()[0] for line in lines] == [
        "RUN",
        "260103-000000-open",
        "260102-000000-poor",
        "260101-000000-good",
    ]
    [newest] = json.loads(type_("runs", "--limit", "1", "--output", "json"))
    assert (newest["run"], newest["status"], newest["exit_code"]) == ("260103-000000-open", "running", None)


def test_show_adds_up(type_: Type) -> None:
    text = type_("show", "260102")
    assert "    0 look: changed web[1-3] (3)" in text
    assert "        failed web2:\n          non-zero return code (rc 3)\n          no space\n" in text
    assert "        lost web3:\n          the worker died\n" in text
    assert (
        "accounted for: 3 hosts × 3 steps = 9: 7 recorded (5 changed, 1 failed, 1 lost), "
        "2 not reached (1 after a failure, 1 after a command was lost)\n"
    ) in text


def test_show_of_a_run_that_goes_on(type_: Type) -> None:
    text = type_("show", "last")
    assert "        at work web[2-3] (2)" in text
    assert "8 not reached (8 not yet)" in text


def test_show_as_a_document(type_: Type) -> None:
    found = json.loads(type_("show", "260102", "--output", "json"))
    assert found["plays"][0]["tasks"][1]["hosts"]["web2"]["rc"] == 3
    assert found["stats"]["web3"]["lost"] == 1


def test_logs_fold_equal_outputs_and_show_what_a_lost_step_printed(type_: Type) -> None:
    assert type_("logs", "260102").splitlines() == [
        "step 0 · look",
        "── web[1-3] (3) ──",
        "fine 0",
        "step 1 · mend",
        "── web1 ──",
        "better",
        "── web2 ── failed: rc 3",
        "stderr: no space",
        "── web3 ── lost: the worker died",
        "── web3 ── lost, printed before",
        "so far",
        "step 2 · reload",
        "── web1 ── no output",
    ]


def test_logs_of_some_hosts_or_one_step(type_: Type) -> None:
    assert type_("logs", "260102", "--host", "web2").splitlines() == [
        "step 0 · look",
        "── web2 ──",
        "fine 0",
        "step 1 · mend",
        "── web2 ── failed: rc 3",
        "stderr: no space",
    ]
    assert type_("logs", "260101", "--host", "web[1-2]", "--step", "1").splitlines() == ["── web[1-2] (2) ──", "fine 1"]
    lines = type_("logs", "260101", "--no-fold", "--step", "1").splitlines()
    assert lines == ["web1: fine 1", "web2: fine 1", "web3: fine 1"]
    assert "did you mean" in type_("logs", "260101", "--host", "web", code=65, stderr=True)


def test_logs_of_steps_that_still_run(type_: Type) -> None:
    assert type_("logs", "last").splitlines() == [
        "step 0 · look",
        "── web1 ──",
        "fine 0",
        "── web[2-3] (2) ── at work, printed so far",
        "so far",
    ]


def test_logs_follow_to_the_end(type_: Type) -> None:
    lines = type_("logs", "260101", "--follow", "--host", "web1").splitlines()
    assert lines == ["web1: fine 0", "web1: fine 1"]


def test_live_outputs_of_many_hosts_in_one_pass(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    # So that the pass needs several pages.
    monkeypatch.setattr("opsrunner.ledger.reader.ENTRIES_AT_ONCE", 2)
    ledger = Ledger(redis.client)
    assert ledger.live_outputs("260103-000000-open", 0, ("web1", "web2", "web3")) == {
        "web1": "",
        "web2": "so far\n",
        "web3": "so far\n",
    }
    assert ledger.live_output("260103-000000-open", 0, "web3") == "so far\n"


def test_diff_tells_only_what_changed(type_: Type) -> None:
    assert type_("diff", "260101", "260102").splitlines() == [
        "--- 260101-000000-good · p.yml · succeeded",
        "+++ 260102-000000-poor · p.yml · failed",
        "new failures",
        "  web2 in 'mend': changed → failed",
        "      non-zero return code (rc 3)",
        "      no space",
        "  web3 in 'mend': changed → lost",
        "      the worker died",
        "changed status",
        "  web1 in 'reload': not reached → changed",
        "changed output",
        "  web1 in 'mend'",
        "      @@ -1 +1 @@",
        "      -fine 1",
        "      +better",
    ]
    assert type_("diff", "260102", "260101").splitlines()[2:5] == [
        "recovered",
        "  web2 in 'mend': failed → changed",
        "  web3 in 'mend': lost → changed",
    ]


def test_report_writes_each_file(type_: Type, tmp_path: Path) -> None:
    page, xml, data = (tmp_path / name for name in ("run.html", "run.xml", "run.json"))
    told = type_("report", "260102", "--html", str(page), "--junit", str(xml), "--json", str(data))
    assert told.splitlines() == [str(page), str(xml), str(data)]
    assert "no space" in page.read_text(encoding="utf-8")
    assert re.search(r'tests="7" failures="1" errors="1"', xml.read_text(encoding="utf-8"))
    assert json.loads(data.read_text(encoding="utf-8"))["exit_code"] == 10


def test_report_of_a_run_that_goes_on_says_so(type_: Type) -> None:
    assert "260103-000000-open is running" in type_("report", "last", "--junit", "-", stderr=True)


def test_a_run_nobody_knows(type_: Type) -> None:
    for verb in (("show", "x"), ("logs", "x"), ("watch", "x"), ("diff", "x", "last"), ("report", "x", "--html", "-")):
        assert "opsrunner runs" in type_(*verb, code=65, stderr=True)
    assert "3 runs begin with '26010'" in type_("show", "26010", code=65, stderr=True)
