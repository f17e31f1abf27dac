"""`opsrunner beat`, `celery beat` and `worker -B` against a real Redis and a real worker."""

from __future__ import annotations

import datetime
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from redis.exceptions import WatchError

from opsrunner.engine.access import open_store
from opsrunner.ledger import keys
from opsrunner.ledger.following import Ledger
from opsrunner.ledger.records import ENDED, RunRecord
from opsrunner.ledger.store import Store
from opsrunner.plan.model import Compiled
from opsrunner.schedule import start, states
from opsrunner.schedule.decide import Entry, State
from opsrunner.schedule.model import Schedule
from opsrunner.schedule.start import compile_schedule, take_step
from opsrunner.settings import Settings
from opsrunner.settings import load as load_settings
from tests.integration.schedule.plays import HOSTS, PLAY
from tests.integration.stack import Stack, wait_until

#: Many processes begin in turn, each of which a loaded machine takes its time for.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("beat")) as stack:
        stack.worker("one")
        yield stack


@pytest.fixture
def stack(served: Stack) -> Stack:
    """The shared servers; inventory, playbook and no schedule yet."""
    prepare(served)
    return served


def prepare(stack: Stack) -> None:
    stack.inventory(HOSTS)
    (stack.folder / "tick.yml").write_text(PLAY)
    for name in ("marks", "schedules.yml"):
        (stack.folder / name).unlink(missing_ok=True)


def schedules(stack: Stack, text: str) -> None:
    (stack.folder / "schedules.new").write_text(text)
    (stack.folder / "schedules.new").replace(stack.folder / "schedules.yml")


def entry(name: str, *lines: str, every: str = "2s") -> str:
    more = "".join(f"  {line}\n" for line in lines)
    return f"- name: {name}\n  every: {every}\n  playbook: tick.yml\n{more}"


@contextmanager
def beat(stack: Stack, name: str, *program: str, code: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """A scheduler in the background; it must end well, and without a traceback, on SIGTERM."""
    log = stack.folder / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *(program or ("opsrunner", "beat"))],
            cwd=stack.folder,
            env=stack.environment,
            stdout=out,
            stderr=out,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(150)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    assert process.returncode == code, log.read_text()
    assert "Traceback" not in log.read_text()


def said(stack: Stack, name: str) -> str:
    return (stack.folder / f"{name}.log").read_text()


def ledger(stack: Stack) -> Ledger:
    assert stack.redis
    return Ledger(stack.redis.client)


def history(stack: Stack, name: str) -> list[Entry]:
    """What became of its due times, oldest first."""
    return states.history(ledger(stack).redis, name, 1000)[::-1]


def dues(stack: Stack, name: str) -> dict[int, str]:
    """Due time in seconds → id of the run that was started, or recorded, for it."""
    return {int(entry.due): entry.run for entry in history(stack, name) if entry.what in ("started", "refused")}


def runs(stack: Stack, name: str) -> list[RunRecord]:
    return [run for run in ledger(stack).runs(1000) if run.schedule == name]


def ended(stack: Stack, name: str, count: int) -> bool:
    return sum(run.status in ENDED for run in runs(stack, name)) >= count


def settled(stack: Stack, name: str) -> list[RunRecord]:
    """Every run of the schedule, oldest first, once all have ended."""
    wait_until(lambda: ended(stack, name, len(runs(stack, name))), 150, f"the runs of {name} to end")
    return sorted(runs(stack, name), key=lambda run: run.created)


def marks(stack: Stack) -> list[str]:
    return (stack.folder / "marks").read_text().split()


def assert_once_per_due_time(stack: Stack, name: str, seconds: int) -> None:
    done = settled(stack, name)
    taken = dues(stack, name)
    times = sorted(taken)
    assert sorted(taken.values()) == sorted(run.id for run in done)
    assert {later - earlier for earlier, later in pairwise(times)} == {seconds}, "a due time was left out"
    assert all(moment % seconds == 0 for moment in times)
    by_id = {run.id: run for run in done}
    assert all(moment <= by_id[run].created for moment, run in taken.items())
    assert len(taken) == len(history(stack, name)), "a due time was decided twice"
    assert {run.status for run in done} == {"succeeded"}
    assert {(run.user, run.title) for run in done} == {(f"schedule {name}", "tick.yml")}
    assert sorted(marks(stack)) == sorted(["here1", "here2"] * len(done))


def test_runs_start_at_their_times_once_each(stack: Stack) -> None:
    schedules(stack, entry("tick", "overlap: allow"))
    with beat(stack, "beat"):
        wait_until(lambda: ended(stack, "tick", 3), 150, "three runs")
    assert_once_per_due_time(stack, "tick", 2)
    assert "1 schedules from schedules.yml" in said(stack, "beat")


