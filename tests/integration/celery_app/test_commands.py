"""Celery's own command line on opsrunner, as an operator of any Celery project types it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from tests.integration.celery_app.conftest import begun_in_order, celery_worker, commanded
from tests.integration.stack import Stack, wait_until

PLAY = "[{hosts: all, gather_facts: false, tasks: [{name: say, command: echo 1}]}]"


def celery(stack: Stack, *words: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "opsrunner", *words],
        cwd=stack.folder,
        env={**stack.environment, **environment},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done


def asked(stack: Stack, *words: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(celery(stack, "inspect", "--timeout", "60", "--json", *words).stdout)
    return told


def test_a_worker_started_by_celery_is_one_of_ours_under_celerys_name(
    stack: Stack, other: Celery, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    options = ("-Q", "opsrunner,other", "-E", "--without-mingle", "--time-limit", "5")
    with celery_worker(stack, "bastion", log, *options, zones="elsewhere") as (name, process):
        assert name in stack.opsrunner("workers").stdout
        document = stack.play(PLAY, "-i", str(_inventory(tmp_path)))
        assert document["status"] == "succeeded"

        told = asked(stack, "stats", "-d", name)
        assert told[name]["total"]["opsrunner.run_shard"] == 1
        assert told[name]["pool"]["max-concurrency"] == 64
        assert f"{name}: OK" in celery(stack, "status", "--timeout", "60", "-d", name).stdout
        inspected = other.control.inspect(timeout=60, destination=[name])
        assert {task.partition(".")[0] for task in inspected.registered()[name]} == {"opsrunner"}
        queues = {queue["name"] for queue in inspected.active_queues()[name]}
        assert queues == {"opsrunner", "other", f"opsrunner.{name}"}

        (tmp_path / "held").touch()
        wait = f"while test -e {tmp_path}/held; do sleep 0.1; done"
        held = f"[{{hosts: all, gather_facts: false, tasks: [shell: '{wait}']}}]"
        run = stack.start(held, "-i", str(_inventory(tmp_path)))
        wait_until(lambda: inspected.active()[name], 90, "the task to be at work")
        (task,) = inspected.active()[name]
        other.control.revoke(task["id"], terminate=True, destination=[name])
        wait_until(lambda: "is not terminated by revoking it" in log.read_text(), 90, f"that to be told: {log}")
        (tmp_path / "held").unlink()
        assert stack.ending(run)["status"] == "succeeded"

        other.control.shutdown(destination=[name])
        process.wait(150)


def _inventory(folder: Path) -> Path:
    path = folder / "elsewhere.yml"
    path.write_text("all: {hosts: {three: }, vars: {ansible_connection: local, opsrunner_zone: elsewhere}}\n")
    return path


@pytest.mark.parametrize(
    ("words", "environment", "code", "why"),
    [
        (("worker", "-P", "solo"), {}, 64, "shares all SSH connections"),
        (("worker", "--autoscale", "3"), {}, 64, "neither grows nor shrinks"),
        (("beat",), {"CELERY_BROKER_URL": "sqs://"}, 65, "no broadcast"),
    ],
)
def test_what_does_not_fit_is_told_in_words(
    stack: Stack, words: tuple[str, ...], environment: dict[str, str], code: int, why: str
) -> None:
    assert why in celery(stack, *words, code=code, **environment).stderr


def test_eager_tasks_are_refused_with_their_reason(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "celeryconfig.py").write_text("task_always_eager = True\n")
    done = subprocess.run(
        [sys.executable, "-m", "opsrunner", "runs"],
        cwd=tmp_path,
        env=stack.environment,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 65
    assert "task_always_eager is set" in done.stderr


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("pool_grow", {"n": 2}, "neither grow nor shrink"),
    ("pool_shrink", {}, "neither grow nor shrink"),
    ("autoscale", {"max": 5, "min": 2}, "`sessions`"),
    ("pool_restart", {}, "would cut off hosts at work"),
    ("time_limit", {"task_name": "opsrunner.run_shard", "soft": 1, "hard": 2}, "`step_timeout`"),
    ("rate_limit", {"task_name": "opsrunner.run_shard", "rate_limit": "1/m"}, "`zone_forks`"),
    ("rate_limit", {"task_name": "opsrunner.run_playbook", "rate_limit": "soon"}, "Invalid rate limit"),
    ("rate_limit", {"task_name": "nope", "rate_limit": "1/m"}, "no task is named nope"),
    ("cancel_consumer", {"queue": "opsrunner.one"}, "hands them to other workers"),
    ("add_consumer", {}, "missing a required argument: 'queue' (add_consumer <queue>"),
    ("terminate", {"signal": "NOPE", "task_id": ["1"]}, "SIGNOPE"),
]


def test_what_a_worker_cannot_obey_it_answers_in_words(stack: Stack, other: Celery) -> None:
    name = f"one@{socket.gethostname()}"
    for command, arguments, why in REFUSED:
        assert why in commanded(other, name, command, **arguments), command
    typed = celery(stack, "control", "--timeout", "60", "-d", name, "pool_grow", "many").stdout
    assert "pool_grow will not do" in typed
    assert "Refused: the pool is threads" in celery(stack, "control", "--list", COLUMNS="300").stdout
    assert "Traceback" not in (stack.folder / "one.log").read_text()


def test_a_worker_takes_another_queue_and_leaves_it(stack: Stack, other: Celery) -> None:
    name = f"one@{socket.gethostname()}"
    assert commanded(other, name, "rate_limit", task_name="opsrunner.run_playbook", rate_limit=0)
    for _ in range(2):
        assert commanded(other, name, "add_consumer", queue="extra") == "add consumer extra"
    sent = other.send_task("opsrunner.run_playbook", ("say.yml",), queue="extra")
    assert sent.get(timeout=120)["status"] == "succeeded"
    assert commanded(other, name, "cancel_consumer", queue="extra") == "no longer consuming from extra"
    assert stack.play(PLAY)["status"] == "succeeded"


def test_of_what_waits_the_higher_priority_is_begun_first(stack: Stack, other: Celery, tmp_path: Path) -> None:
    priorities = [0, 3, 9, 6, 1]
    begun = begun_in_order(stack, other, "ordered", tmp_path / "log", priorities)
    assert begun == [9, 6, 3, 0, 1], "in steps of three; within a step as they were sent"
