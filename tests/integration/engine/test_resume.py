"""Runs that ended are resumed: nothing good is done twice, and what was known is known still."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import Fleet
from tests.integration.engine.test_run import playbook, results
from tests.integration.stack import Stack, statuses, wait_until

TWO = "fleet[0:1]"


@pytest.fixture
def notes(stack: Stack, tmp_path: Path) -> Path:
    """A folder that the hosts' commands write to."""
    return tmp_path


def noting(name: str, notes: Path, then: str = "true") -> str:
    """A step that writes its host's name into the file called as the step, then does something."""
    return (
        f"    - name: {name}\n      shell: echo {{{{ inventory_hostname }}}} >> {notes}/{name}; {then}\n"
        "      rerun: never\n"
    )


def noted(notes: Path, name: str) -> Counter[str]:
    """Host → how often it came to that step."""
    path = notes / name
    return Counter(path.read_text().split()) if path.exists() else Counter()


def resumed(stack: Stack, *words: str, code: int = 0) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(stack.opsrunner("resume", *words, "--output", "json", code=code).stdout)
    return document


def test_a_step_that_failed_is_mended_and_the_run_goes_on_there(stack: Stack, notes: Path) -> None:
    gate = f'test "$(hostname)" = nobody -o {{{{ inventory_hostname }}}} != h0002 -o -e {notes}/mended'
    tasks = noting("first", notes) + noting("second", notes, gate) + noting("third", notes)
    run = stack.play(playbook(tasks, TWO), code=2)["run"]
    assert noted(notes, "third") == {"h0001": 1}
    (notes / "mended").touch()
    done = stack.opsrunner("resume", run)
    assert "1 host goes on at step 1 'second': h0002" in done.stderr
    assert "does not add up" not in done.stdout
    assert "accounted for: 2 hosts × 3 steps = 6: 6 recorded" in done.stdout
    assert noted(notes, "first") == noted(notes, "third") == {"h0001": 1, "h0002": 1}
    assert noted(notes, "second") == {"h0001": 1, "h0002": 2}
    document = json.loads(stack.opsrunner("watch", run, "--output", "json").stdout)
    assert (document["status"], document["exit_code"]) == ("succeeded", 0)
    assert statuses(document, "second") == {"h0001": "changed", "h0002": "changed"}
    assert document["stats"]["h0002"]["failures"] == 0


def test_what_was_registered_and_notified_is_still_there(stack: Stack, notes: Path) -> None:
    tasks = f"""
    - name: say
      command: echo from {{{{ inventory_hostname }}}}
      register: said
      notify: restart
    - name: keep
      set_fact: {{kept: "{{{{ said.stdout | upper }}}}"}}
    - name: gate
      command: test -e {notes}/mended
    - name: use
      command: echo {{{{ kept }}}} {{{{ said.rc }}}}
  handlers:
{noting("restart", notes)}"""
    run = stack.play(playbook(tasks, TWO), code=2)["run"]
    assert noted(notes, "restart") == {}
    (notes / "mended").touch()
    document = resumed(stack, run)
    assert {host: result["stdout"] for host, result in results(document, "use").items()} == {
        "h0001": "FROM H0001 0",
        "h0002": "FROM H0002 0",
    }
    assert noted(notes, "restart") == {"h0001": 1, "h0002": 1}


def test_rescue_and_always_are_gone_through_again(stack: Stack, notes: Path) -> None:
    tasks = f"""
    - block:
        - name: try
          command: test -e {notes}/never
      rescue:
        - name: mend
          command: test -e {notes}/mended
      always:
        - name: anyway
          command: echo anyway
    - name: onward
      command: echo on
"""
    run = stack.play(playbook(tasks, TWO), code=2)["run"]
    (notes / "mended").touch()
    document = resumed(stack, run)
    assert statuses(document, "onward") == {"h0001": "changed", "h0002": "changed"}


def test_a_cancelled_run_goes_on(stack: Stack, notes: Path) -> None:
    tasks = noting("first", notes) + noting("long", notes, f"test -e {notes}/quick || sleep 30")
    (stack.folder / "play.yml").write_text(playbook(tasks, "fleet[0:3]", serial=2))
    run = stack.opsrunner("run", "play.yml", "--detach").stdout.strip()
    wait_until(lambda: len(noted(notes, "long")) == 2, 30, "two hosts at work")
    stack.opsrunner("cancel", run)
    (notes / "quick").touch()
    document = resumed(stack, run)
    assert (document["status"], document["exit_code"]) == ("succeeded", 0)
    four = ["h0001", "h0002", "h0003", "h0004"]
    assert statuses(document, "long") == dict.fromkeys(four, "changed")
    assert noted(notes, "first") == dict.fromkeys(four, 1)


