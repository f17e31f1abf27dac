"""One Redis, which listens at a port too, and one worker whose playbooks other Celery apps may start."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from opsrunner import Runner
from tests.fleet import free_port
from tests.integration.stack import Stack, wait_until

HOSTS = "all: {hosts: {one: , two: }, vars: {ansible_connection: local}}\n"
PLAYBOOKS = {
    "say.yml": "[{name: say, command: 'echo {{ word | default(1) }}'}]",
    "fail.yml": "[{name: fail, command: 'test {{ inventory_hostname }} = one'}]",
    # Goes on as long as the file is there that its variable names.
    "hold.yml": "[{name: hold, shell: 'while test -e {{ held }}; do sleep 0.1; done'}]",
}


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("celery")
    port = free_port()
    options = ("--port", str(port))
    with Stack(folder, redis_options=options, broker="redis", OPSRUNNER_PLAYBOOK_DIR=str(folder)) as stack:
        stack.environment["REDIS_PORT"] = str(port)
        stack.inventory(HOSTS)
        for name, tasks in PLAYBOOKS.items():
            (folder / name).write_text(f"[{{hosts: all, gather_facts: false, tasks: {tasks}}}]\n")
        stack.worker("one")
        yield stack


@pytest.fixture
def runner(stack: Stack) -> Runner:
    wanted = ("CELERY_BROKER_URL", "OPSRUNNER_STATE_DIR")
    return Runner(stack.folder, environment={name: stack.environment[name] for name in wanted})


@pytest.fixture
def other(stack: Stack) -> Iterator[Celery]:
    """Somebody else's Celery app, which shares the broker and knows nothing of opsrunner."""
    url = f"redis://127.0.0.1:{stack.environment['REDIS_PORT']}/0"
    app = Celery("other", broker=url, backend=url, set_as_current=False)
    yield app
    app.backend.result_consumer.stop()
    app.close()


@contextmanager
def celery_worker(
    stack: Stack, name: str, log: Path, *options: str, zones: str
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A worker that Celery's own command line has started, and the name that Celery knows it by."""
    known = f"{name}@{socket.gethostname()}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "opsrunner", "worker", "-l", "info", "-n", f"{name}@%h", *options],
            cwd=stack.folder,
            env={**stack.environment, "OPSRUNNER_ZONES": zones},
            stdout=output,
            stderr=output,
        )
    try:
        assert stack.redis
        redis = stack.redis.client
        wait_until(lambda: process.poll() is not None or redis.exists(f"opsrunner:worker:{known}"), 90, f"it: {log}")
        wait_until(lambda: f"{known} ready" in log.read_text(), 90, f"it: {log}")
        yield known, process
        if process.poll() is None:
            process.terminate()
        process.wait(150)
        assert "Traceback" not in log.read_text()
    finally:
        process.kill()
        process.wait()


def commanded(app: Celery, worker: str, command: str, **arguments: Any) -> str:
    """What the worker answers ``celery control``: the words of what it did, or of why it did not."""
    (answer,) = app.control.broadcast(
        command, arguments=arguments, destination=[worker], reply=True, limit=1, timeout=60
    )
    ((_, told),) = answer[worker].items()
    return str(told)


def begun_in_order(stack: Stack, app: Celery, queue: str, log: Path, priorities: list[int]) -> list[int]:
    """The priorities in the order in which a worker of one slot begins what was sent to it with them."""
    task, one = "opsrunner.run_playbook", {"limit": "one"}
    sent = {number: app.send_task(task, ("say.yml",), one, queue=queue, priority=number) for number in priorities}
    with celery_worker(stack, queue, log, "-c", "1", "-Q", queue, zones="elsewhere"):
        begun = {result.get(timeout=120)["run"]: priority for priority, result in sent.items()}
    assert stack.redis
    runs = [run.decode() for run in stack.redis.client.zrange("opsrunner:runs", 0, -1)]
    return [begun[run] for run in runs if run in begun]
