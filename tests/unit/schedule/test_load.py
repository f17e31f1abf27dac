"""schedules.yml: what is accepted, and every fault with its place."""

from __future__ import annotations

import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsrunner.errors import InputError, InputErrors
from opsrunner.schedule.load import find, load
from opsrunner.schedule.model import Schedule
from opsrunner.schedule.moments import parse_span
from opsrunner.schedule.times import NICKNAMES, cron_fault

GOOD = "- name: one\n  every: 1m\n  playbook: play.yml\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "play.yml").write_text("- hosts: all\n  tasks: []\n")
    (tmp_path / "hosts.yml").write_text("all: {hosts: {h1: }}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded(text: str) -> tuple[Schedule, ...]:
    Path("schedules.yml").write_text(text)
    return load(Path("schedules.yml"))


def faults(text: str) -> list[InputError]:
    with pytest.raises(InputError) as raised:
        loaded(text)
    error = raised.value
    return list(error.errors) if isinstance(error, InputErrors) else [error]


def fault(text: str) -> InputError:
    (only,) = faults(text)
    return only


def test_every_key_of_a_schedule(folder: Path) -> None:
    first, second = loaded(
        """
- name: nightly-restart
  cron: "30 2 * * 1-5"
  timezone: Europe/Berlin
  playbook: play.yml
  inventory: [hosts.yml, "extra,"]
  limit: web
  vars: {version: 2}
  overlap: allow
- {name: often, every: 90, playbook: play.yml, inventory: hosts.yml}
"""
    )
    assert first == Schedule(
        "nightly-restart",
        Path("play.yml"),
        cron="30 2 * * 1-5",
        inventory=("hosts.yml", "extra,"),
        limit="web",
        vars={"version": 2},
        timezone="Europe/Berlin",
        overlap="allow",
    )
    assert (second.every, second.cron, second.timezone, second.overlap) == (90, None, "UTC", "skip")
    assert second.inventory == ("hosts.yml",)


def test_every_other_key(folder: Path) -> None:
    once, followed = loaded(
        """
calendars:
  holidays: [2026-12-24, "2026-12-25..2026-12-26"]
schedules:
  - name: once
    at: 2026-12-01 02:00
    timezone: Europe/Berlin
    start_deadline: 1h
    jitter: 5m
    overlap: cancel_old
    misfire: catch_up
    misfire_limit: 3
    blackout: [holidays, Sat-Sun]
    max_runtime: 2h
    paused: true
    until: 2026-12-31
    count: 2
    playbook: play.yml
    tags: [a, b]
    skip_tags: "c,d"
    check: true
    diff: true
    forks: 5
    notify: none
  - {name: followed, after: once, on: failure, playbook: play.yml}
"""
    )
    berlin = ZoneInfo("Europe/Berlin")
    assert once.at == datetime.datetime(2026, 12, 1, 2, tzinfo=berlin)
    assert once.until == datetime.datetime(2027, 1, 1, tzinfo=berlin)
    assert (once.start_deadline, once.jitter, once.max_runtime) == (3600, 300, 7200)
    assert (once.overlap, once.misfire, once.misfire_limit) == ("cancel_old", "catch_up", 3)
    assert [one.text for one in once.blackout] == [
        "holidays (2026-12-24)",
        "holidays (2026-12-25..2026-12-26)",
        "Sat-Sun",
    ]
    assert (once.paused, once.count, once.check, once.diff, once.forks) == (True, 2, True, True, 5)
    assert (once.tags, once.skip_tags, once.notify) == (("a", "b"), ("c", "d"), ("none",))
    assert (followed.after, followed.on) == ("once", "failure")


@pytest.mark.parametrize(
    ("cron", "why"),
    [
        ("61 * * * *", "minute '61': it is 0 to 59"),
        ("* 8-24 * * *", "hour '8-24': it is 0 to 23"),
        ("* * 0 * *", "day '0': it is 1 to 31"),
        ("* * * JANUARY *", "month 'JANUARY': it is 1 to 12, or JAN to DEC"),
        ("* * * * Sat-Mon", "weekday 'Sat-Mon': it is 0 to 7"),
        ("* * * *", "minute hour day month weekday"),
        ("* * 30 2 *", "no such day ever comes"),
    ],
)
def test_the_field_of_a_cron_time_is_named(cron: str, why: str) -> None:
    assert why in str(cron_fault(cron))


@pytest.mark.parametrize(
    ("zone", "remedy"),
    [
        ("CEST", "write a place, as Europe/Berlin, or UTC"),
        ("berlin", "did you mean Europe/Berlin?"),
        ("New York", "did you mean America/New_York?"),
        ("Europe/Berln", "did you mean Europe/Berlin?"),
    ],
)
def test_a_zone_is_found_by_its_city_and_never_by_other_letters(folder: Path, zone: str, remedy: str) -> None:
    assert fault(f"{GOOD}  timezone: {zone}\n").remedy == remedy


def test_schedules_that_follow_each_other_in_a_circle(folder: Path) -> None:
    first = "- {name: a, after: b, playbook: play.yml}\n"
    found = faults(first + "- {name: b, after: c, playbook: play.yml}\n- {name: c, after: a, playbook: play.yml}\n")
    assert [error.why for error in found] == ["a → b → c → a", "b → c → a → b", "c → a → b → c"]
    assert (
        "jitter: at a schedule with after:"
        in faults(GOOD + first.replace("after: b", "after: one, jitter: 1s"))[0].what
    )


def test_paths_are_meant_beside_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "schedules.yml").write_text(GOOD + "  inventory: hosts.yml\n")
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    (schedule,) = load(Path("..") / "schedules.yml")
    assert schedule.playbook.resolve() == folder / "play.yml"
    assert Path(schedule.inventory[0]).resolve() == folder / "hosts.yml"