def test_a_stopped_run_goes_on_with_the_batches_it_never_reached(stack: Stack, notes: Path) -> None:
    tasks = noting("only", notes, f"test -e {notes}/mended")
    run = stack.play(playbook(tasks, "fleet[0:3]", serial=2), code=2)["run"]
    assert set(noted(notes, "only")) == {"h0001", "h0002"}
    (notes / "mended").touch()
    document = resumed(stack, run)
    assert len(statuses(document, "only")) == 4
    assert document["status"] == "succeeded"


@pytest.fixture
def own_stack(tmp_path: Path, engine_fleet: Fleet) -> Iterator[Stack]:
    """Servers whose workers may be killed."""
    with Stack(tmp_path / "own") as stack:
        stack.inventory(engine_fleet.inventory_yaml(4))
        yield stack


def test_lost_steps_are_left_alone_until_told_otherwise(own_stack: Stack, tmp_path: Path) -> None:
    own_stack.worker("one")
    tasks = noting("first", tmp_path) + noting("long", tmp_path, f"test -e {tmp_path}/quick || sleep 5")
    (own_stack.folder / "play.yml").write_text(playbook(tasks + noting("last", tmp_path), TWO))
    run = own_stack.opsrunner("run", "play.yml", "--detach").stdout.strip()
    wait_until(lambda: len(noted(tmp_path, "long")) == 2, 30, "both hosts at work")
    own_stack.workers["one"].kill()
    own_stack.workers["one"].wait()
    own_stack.worker("two")
    lost = own_stack.opsrunner("watch", run, "--output", "json", code=8, timeout=90)
    assert statuses(json.loads(lost.stdout), "long") == dict.fromkeys(("h0001", "h0002"), "lost")
    (tmp_path / "quick").touch()
    done = own_stack.opsrunner("resume", run, code=8)
    assert "--rerun-lost" in done.stderr
    assert "h[0001-0002] (2)" in done.stderr
    assert "nothing to resume" in done.stderr
    assert noted(tmp_path, "long") == {"h0001": 1, "h0002": 1}
    document = resumed(own_stack, run, "--rerun-lost")
    assert document["exit_code"] == 0
    assert noted(tmp_path, "first") == noted(tmp_path, "last") == {"h0001": 1, "h0002": 1}
    assert noted(tmp_path, "long") == {"h0001": 2, "h0002": 2}


def test_only_some_hosts(stack: Stack, notes: Path) -> None:
    run = stack.play(playbook(noting("only", notes, f"test -e {notes}/mended"), "fleet[0:2]"), code=2)["run"]
    (notes / "mended").touch()
    document = resumed(stack, run, "--hosts", "h0001:h0003:!h0003", code=2)
    assert noted(notes, "only") == {"h0001": 2, "h0002": 1, "h0003": 1}
    assert statuses(document, "only") == {"h0001": "changed", "h0002": "failed", "h0003": "failed"}
    document = resumed(stack, run)
    assert document["exit_code"] == 0
    assert noted(notes, "only") == {"h0001": 2, "h0002": 2, "h0003": 2}


@pytest.mark.parametrize("step", ["0", "first"])
def test_at_an_earlier_step(stack: Stack, notes: Path, step: str) -> None:
    tasks = noting("first", notes) + noting("second", notes, f"test -e {notes}/mended")
    run = stack.play(playbook(tasks, "h0001"), code=2)["run"]
    (notes / "mended").touch()
    assert resumed(stack, run, "--step", step)["exit_code"] == 0
    assert noted(notes, "first") == noted(notes, "second") == {"h0001": 2}


def test_a_changed_playbook_is_refused_and_then_taken(stack: Stack, notes: Path) -> None:
    tasks = noting("first", notes) + noting("second", notes, "false")
    text = playbook(tasks, TWO)
    run = stack.play(text, code=2)["run"]
    (stack.folder / "play.yml").write_text("# mended\n" + text.replace("; false", "; echo mended"))
    done = stack.opsrunner("resume", run, code=65)
    assert "step 1 'second'" in done.stderr
    assert "--changed-ok" in done.stderr
    assert noted(notes, "second") == {"h0001": 1, "h0002": 1}
    assert stack.opsrunner("resume", run, "--stored", code=2)
    assert noted(notes, "second") == {"h0001": 2, "h0002": 2}
    document = resumed(stack, run, "--changed-ok")
    assert {result["stdout"] for result in results(document, "second").values()} == {"mended"}
    assert noted(notes, "first") == {"h0001": 1, "h0002": 1}


