"""Budgets that hold over all workers: forks, throttle, zones, and how many hosts of a run may go wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.integration.stack import Stack, statuses

#: A step that notes how many of its kind are at work when it begins.
STEP = """
    - name: {name}
      shell: |
        : > {folder}/$$; ls {folder} | wc -l >> {folder}.seen; sleep 0.15; rm {folder}/$$
{more}"""


def most(folder: Path) -> int:
    return max(int(line) for line in Path(f"{folder}.seen").read_text().split())


def play(folder: Path, more: str = "", pattern: str = "fleet[0:11]", words: str = "") -> str:
    folder.mkdir()
    step = STEP.format(name="work", folder=folder, more=more)
    return f"- hosts: '{pattern}'\n  gather_facts: false\n{words}  tasks:\n{step}"


@pytest.mark.parametrize("forks", [1, 3])
def test_forks_hold_over_all_workers(stack: Stack, tmp_path: Path, forks: int) -> None:
    folder = tmp_path / "work"
    document = stack.play(play(folder), "-f", str(forks))
    assert set(statuses(document, "work").values()) == {"changed"}
    assert most(folder) <= forks, "two workers share one budget"


@pytest.mark.parametrize("words", ["", "  strategy: free\n"])
def test_throttle_holds_over_all_workers(stack: Stack, tmp_path: Path, words: str) -> None:
    folder = tmp_path / "work"
    document = stack.play(play(folder, '      throttle: "{{ 1 + 1 }}"\n', words=words))
    assert set(statuses(document, "work").values()) == {"changed"}
    assert most(folder) == 2


def test_nothing_is_left_of_a_budget(stack: Stack, tmp_path: Path) -> None:
    stack.play(play(tmp_path / "work", "      throttle: 2\n"), "-f", "3")
    assert stack.redis
    assert stack.redis.client.keys("opsrunner:*:running*") == []


def failing(pattern: str, command: str, words: str = "") -> str:
    return f"- hosts: '{pattern}'\n  gather_facts: false\n{words}  tasks:\n    - name: work\n      shell: {command}\n"


def test_too_many_failed_hosts_stop_the_run(stack: Stack) -> None:
    text = failing("fleet[0:19]", "exit 1", "  serial: 2\n  ignore_errors: false\n")
    text = text.replace("serial: 2", "serial: 4").replace("exit 1", "test {{ inventory_hostname[-1] | int % 2 }} = 0")
    document = stack.play(text, "--max-failed", "5", code=2)
    told = statuses(document, "work")
    assert list(told.values()).count("failed") == 6, "exceeded, not reached"
    assert len(told) == 12, "the fourth batch was not begun"
    assert document["status"] == "stopped"
    shown = stack.opsrunner("show", "last").stdout
    assert "6 hosts failed, more than the run allows (5)" in shown


def test_the_budget_stops_within_one_stage(stack: Stack) -> None:
    document = stack.play(failing("fleet[0:29]", "sleep 0.1; exit 1"), "--max-failed", "10%", "-f", "2", code=2)
    told = list(statuses(document, "work").values())
    assert 4 <= told.count("failed") <= 5 and told.count("cancelled") == 30 - told.count("failed")


def test_too_many_unreachable_hosts_stop_the_run(stack: Stack) -> None:
    hosts = "".join(f"    dead{n}: {{ansible_host: 127.0.0.1, ansible_port: 1}}\n" for n in range(4))
    with (stack.folder / "inventory" / "hosts.yml").open("a") as file:
        file.write(f"dead:\n  hosts:\n{hosts}")
    document = stack.play(failing("dead", "echo", "  max_fail_percentage: 100\n"), "--max-unreachable", "1", code=4)
    assert document["status"] == "stopped"
    shown = stack.opsrunner("show", document["run"]).stdout
    assert " hosts unreachable, more than the run allows (1)" in shown


def test_a_plays_budget_counts_over_the_run_and_the_command_line_wins(stack: Stack) -> None:
    odd = "test {{ inventory_hostname[-1] | int % 2 }} = 0"
    text = failing("fleet[0:5]", odd, "  serial: 2\n") + failing("fleet[6:9]", "echo", '  error_budget: "10%"\n')
    document = stack.play(text, code=2)
    assert (document["status"], len(statuses(document, "work"))) == ("stopped", 4)
    assert "2 hosts failed, more than the run allows (1)" in stack.opsrunner("show", document["run"]).stdout
    document = stack.play(text, "--max-failed", "3", code=2)
    assert (document["status"], len(statuses(document, "work"))) == ("failed", 10)


@pytest.mark.parametrize("words", [["--max-failed", "many"], ["--max-failed", "-1"], ["--max-unreachable", "120%"]])
def test_a_budget_that_is_none_is_refused(stack: Stack, words: list[str]) -> None:
    (stack.folder / "play.yml").write_text(failing("h0001", "echo"))
    assert "takes a number of hosts or a percentage" in stack.opsrunner("run", "play.yml", *words, code=64).stderr


def test_a_zones_budget_holds_over_workers_and_runs(tmp_path: Path, engine_fleet: Fleet) -> None:
    with Stack(tmp_path / "stack", OPSRUNNER_ZONE_FORKS="2") as stack:
        stack.inventory(engine_fleet.inventory_yaml(12))
        folder = tmp_path / "work"
        folder.mkdir()
        for name in ("one", "two"):
            stack.worker(name)
        runs = []
        for number, pattern in enumerate(("fleet[0:5]", "fleet[6:11]")):
            file = stack.folder / f"play{number}.yml"
            step = STEP.format(name="work", folder=folder, more="")
            file.write_text(f"- hosts: '{pattern}'\n  gather_facts: false\n  tasks:\n{step}")
            runs.append(stack.opsrunner("run", str(file), "--detach").stdout.strip())
        for run in runs:
            document = json.loads(stack.opsrunner("watch", run, "--output", "json").stdout)
            assert set(statuses(document, "work").values()) == {"changed"}
        assert most(folder) == 2
