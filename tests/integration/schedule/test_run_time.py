"""Schedules at run time: added, paused, taken away, following each other; and what a beat tells of itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from opsrunner.engine.access import open_store
from opsrunner.errors import InputError
from opsrunner.ledger import keys
from opsrunner.ledger.following import Ledger
from opsrunner.ledger.records import ENDED, RunRecord
from opsrunner.ledger.store import Store
from opsrunner.schedule import states, stored
from opsrunner.schedule.beats import Beat, group_of, leaders, leads, leave
from opsrunner.schedule.clock import Clock
from opsrunner.schedule.load import Contents, load_contents
from opsrunner.settings import load as load_settings
from tests.integration.stack import Stack, wait_until

HOSTS = "all: {hosts: {here1: {ansible_connection: local}}}\n"
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - name: mark
      shell: "exit {{ code | default(0) }}"
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("runtime")) as stack:
        stack.inventory(HOSTS)
        (stack.folder / "play.yml").write_text(PLAY)
        yield stack


@pytest.fixture
def store(stack: Stack) -> Store:
    """The ledger of the stack, with no schedule in it."""
    assert stack.redis
    for key in stack.redis.client.scan_iter(match=f"{keys.PREFIX}sched*", count=1000):
        stack.redis.client.delete(key)
    (stack.folder / "schedules.yml").unlink(missing_ok=True)
    return open_store(Ledger(stack.redis.client), load_settings(stack.environment, stack.folder))


def add(stack: Stack, store: Store, name: str, contents: Contents | None = None, **given: object) -> None:
    entry = {"name": name, "playbook": "play.yml", "inventory": "inventory", **given}
    stored.add(store, entry, stack.folder, contents or Contents())


def names(store: Store, contents: Contents | None = None) -> list[str]:
    return [schedule.name for schedule in stored.load(store, contents or Contents()).schedules]


def runs(store: Store, name: str) -> list[RunRecord]:
    """Newest first."""
    reader = Ledger(store.redis)
    return [run for run_id in states.run_ids(store.redis, name, 100) if (run := reader.run(run_id))]


# ---------------------------------------------------------------------- what is kept
def test_what_was_added_is_kept_sealed(stack: Stack, store: Store) -> None:
    add(stack, store, "kept", every="1h", vars={"password": "hunter2"}, tags=["a"])
    (schedule,) = stored.load(store, Contents()).schedules
    assert (schedule.name, schedule.every, schedule.vars["password"]) == ("kept", 3600, "hunter2")
    assert schedule.playbook == stack.folder / "play.yml"
    held = store.redis.hgetall(keys.SCHEDULES)
    assert all(b"hunter2" not in value for value in held.values())


def test_what_does_not_fit_is_not_added(stack: Stack, store: Store) -> None:
    (stack.folder / "schedules.yml").write_text("- {name: filed, every: 1h, playbook: play.yml}\n")
    contents = load_contents(stack.folder / "schedules.yml")
    add(stack, store, "kept", contents, every="1h")
    for name, given, why in (
        ("kept", {"every": "1h"}, "added at run time"),
        ("filed", {"every": "1h"}, "it stands in the file"),
        ("other", {"every": "soon"}, "is no time"),
        ("other", {"after": "gone"}, "there is no schedule 'gone'"),
        ("other", {"every": "1h", "vars": {"a": b"1"}}, "not JSON serializable"),
    ):
        with pytest.raises(InputError, match=why):
            add(stack, store, name, contents, **given)
    assert names(store, contents) == ["kept"]


def test_one_that_is_followed_is_not_taken_away(stack: Stack, store: Store) -> None:
    add(stack, store, "first", every="1h")
    add(stack, store, "second", after="first")
    with pytest.raises(InputError, match="followed by second"):
        stored.remove(store, "first", Contents())
    stored.remove(store, "second", Contents())
    stored.remove(store, "first", Contents())
    assert names(store) == []
    with pytest.raises(InputError, match="no schedule 'first'"):
        stored.remove(store, "first", Contents())


def test_a_name_that_the_file_takes_later_is_the_files(stack: Stack, store: Store) -> None:
    add(stack, store, "night", every="1h")
    (stack.folder / "schedules.yml").write_text("- {name: night, every: 2h, playbook: play.yml}\n")
    added = stored.load(store, load_contents(stack.folder / "schedules.yml"))
    assert added.schedules == ()
    assert "the file holds one of that name" in added.faults["night"]
    assert "added at run time, does not count" in stack.opsrunner("schedule", "list").stderr


def test_the_verbs(stack: Stack, store: Store) -> None:
    words = ("schedule", "add", "patch", "play.yml", "--cron", "0 3 * * Sat", "-i", "inventory")
    said = stack.opsrunner(*words, "--blackout", "2026-12-26", "-e", "password=hunter2", "--max-runtime", "2h")
    assert "patch added" in said.stdout
    assert "hunter2" not in stack.opsrunner("schedule", "show", "patch").stdout
    assert "there is a schedule 'patch' already" in stack.opsrunner(*words, code=65).stderr
    assert "nobody" in stack.opsrunner(*words[:2], "other", *words[3:], "-l", "nobody", code=65).stderr
    assert stack.opsrunner("schedule", "pause", "patch").stdout == "patch paused\n"
    shown = stack.opsrunner("schedule", "list").stdout
    assert "(added at run time)" in shown
    # By the schedule's own clock, as its other times: who reads it may live elsewhere.
    assert re.search(r"^  paused by \S+ since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00$", shown, re.MULTILINE)
    assert json.loads(stack.opsrunner("schedule", "list", "--output", "json").stdout)[0]["next"] == []
    assert stack.opsrunner("schedule", "resume", "patch").stdout == "patch goes on\n"
    assert stack.opsrunner("schedule", "rm", "patch").stdout == "patch removed\n"
    assert "no schedules.yml here" in stack.opsrunner("schedule", "list", code=65).stderr


# ---------------------------------------------------------------------- several beats
def test_beats_with_one_file_stand_in_for_each_other_and_another_file_has_its_own(
    stack: Stack, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stack.folder)
    settings = load_settings(stack.environment, stack.folder)
    (stack.folder / "schedules.yml").write_text("- {name: shared, every: 1h, playbook: play.yml}\n")
    (stack.folder / "other.yml").write_text(
        "- {name: shared, every: 2h, playbook: play.yml}\n- {name: own, every: 1h, playbook: play.yml}\n"
    )
    one, two = (Clock(settings, Path("schedules.yml")) for _ in range(2))
    other = Clock(replace(settings, schedules="other.yml"), Path("other.yml"))
    clocks = (one, two, other)
    for clock in clocks:
        clock.book.read()
    for clock in clocks * 3:
        clock.tick()
    try:
        assert {beat.names for beat in leaders(store.redis)} == {("shared",), ("shared", "own")}
        wait_until(lambda: states.read_state(store.redis, "own").timing, 150, "the other file's schedule")
        wait_until(lambda: states.read_state(store.redis, "shared").timing, 150, "the schedule of both")
        # Two that disagree on its times would begin it anew for ever.
        first = min((one, other), key=lambda clock: group_of(clock.book.file))
        (wanted,) = [schedule for schedule in first.book.schedules if schedule.name == "shared"]
        for clock in clocks * 3:
            clock.tick()
        assert states.read_state(store.redis, "shared").timing == wanted.timing
        one.close()
        assert ("shared",) not in {beat.names for beat in leaders(store.redis)}
        two.tick()
        assert ("shared",) in {beat.names for beat in leaders(store.redis)}
    finally:
        for clock in clocks:
            clock.close()


def test_what_the_leader_goes_by_is_told_while_there_is_one(
    stack: Stack, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(stack.folder)
    (stack.folder / "schedules.yml").write_text("- {name: own, every: 1h, playbook: play.yml}\n")
    clock = Clock(load_settings(stack.environment, stack.folder), Path("schedules.yml"))
    clock.book.read()
    # The leader was there when the lease was asked for, and is gone when it is looked at.
    monkeypatch.setattr("opsrunner.schedule.clock.leads", lambda client, beat: False)
    clock.tick()
    assert caplog.text == ""
    leader = Beat("elsewhere", "boot", str(stack.folder / "schedules.yml"), names=("another",))
    assert leads(store.redis, leader)
    clock.tick()
    assert "goes by another file, not started: own" in caplog.text
    leave(store.redis, leader)


# ---------------------------------------------------------------------- with a beat
def test_a_beat_goes_by_them_within_seconds(stack: Stack, store: Store) -> None:
    """Added, followed, paused, resumed, taken away; a file that breaks changes nothing and is told."""
    stack.revive("one")
    (stack.folder / "schedules.yml").write_text("- {name: never, at: 2020-01-01 00:00, playbook: play.yml}\n")
    with (stack.folder / "beat.log").open("wb") as log:
        program = [sys.executable, "-m", "opsrunner", "beat"]
        process = subprocess.Popen(program, cwd=stack.folder, env=stack.environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: b"this beat leads" in (stack.folder / "beat.log").read_bytes(), 150, "the beat to lead")
        add(stack, store, "bad", every="1s", vars={"code": 3})
        add(stack, store, "after-bad", after="bad", on="failure")
        add(stack, store, "after-good", after="bad", on="success")
        wait_until(lambda: any(run.status in ENDED for run in runs(store, "after-bad")), 150, "a run that follows")
        states.write_pause(store.redis, "bad", "me", store.now())
        wait_until(lambda: not store.redis.scard(keys.schedule_going("bad")), 150, "the last run to be seen")
        reached = len(runs(store, "bad"))
        (stack.folder / "schedules.yml").write_text("- {name: never, at: soon, playbook: play.yml}\n")
        wait_until(lambda: any(beat.fault for beat in leaders(store.redis)), 150, "the broken file to be told")
        told = stack.opsrunner("schedule", "list", code=65).stderr
        assert "schedules.yml:1:21: at 'soon' is no time" in told
        assert "goes by the schedules that it read before: never\n" in told
        assert len(runs(store, "bad")) == reached, "a schedule that is paused starts nothing"
        states.write_pause(store.redis, "bad", "", store.now())
        wait_until(lambda: len(runs(store, "bad")) > reached, 150, "it to go on")
        assert runs(store, "after-good") == []
        for name in ("after-bad", "after-good", "bad"):
            stored.remove(store, name, Contents())
    finally:
        process.terminate()
        process.wait(150)
    text = (stack.folder / "beat.log").read_text()
    assert "Traceback" not in text
    assert not leaders(store.redis), "a beat that ends gives its lease back"