def test_changed_files_and_variables_reach_the_hosts(stack: Stack, notes: Path) -> None:
    (stack.folder / "files").mkdir(exist_ok=True)
    (stack.folder / "files" / "state").write_text("bad\n")
    tasks = f"""
    - name: put
      copy: {{src: state, dest: "{notes}/{{{{ inventory_hostname }}}}"}}
    - name: check
      command: test "{{{{ wanted }}}}" = "{{{{ lookup('env', 'NOTHING') | default('good', true) }}}}"
    - name: put again
      copy: {{src: state, dest: "{notes}/{{{{ inventory_hostname }}}}"}}
"""
    text = playbook(tasks, "h0001", vars="{wanted: bad}")
    run = stack.play(text, code=2)["run"]
    (stack.folder / "play.yml").write_text(text.replace("wanted: bad", "wanted: good"))
    (stack.folder / "files" / "state").write_text("good\n")
    done = stack.opsrunner("resume", run, code=65)
    assert "files/state changed" in done.stderr
    assert "vars changed: wanted" in done.stderr
    assert resumed(stack, run, "--changed-ok")["exit_code"] == 0
    assert (notes / "h0001").read_text() == "good\n"


def test_handlers_notified_before_the_playbook_was_changed_are_run(stack: Stack, notes: Path) -> None:
    tasks = f"""
    - name: say
      command: echo one
      notify: restart
    - name: gate
      command: "false"
  handlers:
{noting("restart", notes)}"""
    text = playbook(tasks, "h0001")
    run = stack.play(text, code=2)["run"]
    (stack.folder / "play.yml").write_text("# moves every line\n\n" + text.replace('"false"', '"true"'))
    assert resumed(stack, run, "--changed-ok")["exit_code"] == 0
    assert noted(notes, "restart") == {"h0001": 1}


def test_from_another_place_with_the_key_alone(stack: Stack, notes: Path, tmp_path: Path) -> None:
    run = stack.play(playbook(noting("only", notes, f"test -e {notes}/mended"), TWO), code=2)["run"]
    (notes / "mended").touch()
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "state").mkdir(parents=True, mode=0o700)
    shutil.copy(stack.folder / "state" / "key", elsewhere / "state" / "key")
    (stack.folder / "play.yml").rename(stack.folder / "moved.yml")
    done = subprocess.run(
        [sys.executable, "-m", "opsrunner", "resume", run],
        cwd=elsewhere,
        env={**stack.environment, "OPSRUNNER_STATE_DIR": str(elsewhere / "state")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "play.yml is not on this machine" in done.stderr
    assert noted(notes, "only") == {"h0001": 2, "h0002": 2}


def test_resumed_twice_and_once_more(stack: Stack, notes: Path) -> None:
    tasks = noting("first", notes) + noting("second", notes, f"test -e {notes}/mended")
    run = stack.play(playbook(tasks, TWO), code=2)["run"]
    assert resumed(stack, run, code=2)["status"] == "failed"
    (notes / "mended").touch()
    assert resumed(stack, run)["status"] == "succeeded"
    assert "nothing to resume" in stack.opsrunner("resume", run).stderr
    assert noted(notes, "first") == {"h0001": 1, "h0002": 1}
    assert noted(notes, "second") == {"h0001": 3, "h0002": 3}
    lines = stack.opsrunner("watch", run, "--output", "jsonl").stdout.splitlines()
    assert [json.loads(line)["kind"] for line in lines].count("run_finished") == 3


def test_a_run_that_is_resumed_already_is_not_resumed_again(stack: Stack, notes: Path) -> None:
    tasks = noting("only", notes, f"test -e {notes}/mended && sleep 3")
    run = stack.play(playbook(tasks, "h0001"), code=2)["run"]
    (notes / "mended").touch()
    assert stack.opsrunner("resume", run, "--detach").stdout.strip() == run
    wait_until(lambda: noted(notes, "only") == {"h0001": 2}, 20, "the host to go on")
    assert "still goes on" in stack.opsrunner("resume", run, code=65).stderr
    stack.opsrunner("watch", run)
    time.sleep(0.5)
    assert noted(notes, "only") == {"h0001": 2}


def test_a_command_is_resumed_too(stack: Stack, notes: Path) -> None:
    done = stack.opsrunner("exec", "h0001,h0002", "--output", "json", "--", f"test -e {notes}/mended", code=2)
    (notes / "mended").touch()
    document = resumed(stack, json.loads(done.stdout)["run"])
    assert document["exit_code"] == 0
    assert len(document["stats"]) == 2
