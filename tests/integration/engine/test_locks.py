"""Two runs and one host: waiting, skipping, failing, taking away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.stack import Stack, statuses, wait_until


def slow(pattern: str, mark: Path, name: str, *, gate: bool = False) -> str:
    """A play whose step writes when it begins and ends on each host; with ``gate`` it waits for :func:`let_end`."""
    wait = f"while [ ! -e {mark}.go ]; do sleep 0.05; done; " if gate else ""
    return f"""
- hosts: '{pattern}'
  gather_facts: false
  tasks:
    - name: {name}
      vars: {{who: "{name} {{{{ inventory_hostname }}}}"}}
      shell: echo begin {{{{ who }}}} >> {mark}; {wait}echo end {{{{ who }}}} >> {mark}
"""


def let_end(mark: Path) -> None:
    Path(f"{mark}.go").touch()


def lines(mark: Path) -> list[str]:
    return mark.read_text().splitlines() if mark.exists() else []


def test_the_second_run_waits_and_says_for_whom(stack: Stack, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    first = stack.start(slow("h0001:h0002", mark, "one", gate=True))
    wait_until(lambda: len(lines(mark)) == 2, 20, "the first run")
    second = stack.start(slow("h0002:h0003", mark, "two"))
    wait_until(lambda: "begin two h0003" in lines(mark), 20, "the host that nobody holds")
    said = stack.opsrunner("locks").stdout
    assert f"held by run {first}" in said and f"waits: run {second}" in said
    let_end(mark)
    stack.ending(second)
    order = [line for line in lines(mark) if "h0002" in line]
    assert order == ["begin one h0002", "end one h0002", "begin two h0002", "end two h0002"]
    notices = stack.opsrunner("watch", second, "--output", "plain").stdout
    assert f"waiting for h0002: held by run {first}" in notices
    wait_until(lambda: "no host is locked" in stack.opsrunner("locks").stdout, 5, "every lock given back")


def test_a_host_is_given_back_as_soon_as_the_run_needs_it_no_more(stack: Stack, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    rolling = slow("h0001:h0002", mark, "one", gate=True).replace("  tasks:", "  serial: 1\n  tasks:")
    first = stack.start(rolling.replace("[ ! -e", "[ {{ inventory_hostname }} = h0002 ] && [ ! -e"))
    wait_until(lambda: "begin one h0002" in lines(mark), 20, "the second batch")
    stack.ending(stack.start(slow("h0001", mark, "two")))
    assert "end one h0002" not in lines(mark), "h0001 was free while the second batch was at work"
    let_end(mark)
    stack.ending(first)


def test_waiting_is_fair(stack: Stack, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    assert stack.redis
    queue = stack.redis.client
    runs: list[str] = []
    for number in range(4):
        runs.append(stack.start(slow("h0004", mark, f"run{number}", gate=True)))
        wait_until(lambda: queue.zscore("opsrunner:lock:h0004", runs[-1]), 10, "the place in the queue")
    let_end(mark)
    for run in runs:
        stack.ending(run)
    assert [line for line in lines(mark) if line.startswith("begin")] == [f"begin run{n} h0004" for n in range(4)]


@pytest.mark.parametrize(("mode", "status", "code"), [("skip", "skipped", 0), ("fail", "failed", 2)])
def test_a_held_host_is_left_out_or_failed(stack: Stack, tmp_path: Path, mode: str, status: str, code: int) -> None:
    mark = tmp_path / "mark"
    first = stack.start(slow("h0001", mark, "one", gate=True))
    wait_until(lambda: lines(mark), 20, "the first run")
    document = stack.play(slow("h0001:h0002", mark, "two"), "--locked", mode, code=code)
    assert statuses(document, "two") == {"h0001": status, "h0002": "changed"}
    [told] = [task["hosts"]["h0001"]["msg"] for task in document["plays"][0]["tasks"] if task["name"] == "two"]
    assert f"held by run {first}" in told
    assert "begin two h0001" not in lines(mark)
    let_end(mark)
    stack.ending(first)


def test_waiting_has_an_end(stack: Stack, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    first = stack.start(slow("h0001", mark, "one", gate=True))
    wait_until(lambda: lines(mark), 20, "the first run")
    document = stack.play(slow("h0001", mark, "two"), "--lock-timeout", "1s", code=2)
    assert statuses(document, "two") == {"h0001": "failed"}
    assert "waited in vain" in document["plays"][0]["tasks"][0]["hosts"]["h0001"]["msg"]
    stack.opsrunner("cancel", first)


def test_locks_can_be_ignored_and_reading_needs_none(stack: Stack, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    first = stack.start(slow("h0001", mark, "one", gate=True))
    wait_until(lambda: lines(mark), 20, "the first run")
    assert "ok" in stack.opsrunner("exec", "h0001", "--locked", "ignore", "--", "echo", "ok").stdout
    reading = "- hosts: h0001\n  gather_facts: false\n  tasks:\n    - ping:\n"
    assert stack.play(reading)["stats"]["h0001"]["ok"] == 1
    stack.opsrunner("cancel", first)


def test_unlock_hands_the_host_on_and_is_recorded(stack: Stack, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    first = stack.start(slow("h0001", mark, "one", gate=True))
    wait_until(lambda: lines(mark), 20, "the first run")
    second = stack.start(slow("h0001", mark, "two"))
    wait_until(lambda: f"waits: run {second}" in stack.opsrunner("locks").stdout, 10, "the second run in line")
    assert "--reason" in stack.opsrunner("unlock", "h0001", code=64).stderr
    said = stack.opsrunner("unlock", "h0001", "--reason", "it hangs").stdout
    assert f"opsrunner cancel {first} --host h0001" in said
    stack.ending(second)
    stack.opsrunner("cancel", first)
    told = stack.opsrunner("watch", first, "--output", "plain", code=99).stdout
    assert "h0001 was unlocked by" in told and "it hangs" in told
    told = stack.opsrunner("locks", "--history").stdout.splitlines()[0]
    assert f"h0001 from run {first} by" in told and told.endswith("it hangs")
    assert json.loads(stack.opsrunner("locks", "--history", "--json").stdout)[0]["reason"] == "it hangs"
    assert "no run holds h0001" in stack.opsrunner("unlock", "h0001", "--reason", "again", code=65).stderr


def test_the_locks_of_a_cancelled_run_are_free(stack: Stack, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    first = stack.start(slow("h0001", mark, "one", gate=True))
    wait_until(lambda: lines(mark), 20, "the first run")
    stack.opsrunner("cancel", first)
    assert "no host is locked" in stack.opsrunner("locks").stdout
    stack.play(slow("h0001", mark, "two"))