def test_an_empty_file_holds_none(folder: Path) -> None:
    assert loaded("# none yet\n") == ()
    assert loaded("[]\n") == ()


@pytest.mark.parametrize(
    ("text", "place", "what", "remedy"),
    [
        ("name: one\n", "1:1", "unknown key 'name'", "known are calendars, notifiers, schedules"),
        ("one\n", "1:1", "schedules are a list", "begin each with"),
        ("schedules: {}\n", "1:12", "schedules are a list", "begin each with"),
        ("calendars: [2026-12-24]\n", "1:1", "calendars are a mapping", "calendars: {"),
        ("calendars: {free: 2026-12-24}\n", "1:19", "calendar 'free' is a list", ""),
        ("calendars: {free: [Sat]}\n", "1:20", "'Sat' is no date of a calendar", ""),
        (GOOD + "  at: 2026-12-01 02:00\n", "4:7", "cannot have both every and at", "keep one"),
        (GOOD.replace("every: 1m", "at: tomorrow"), "2:7", "at 'tomorrow' is no time", ""),
        (GOOD.replace("every: 1m", "at: 2026-12-01"), "2:7", "at '2026-12-01' is no time", ""),
        (
            GOOD.replace("every: 1m", "at: 2026-03-29 02:30 Europe/Berlin"),
            "2:7",
            "at '2026-03-29 02:30 Europe/Berlin' is no time",
            "",
        ),
        (GOOD.replace("every: 1m", "after: two"), "2:10", "no schedule 'two' in this file", ""),
        (GOOD.replace("every: 1m", "after: one"), "2:10", "follow each other in a circle", ""),
        (GOOD + "  on: success\n", "4:7", "on: without after:", "name the schedule"),
        (GOOD + "  until: never\n", "4:10", "until 'never' is no time", ""),
        (GOOD + "  jitter: 1m\n", "4:11", "jitter 1m is too long", ""),
        (GOOD + "  jitter: -1\n", "4:11", "jitter -1 is no time", "30s, 15m"),
        (GOOD + "  start_deadline: 0\n", "4:19", "start_deadline 0 is no time", ""),
        (GOOD + "  max_runtime: long\n", "4:16", "max_runtime 'long' is no time", ""),
        (GOOD + "  misfire: catchup\n", "4:12", "misfire 'catchup' is neither", "did you mean catch_up?"),
        (GOOD + "  misfire_limit: 3\n", "4:18", "misfire_limit: without misfire: catch_up", ""),
        (GOOD + "  count: 0\n", "4:10", "count is a number", ""),
        (GOOD + "  count: true\n", "4:10", "count is a number", ""),
        (GOOD + "  forks: many\n", "4:10", "forks is a number", ""),
        (GOOD + "  paused: 1\n", "4:11", "paused is true or false", ""),
        (GOOD + "  check: 'yes'\n", "4:10", "check is true or false", ""),
        (GOOD + "  tags: [1]\n", "4:9", "tags is a name or a list of names", ""),
        (GOOD + "  blackout: [Sat, Frei]\n", "4:19", "blackout 'Frei' is neither a window nor a calendar", ""),
        (GOOD + "  blackout: 25:00-26:00\n", "4:13", "blackout '25:00-26:00' is neither", ""),
        ("calendars: {free: [2026-12-24]}\nschedules:\n" + GOOD + "  blackout: fre\n", "6:13", "'fre'", "mean free?"),
        ("- one\n", "1:3", "a schedule is a mapping", ""),
        (GOOD + "  limits: web\n", "4:3", "unknown key 'limits'", "did you mean limit?"),
        (GOOD.replace("every: 1m", "evry: 1m\n  cron: '@daily'"), "2:3", "unknown key 'evry'", "every"),
        ("- every: 1m\n  playbook: play.yml\n", "1:3", "needs a name", ""),
        (GOOD.replace("one", "a b"), "1:9", "'a b' cannot be the name", ""),
        (GOOD.replace("one", "2026"), "1:9", "2026 cannot be the name", ""),
        (GOOD.replace("  every: 1m\n", ""), "1:3", "needs one of cron, every, at and after", "or after another"),
        (GOOD + "  cron: '@daily'\n", "2:10", "cannot have both cron and every", "keep one"),
        (GOOD.replace("every: 1m", "cron: '61 * * * *'"), "2:9", "cron '61 * * * *' is not valid", ""),
        (GOOD.replace("every: 1m", "cron: '* * * * * *'"), "2:9", "is not valid", ""),
        (GOOD.replace("every: 1m", "cron: '@reboot'"), "2:9", "cron '@reboot' is not valid", ""),
        (GOOD.replace("every: 1m", "cron: '0 0 30 2 *'"), "2:9", "is not valid", ""),
        (GOOD.replace("every: 1m", "cron: '0 0 */31 2 MON#5'"), "2:9", "is not valid", ""),
        (GOOD.replace("every: 1m", "cron: 5"), "2:9", "cron 5 is not valid", ""),
        (GOOD.replace("1m", "soon"), "2:10", "every 'soon' is no time", "30s, 15m"),
        (GOOD.replace("1m", "0s"), "2:10", "is no time", "30s, 15m"),
        (GOOD.replace("1m", "367d"), "2:10", "is no time", "at most 366d"),
        (GOOD.replace("1m", "true"), "2:10", "every True is no time", ""),
        (GOOD.replace("1m", "1.5"), "2:10", "every 1.5 is no time", ""),
        (GOOD.replace("play.yml", "gone.yml"), "3:13", "no playbook gone.yml", ""),
        (GOOD.replace("  playbook: play.yml\n", ""), "1:3", "needs a playbook", ""),
        (GOOD + "  inventory: gone.yml\n", "4:14", "no inventory gone.yml", ""),
        (GOOD + "  inventory: []\n", "4:14", "inventory is a path or a list of paths", ""),
        (GOOD + "  inventory: [1]\n", "4:14", "inventory is a path or a list of paths", ""),
        (GOOD + "  inventory:\n", "4:13", "inventory is a path or a list of paths", ""),
        (GOOD + "  limit: [web]\n", "4:10", "limit is a pattern", ""),
        (GOOD + "  vars: [a]\n", "4:9", "vars is a mapping", ""),
        (GOOD + "  vars: {a-b: 1}\n", "4:10", "'a-b' is no name of a variable", ""),
        (
            GOOD + "  timezone: Europe/Berln\n",
            "4:13",
            "unknown timezone 'Europe/Berln'",
            "did you mean Europe/Berlin?",
        ),
        (GOOD + "  timezone: Europe\n", "4:13", "unknown timezone 'Europe'", ""),
        (GOOD + "  timezone: 2\n", "4:13", "unknown timezone 2", ""),
        (GOOD + "  timezone: ../../etc/passwd\n", "4:13", "unknown timezone", ""),
        (
            GOOD + "  overlap: skp\n",
            "4:12",
            "overlap 'skp' is neither skip, queue, cancel_old nor allow",
            "did you mean skip?",
        ),
        (GOOD + "  limit: a\n  limit: b\n", "5:3", "key 'limit' stands twice", "4:3"),
        (GOOD + GOOD, "4:9", "schedule 'one' stands twice", "schedules.yml:1:9"),
        ("- name: [\n", "2:1", "broken YAML", ""),
    ],
)
def test_a_fault_and_its_place(folder: Path, text: str, place: str, what: str, remedy: str) -> None:
    error = fault(text)
    assert str(error.place) == f"schedules.yml:{place}"
    assert what in error.what
    assert remedy in (error.remedy or "")