def test_of_two_beats_one_leads_and_when_it_dies_the_other_starts_what_it_left(stack: Stack) -> None:
    schedules(stack, entry("pair", "overlap: allow"))
    with beat(stack, "left", code=-signal.SIGKILL) as left:
        wait_until(lambda: ended(stack, "pair", 1), 150, "the first run")
        with beat(stack, "right"):
            wait_until(lambda: "schedules from" in said(stack, "right"), 150, "the second beat")
            wait_until(lambda: ended(stack, "pair", 2), 150, "a run while both are there")
            # At whatever moment: due time and run are stored in one transaction.
            left.kill()
            left.wait()
            reached = len(runs(stack, "pair"))
            wait_until(lambda: ended(stack, "pair", reached + 3), 150, "three runs by the second beat")
            assert "this beat leads" in said(stack, "right")
    assert_once_per_due_time(stack, "pair", 2)


def test_celery_beat_is_the_same_scheduler(stack: Stack) -> None:
    schedules(stack, entry("plain", "overlap: allow"))
    with beat(stack, "celery", "celery", "-A", "opsrunner", "beat", "-l", "INFO", "--pidfile="):
        wait_until(lambda: ended(stack, "plain", 2), 150, "two runs")
    assert_once_per_due_time(stack, "plain", 2)


def test_a_celery_worker_with_beat_inside(stack: Stack) -> None:
    schedules(stack, entry("inside", "overlap: allow", "vars: {opsrunner_zone: inner}"))
    environment = dict(stack.environment)
    stack.environment |= {"OPSRUNNER_WORKER_NAME": "inside", "OPSRUNNER_ZONES": "inner"}
    try:
        with beat(stack, "inside", "celery", "-A", "opsrunner", "worker", "-B", "-l", "INFO"):
            wait_until(lambda: ended(stack, "inside", 2), 150, "two runs")
            # Ended before its worker, or the last run waits for a worker of its zone for ever.
            schedules(stack, "[]\n")
            wait_until(lambda: "0 schedules from" in said(stack, "inside"), 150, "the schedule to be gone")
            settled(stack, "inside")
    finally:
        stack.environment.clear()
        stack.environment.update(environment)
    assert_once_per_due_time(stack, "inside", 2)


@pytest.mark.parametrize("program", [("opsrunner", "beat"), ("celery", "-A", "opsrunner", "beat")])
def test_a_broken_file_is_told_with_its_place(stack: Stack, program: tuple[str, ...]) -> None:
    schedules(stack, "- name: tick\n  every: soon\n  playbok: tick.yml\n")
    with beat(stack, "broken", *program, code=65) as process:
        process.wait(150)
    text = said(stack, "broken")
    assert "schedules.yml:2:10: every 'soon' is no time" in text
    assert "schedules.yml:3:3: unknown key 'playbok'" in text
    assert "did you mean playbook?" in text


def test_a_playbook_that_does_not_compile_is_seen_as_a_failed_run(stack: Stack) -> None:
    (stack.folder / "bad.yml").write_text("- hosts: all\n  tasks:\n    - comand: ls\n")
    schedules(stack, entry("bad").replace("tick.yml", "bad.yml"))
    with beat(stack, "bad"):
        wait_until(lambda: ended(stack, "bad", 2), 150, "two failed runs")
    first = settled(stack, "bad")[0]
    assert (first.status, first.exit_code, first.title) == ("failed", 65, "bad.yml")
    assert "bad.yml:3:7" in str(first.reason)
    assert "comand" in str(first.reason)
    assert "bad.yml:3:7" in said(stack, "bad")
    assert sorted(dues(stack, "bad").values()) == sorted(run.id for run in runs(stack, "bad"))
    # Nobody waits for a run that never began.
    document = json.loads(stack.opsrunner("watch", first.id, "--output", "json", code=65).stdout)
    assert document["plays"] == []
    assert "bad.yml:3:7" in stack.opsrunner("watch", first.id, "--output", "plain", code=65).stdout


def test_a_due_time_is_skipped_while_the_last_run_goes_on_and_that_run_says_so(stack: Stack) -> None:
    schedules(stack, entry("slow", "vars: {pause: 4}", every="1s"))
    with beat(stack, "slow"):
        wait_until(lambda: ended(stack, "slow", 2), 150, "two runs")
    done = settled(stack, "slow")
    assert all(earlier.finished <= later.created for earlier, later in pairwise(done))  # type: ignore[operator]
    skipped = [entry for entry in history(stack, "slow") if entry.what == "skipped"]
    assert {entry.run for entry in skipped} <= {run.id for run in done}
    assert skipped[0].why == f"run {done[0].id} goes on"
    notices = [event.data["text"] for event in ledger(stack).follow(done[0].id) if event and event.kind == "notice"]
    assert "slow was due again at" in notices[0]
    assert notices[0].endswith("while this run goes on: skipped")


