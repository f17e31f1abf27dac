"""Flower shows what our tasks are about, where each run's page is, and nothing that is secret."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from tests.fleet import free_port
from tests.integration.stack import Stack, wait_until


@pytest.fixture
def address(stack: Stack, tmp_path: Path) -> Iterator[str]:
    shutil.copy(Path(__file__).parents[3] / "flowerconfig.py", tmp_path)
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "opsrunner", "flower", f"--port={port}"],
            cwd=tmp_path,
            env={**stack.environment, "OPSRUNNER_WEB_URL": "https://ops.example.org/"},
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def tasks(address: str) -> list[dict[str, Any]]:
    """What the page of tasks asks for."""
    wanted = {
        "draw": "1",
        "start": "0",
        "length": "100",
        "search[value]": "",
        "order[0][column]": "0",
        "order[0][dir]": "asc",
        "columns[0][data]": "name",
    }
    with (
        suppress(OSError),
        urllib.request.urlopen(f"{address}/tasks/datatable?{urllib.parse.urlencode(wanted)}", timeout=30) as answer,
    ):
        found: list[dict[str, Any]] = json.load(answer)["data"]
        return found
    return []


def test_flower(address: str, stack: Stack, other: Celery) -> None:
    def page_is_there() -> bool:
        with suppress(OSError), urllib.request.urlopen(f"{address}/workers", timeout=30) as answer:
            return b"one@" in answer.read()
        return False

    wait_until(page_is_there, 120, "Flower to see the worker")
    name = f"one@{socket.gethostname()}"
    wait_until(lambda: other.control.enable_events(reply=True, timeout=60, destination=[name]), 120, "events")
    run = ""
    found: list[dict[str, Any]] = []

    def is_shown() -> bool:
        # Flower may subscribe later than the first run is through.
        nonlocal run, found
        sent = other.send_task(
            "opsrunner.run_playbook", ("say.yml",), {"extra_vars": {"word": "S3CRET"}}, queue="opsrunner"
        )
        run = sent.get(timeout=120)["run"]
        found = [task for task in tasks(address) if run in f"{task['args']} {task['kwargs']}"]
        return {task["name"] for task in found} == {f"opsrunner.{name}" for name in NAMES}

    wait_until(is_shown, 120, "the tasks")
    shown = {task["name"]: task for task in found}
    assert shown["opsrunner.run_shard"]["args"] == f"run {run}, play 1, batch 1, step 1, shard 1 of 1"
    assert shown["opsrunner.finish_stage"]["args"] == f"run {run}, play 1, batch 1, step 1"
    assert shown["opsrunner.run_playbook"]["args"] == f"say.yml, run {run}"
    assert {task["kwargs"] for task in found} == {f"https://ops.example.org/runs/{run}"}
    assert "S3CRET" not in json.dumps(tasks(address))
    for page in ("tasks", f"task/{shown['opsrunner.run_shard']['uuid']}"):
        with urllib.request.urlopen(f"{address}/{page}", timeout=30) as answer:
            assert b'const runs = "https://ops.example.org/runs/"' in answer.read(), "what makes links of addresses"


NAMES = ("run_playbook", "run_shard", "finish_stage")