def test_all_faults_are_told_at_once_each_with_its_line(folder: Path) -> None:
    found = faults(
        GOOD.replace("1m", "never") + "  limits: x\n" + GOOD.replace("one", "two").replace("play.yml", "gone.yml")
    )
    assert [str(error.place) for error in found] == ["schedules.yml:4:3", "schedules.yml:2:10", "schedules.yml:7:13"]
    assert [error.excerpt for error in found] == ["  limits: x", "  every: never", "  playbook: gone.yml"]


def test_a_twin_is_seen_even_where_one_of_the_two_is_broken(folder: Path) -> None:
    whats = [error.what for error in faults(GOOD + GOOD.replace("1m", "never"))]
    assert whats == ["schedule 'one' stands twice", "every 'never' is no time"]


def test_a_file_that_cannot_be_read(folder: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        load(Path("gone.yml"))


@pytest.mark.parametrize("nickname", NICKNAMES)
def test_nicknames_stand_for_five_fields(folder: Path, nickname: str) -> None:
    (schedule,) = loaded(GOOD.replace("every: 1m", f"cron: '{nickname}'"))
    assert schedule.cron == NICKNAMES[nickname]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("30s", 30), ("15m", 900), ("2h", 7200), ("1d", 86400), ("45", 45), (45, 45), ("366d", 366 * 86400)],
)
def test_every_in_seconds(value: object, seconds: int) -> None:
    assert parse_span(value) == seconds


@given(st.one_of(st.text(), st.integers(), st.none(), st.booleans(), st.floats(), st.from_regex(r"[0-9]+[smhdw ]?")))
def test_every_never_raises_and_is_positive(value: object) -> None:
    seconds = parse_span(value)
    assert seconds is None or 0 < seconds <= 366 * 86400


@given(st.lists(st.text("0123456789*/-,LW#SUNMONJAN?²", min_size=1, max_size=7), min_size=5, max_size=5))
def test_no_cron_expression_ends_in_an_exception(fields: list[str]) -> None:
    assert cron_fault(" ".join(fields)) is None or cron_fault(" ".join(fields))


def test_find_gives_the_nearest_name(folder: Path) -> None:
    schedules = loaded(GOOD)
    assert find(schedules, "one") is schedules[0]
    with pytest.raises(InputError) as raised:
        find(schedules, "onee")
    assert raised.value.remedy == "did you mean one?"
    with pytest.raises(InputError) as raised:
        find(schedules, "zzz")
    assert "schedule list" in str(raised.value.remedy)


def test_the_shipped_file_is_sound() -> None:
    found = load(Path(__file__).parents[3] / "schedules.yml")
    assert [schedule.name for schedule in found] == ["healthcheck", "nightly-restart"]
