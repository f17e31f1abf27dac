"""The example project, run as its README says: views, the project's worker, results and schedule in the database."""

from __future__ import annotations

import http.cookiejar
import json
import shutil
import sqlite3
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import free_port
from tests.integration.stack import Stack, wait_until

EXAMPLE = Path(__file__).parents[3] / "examples" / "django"
#: What `migrate` and the admin pages do: a message to opsrunner's own worker, as soon as beat looks.
PREPARE = """
import django, datetime
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django_celery_beat.models import IntervalSchedule, PeriodicTask
PeriodicTask.objects.create(
    name="once", task="opsrunner.run_playbook", args='["say.yml"]', kwargs='{"limit": "two"}', queue="opsrunner",
    interval=IntervalSchedule.objects.create(every=1, period="seconds"), one_off=True,
)
"""


@dataclass
class Project:
    folder: Path
    address: str
    before: set[bytes]

    def __post_init__(self) -> None:
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def get(self, path: str) -> str:
        with self.opener.open(self.address + path, timeout=60) as answer:
            text: str = answer.read().decode()
            return text

    def post(self, path: str, **fields: str) -> dict[str, Any]:
        page = self.get("/")
        token = page.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
        data = urllib.parse.urlencode({**fields, "csrfmiddlewaretoken": token}).encode()
        with self.opener.open(self.address + path, data, timeout=60) as answer:
            told: dict[str, Any] = json.load(answer)
            return told

    def answers(self) -> bool:
        with suppress(OSError):
            return "<form" in self.get("/")
        return False


@pytest.fixture
def project(stack: Stack, tmp_path: Path) -> Iterator[Project]:
    folder = tmp_path / "django"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", "db.sqlite3"))
    port = free_port()
    environment = {
        **stack.environment,
        "CELERY_BROKER_URL": f"redis://127.0.0.1:{stack.environment['REDIS_PORT']}/0",
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "PYTHONPATH": f"{folder}:{stack.environment['PYTHONPATH']}",
    }
    subprocess.run([sys.executable, "-c", PREPARE], cwd=folder, env=environment, check=True)
    commands = (
        ("celery", "-A", "project", "worker", "-B", "-s", "beat", "-P", "threads", "-c", "2", "-l", "INFO"),
        ("django", "runserver", "--noreload", f"127.0.0.1:{port}"),
    )
    assert stack.redis
    before = set(stack.redis.client.zrange("opsrunner:runs", 0, -1))
    processes = []
    for number, command in enumerate(commands):
        with (folder / f"{number}.log").open("wb") as log:
            processes.append(
                subprocess.Popen([sys.executable, "-m", *command], cwd=folder, env=environment, stdout=log, stderr=log)
            )
    try:
        yield Project(folder, f"http://127.0.0.1:{port}", before)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(60)


def test_a_view_starts_a_run_and_polls_it_and_the_database_schedules_another(project: Project, stack: Stack) -> None:
    wait_until(project.answers, 90, f"the site: {project.folder}")
    sent = project.post("/runs/", playbook="restart.yml", limit="web1")
    told: dict[str, Any] = {}

    def ended() -> bool:
        told.update(json.loads(project.get(sent["poll"])))
        return told["state"] in ("SUCCESS", "FAILURE")

    wait_until(ended, 120, "the run")
    assert told["state"] == "SUCCESS", told
    assert told["stats"]["web1"]["changed"] == 1
    assert "restart.yml" in stack.opsrunner("show", told["run"]).stdout
    with closing(sqlite3.connect(project.folder / "db.sqlite3")) as database:
        kept = database.execute("SELECT task_name, status FROM django_celery_results_taskresult").fetchall()
    assert ("fleet.tasks.play", "SUCCESS") in kept
    with pytest.raises(urllib.error.HTTPError, match="400"):
        project.post("/runs/", playbook="../../etc/passwd")

    # What the database has scheduled went to opsrunner's worker, by its name.
    wait_until(lambda: b"say.yml" in {title.rpartition(b"/")[2] for title in begun(stack, project)}, 120, "that run")


def begun(stack: Stack, project: Project) -> list[bytes]:
    """The titles of runs that were not there before the project."""
    assert stack.redis
    redis = stack.redis.client
    runs = set(redis.zrange("opsrunner:runs", 0, -1)) - project.before
    return [redis.hget(b"opsrunner:run:" + run, "title") or b"" for run in runs]
