"""Gates between batches, batches by value: waited for, passed, failed, cancelled, taken up again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.integration.stack import Stack, statuses, wait_until

PLAY = """
- hosts: 'fleet[0:3]'
  gather_facts: false
  serial_by: rack
  vars: {{rack: "{{{{ inventory_hostname[-1] | int % 2 }}}}"}}
{words}  tasks:
    - name: work
      shell: echo work {{{{ inventory_hostname }}}} >> {mark}
  gate:
    dwell: {dwell}
    tasks:
      - name: check
        shell: echo check {{{{ inventory_hostname }}}} >> {mark}; test ! -e {mark}.broken
        run_once: {once}
        notify: told
  handlers:
    - name: told
      shell: echo told {{{{ inventory_hostname }}}} >> {mark}
"""


def lines(mark: Path) -> list[str]:
    return mark.read_text().splitlines() if mark.exists() else []


@pytest.mark.parametrize("words", ["", "  strategy: free\n"])
def test_the_gate_comes_after_each_batch(stack: Stack, tmp_path: Path, words: str) -> None:
    mark = tmp_path / "mark"
    document = stack.play(PLAY.format(mark=mark, words=words, dwell=0, once="false"))
    done = lines(mark)
    assert document["status"] == "succeeded"
    assert [line.split()[0] for line in done] == [*["work"] * 2, *["check"] * 2, *["told"] * 2] * 2
    assert {line.split()[1] for line in done[:6]} == {"h0001", "h0003"}
    assert set(statuses(document, "gate : check").values()) == {"changed"}


def test_a_gate_that_fails_stops_the_roll_out_and_is_asked_again(stack: Stack, tmp_path: Path) -> None:
    mark, broken = tmp_path / "mark", tmp_path / "mark.broken"
    broken.touch()
    document = stack.play(PLAY.format(mark=mark, words="", dwell=1, once="true"), code=2)
    assert document["status"] == "stopped"
    assert lines(mark)[2:] == ["check h0001"], "once for the batch, and the second batch was not begun"
    shown = stack.opsrunner("show", document["run"]).stdout
    assert "h0001 failed in 'gate : check', which stops the others" in shown
    broken.unlink()
    done = stack.opsrunner("resume", document["run"])
    assert done.stdout.count("gate after batch 1 of 2: waiting 1 s") == 1, "waited for anew"
    assert "gate after batch 2 of 2: waiting 1 s" in done.stdout
    assert "2 done once for all by another host" in done.stdout, "batches of the racks, not of neighbours"
    assert sorted(line for line in lines(mark) if "work" in line) == [f"work h000{number}" for number in range(1, 5)]
    assert lines(mark)[3:5] == ["check h0001", "told h0001"]
    assert lines(mark)[-2:] == ["check h0002", "told h0002"]


def test_a_batch_of_one_host_waits_where_workers_die_and_cancel_ends_it(stack: Stack, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    text = PLAY.format(mark=mark, words="  serial: 0\n", dwell="1h", once="false").replace("[0:3]", "[0]")
    run = stack.start(text)
    key = f"opsrunner:run:{run}"
    wait_until(lambda: stack.redis and stack.redis.client.hget(key, "dwell"), 20, "the gate")
    for worker in stack.workers.values():
        worker.kill()
        worker.wait()
    stack.revive(*stack.workers)
    assert stack.redis
    cursor, _, due = stack.redis.client.hget(key, "dwell").decode().partition(" ")
    assert float(due) > time.time() + 3000
    stack.redis.client.hset(key, "dwell", f"{cursor} {time.time() + 1}")
    wait_until(lambda: lines(mark) == ["work h0001", "check h0001", "told h0001"], 20, "the gate to open")
    assert stack.ending(run)["status"] == "succeeded"
    run = stack.start(text)
    wait_until(lambda: stack.redis and stack.redis.client.hget(f"opsrunner:run:{run}", "dwell"), 20, "the gate")
    stack.opsrunner("cancel", run)
    document = stack.ending(run, code=99)
    assert document["status"] == "cancelled"
    assert statuses(document, "gate : check") == {"h0001": "cancelled"}