def test_a_changed_file_counts_and_a_broken_one_does_not(stack: Stack) -> None:
    with beat(stack, "change"):
        wait_until(lambda: "0 schedules from" in said(stack, "change"), 150, "the start without a file")
        schedules(stack, entry("first", every="1s"))
        wait_until(lambda: runs(stack, "first"), 150, "the first schedule")
        schedules(stack, entry("first", every="soon"))
        wait_until(lambda: "is broken, the schedules stay" in said(stack, "change"), 150, "the fault to be told")
        assert "schedules.yml:2:10" in said(stack, "change")
        reached = len(runs(stack, "first"))
        wait_until(lambda: len(runs(stack, "first")) > reached, 150, "the first schedule to go on")
        schedules(stack, entry("second", every="1s"))
        wait_until(lambda: runs(stack, "second"), 150, "the second schedule")
        reached = len(settled(stack, "first"))
        wait_until(lambda: len(runs(stack, "second")) > 3, 150, "the second schedule to go on")
        assert len(runs(stack, "first")) == reached
    settled(stack, "second")


def test_redis_away_at_a_due_time_makes_it_late_and_no_more(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack:
        prepare(stack)
        stack.worker("one")
        schedules(stack, entry("late", "overlap: allow"))
        with beat(stack, "late"):
            wait_until(lambda: runs(stack, "late"), 150, "a first run")
            assert stack.redis
            stack.redis.stop()
            wait_until(lambda: "wait for Redis" in said(stack, "late"), 150, "a due time without Redis")
            stack.redis.start()
            reached = len(runs(stack, "late"))
            wait_until(lambda: ended(stack, "late", reached + 2), 150, "the runs to go on")
        assert_once_per_due_time(stack, "late", 2)


def test_without_a_broker_the_embedded_server_carries_it(tmp_path: Path) -> None:
    with Stack(tmp_path, embedded=True) as stack:
        prepare(stack)
        schedules(stack, entry("alone"))
        with beat(stack, "alone"):
            wait_until(lambda: (stack.folder / "marks").exists() and len(marks(stack)) >= 4, 150, "two runs")
        stack.opsrunner("watch", "last")


def test_whoever_dies_while_it_starts_a_run_leaves_the_due_time_to_others(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule, store, settings = due_schedule(stack, monkeypatch, "orphan")

    def die() -> Compiled:
        raise SystemExit

    with pytest.raises(SystemExit):
        take_step(schedule, store, settings, prepare=die)
    assert not runs(stack, "orphan")
    assert take_step(schedule, store, settings)
    (run,) = settled(stack, "orphan")
    assert take_step(schedule, store, settings) is None
    assert [(entry.what, entry.run) for entry in history(stack, "orphan")] == [("started", run.id)]
    assert sorted(marks(stack)) == ["here1", "here2"]


def test_of_two_that_start_the_same_due_time_one_does(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule, store, settings = due_schedule(stack, monkeypatch, "twice")

    def overtaken() -> Compiled:
        assert take_step(schedule, store, settings)
        return compile_schedule(schedule, settings)

    with pytest.raises(WatchError):
        take_step(schedule, store, settings, prepare=overtaken)
    assert len(settled(stack, "twice")) == 1


def test_one_that_is_paused_while_it_is_started_is_not(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule, store, settings = due_schedule(stack, monkeypatch, "held")

    def paused() -> Compiled:
        states.write_pause(store.redis, "held", "me", store.now())
        return compile_schedule(schedule, settings)

    with pytest.raises(WatchError):
        take_step(schedule, store, settings, prepare=paused)
    while take_step(schedule, store, settings):
        pass
    assert not runs(stack, "held")


def test_without_a_worker_of_the_zone_nothing_lies_in_wait(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "WORKER_WITHIN", 0.1)
    schedule, store, settings = due_schedule(stack, monkeypatch, "zoneless", opsrunner_zone="nowhere")
    assert take_step(schedule, store, settings)
    (run,) = runs(stack, "zoneless")
    assert (run.status, run.exit_code) == ("failed", 69)
    assert "no live worker for zone nowhere" in str(run.reason)
    assert history(stack, "zoneless")[0].run == run.id


def test_what_nobody_started_in_time_is_a_failed_run(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule, store, settings = due_schedule(stack, monkeypatch, "late", ago=86400)
    assert take_step(schedule, store, settings)
    (run,) = runs(stack, "late")
    assert (run.status, run.exit_code, run.plays) == ("failed", 69, ())
    assert "times from" in str(run.reason)
    assert "nobody started it in time" in str(run.reason)
    assert history(stack, "late")[0].count > 1400


def test_a_state_that_cannot_be_read_is_told_and_nothing_is_started(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule, store, settings = due_schedule(stack, monkeypatch, "broken")
    store.redis.hset(keys.schedule("broken"), "seen", "yesterday")
    assert take_step(schedule, store, settings) is None
    assert "the state of schedule broken cannot be read" in states.read_state(store.redis, "broken").paused


def due_schedule(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, name: str, *, ago: float = 60.0, **variables: str
) -> tuple[Schedule, Store, Settings]:
    """A schedule that is due every minute, the last time was looked at it ``ago`` seconds ago; and no beat."""
    monkeypatch.chdir(stack.folder)
    settings = load_settings(stack.environment, stack.folder)
    store = open_store(ledger(stack), settings)
    schedule = Schedule(name, Path("tick.yml"), every=60, vars=variables)
    states.write_state(store.redis, name, State(), State(timing=schedule.timing, seen=store.now() - ago))
    return schedule, store, settings


# ---------------------------------------------------------------------- verbs
#: At a time that no change of the clock skips.
NIGHTLY = '- name: nightly\n  cron: "30 4 * * *"\n  timezone: Europe/Berlin\n  playbook: tick.yml\n  limit: here1\n'


def test_list_shows_when_and_what(stack: Stack) -> None:
    schedules(stack, NIGHTLY + entry("often", "paused: true", every="15m"))
    assert stack.redis
    stack.redis.client.delete(keys.BEATS)  # of a beat of another test that could not give its lease back
    done = stack.opsrunner("schedule", "list")
    nightly, upcoming, often, paused = done.stdout.splitlines()
    assert nightly == "nightly  30 4 * * *  Europe/Berlin  tick.yml --limit here1"
    assert upcoming.count(" 04:30:00+0") == 3
    assert often == "often  every 15m  UTC  tick.yml"
    assert paused == "  paused in the file"
    assert "no beat runs" in done.stderr
    document = json.loads(stack.opsrunner("schedule", "list", "--output", "json").stdout)
    assert [one["name"] for one in document] == ["nightly", "often"]


def test_next_shows_times(stack: Stack) -> None:
    schedules(stack, NIGHTLY + entry("often", every="15m"))
    assert len(stack.opsrunner("schedule", "next").stdout.splitlines()) == 6
    lines = stack.opsrunner("schedule", "next", "often", "-n", "4").stdout.splitlines()
    times = [datetime.datetime.fromisoformat(line.split("  ")[1]) for line in lines]
    assert {(later - earlier).total_seconds() for earlier, later in pairwise(times)} == {900}
    assert "did you mean nightly?" in stack.opsrunner("schedule", "next", "nightlie", code=65).stderr


def test_run_starts_one_by_hand(stack: Stack) -> None:
    schedules(stack, NIGHTLY)
    document = json.loads(stack.opsrunner("schedule", "run", "nightly", "--output", "json").stdout)
    assert list(document["stats"]) == ["here1"]
    (run,) = runs(stack, "nightly")
    assert "@" in run.user
    detached = stack.opsrunner("schedule", "run", "nightly", "--detach").stdout.strip()
    assert stack.opsrunner("watch", detached).returncode == 0
    newest, oldest = stack.opsrunner("schedule", "history", "nightly").stdout.splitlines()
    assert newest.endswith(f"run {detached}")
    assert "  succeeded  " in oldest
    assert f"by {run.user}" in oldest
    listed = json.loads(stack.opsrunner("runs", "--schedule", "nightly", "--output", "json").stdout)
    assert [one["run"] for one in listed] == [detached, run.id]
    assert "no difference" in stack.opsrunner("schedule", "diff", "nightly").stdout
    assert f"run {detached}" in stack.opsrunner("schedule", "show", "nightly").stdout
    assert "did you mean nightly?" in stack.opsrunner("schedule", "run", "nightli", code=65).stderr
    schedules(stack, NIGHTLY + "  vars: {opsrunner_zone: nowhere}\n")
    assert "zone nowhere: here1" in stack.opsrunner("schedule", "run", "nightly", code=69).stderr


def test_verbs_tell_a_broken_or_missing_file(stack: Stack) -> None:
    assert "no schedules.yml here" in stack.opsrunner("schedule", "list", code=65).stderr
    schedules(stack, "- name: x\n")
    assert "schedules.yml:1:3" in stack.opsrunner("schedule", "list", code=65).stderr
