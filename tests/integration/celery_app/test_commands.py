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
    name = f"bastion@{socket.gethostname()}"
    log = tmp_path / "log"
    options = ("-n", "bastion@%h", "-Q", "opsrunner,other", "-E", "--without-mingle", "--time-limit", "5")
    command = [sys.executable, "-m", "celery", "-A", "opsrunner", "worker", "-l", "info", *options]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=stack.folder,
            env={**stack.environment, "OPSRUNNER_ZONES": "elsewhere"},
            stdout=output,
            stderr=output,
        )
    try:
        assert stack.redis
        redis = stack.redis.client
        wait_until(lambda: process.poll() is not None or redis.exists(f"opsrunner:worker:{name}"), 90, f"it: {log}")
        wait_until(lambda: f"{name} ready" in log.read_text(), 90, f"it: {log}")
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

        other.control.shutdown(destination=[name])
        process.wait(60)
        assert "Traceback" not in log.read_text()
    finally:
        process.kill()
        process.wait()


def _inventory(folder: Path) -> Path:
    path = folder / "elsewhere.yml"
    path.write_text("all: {hosts: {three: }, vars: {ansible_connection: local, opsrunner_zone: elsewhere}}\n")
    return path


@pytest.mark.parametrize(
    ("words", "environment", "code", "why"),
    [
        (("worker", "-P", "solo"), {}, 64, "shares all SSH connections"),
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
