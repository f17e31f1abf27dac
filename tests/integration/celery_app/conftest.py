"""One Redis, which listens at a port too, and one worker whose playbooks other Celery apps may start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery

from opsrunner import Runner
from tests.fleet import free_port
from tests.integration.stack import Stack

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
    stack = Stack(folder, redis_options=("--port", str(port)), broker="redis", OPSRUNNER_PLAYBOOK_DIR=str(folder))
    stack.environment["REDIS_PORT"] = str(port)
    stack.inventory(HOSTS)
    for name, tasks in PLAYBOOKS.items():
        (folder / name).write_text(f"[{{hosts: all, gather_facts: false, tasks: {tasks}}}]\n")
    try:
        stack.worker("one")
        yield stack
    finally:
        stack.close()


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
