"""RabbitMQ carries the messages, Redis remembers. All of tests/integration goes that way with TEST_BROKER."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from kombu import Connection

from tests.integration.celery_app.conftest import HOSTS, begun_in_order, commanded
from tests.integration.stack import Stack, statuses, wait_until
from tests.rabbitmq import rabbitmq

PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - {name: one, shell: "echo {{ inventory_hostname }} >> {{ playbook_dir }}/marks"}
    - {name: two, shell: "while test -e {{ playbook_dir }}/held; do sleep 0.1; done"}
    - {name: three, shell: "echo {{ inventory_hostname }} >> {{ playbook_dir }}/marks"}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("rabbitmq")
    with Stack(folder, broker="rabbitmq", OPSRUNNER_PLAYBOOK_DIR=str(folder)) as stack:
        stack.inventory(HOSTS)
        (folder / "play.yml").write_text(PLAY)
        (folder / "say.yml").write_text("[{hosts: all, gather_facts: false, tasks: [{name: say, command: echo 1}]}]")
        stack.worker("one")
        stack.worker("two")
        yield stack


def test_two_workers_share_a_run(served: Stack) -> None:
    document = served.play(PLAY)
    for task in ("one", "two", "three"):
        assert statuses(document, task) == {"one": "changed", "two": "changed"}
    assert sorted((served.folder / "marks").read_text().split()) == ["one", "one", "two", "two"]


def test_queues_are_replicated_and_a_workers_own_goes_with_it(served: Stack) -> None:
    with Connection(served.environment["CELERY_BROKER_URL"]) as connection:
        channel = connection.channel()
        # Declared as they are not, RabbitMQ refuses and says how they are.
        for name, argument in (("opsrunner", "x-queue-type"), ("opsrunner.one", "x-expires")):
            with pytest.raises(channel.connection.channel_errors, match=argument):
                channel.queue_declare(name, durable=True, auto_delete=False, arguments=MISSING[argument])
            channel = connection.channel()


MISSING = {"x-queue-type": {"x-queue-type": "classic"}, "x-expires": {"x-queue-type": "quorum"}}


@pytest.fixture
def other(served: Stack) -> Iterator[Celery]:
    """Somebody else's app, which declares queues as we do."""
    broker, backend = served.environment["CELERY_BROKER_URL"], served.environment["CELERY_RESULT_BACKEND"]
    app = Celery("other", broker=broker, backend=backend, set_as_current=False)
    app.conf.redis_socket_keepalive = False
    app.conf.task_create_missing_queue_type = "quorum"
    app.conf.task_create_missing_queue_exchange_type = "topic"
    yield app
    app.backend.result_consumer.stop()
    app.close()


def test_the_task_is_sent_from_another_app(served: Stack, other: Celery) -> None:
    sent = other.send_task("opsrunner.run_playbook", ("play.yml",), {"limit": "two"}, queue="opsrunner")
    assert list(sent.get(timeout=120)["stats"]) == ["two"]
    names = [f"{name}@{socket.gethostname()}" for name in ("one", "two")]
    assert set(other.control.inspect(timeout=60, destination=names).ping()) == set(names)


def test_a_worker_takes_another_queue_and_leaves_it(served: Stack, other: Celery) -> None:
    name = f"one@{socket.gethostname()}"
    assert commanded(other, name, "add_consumer", queue="extra") == "add consumer extra"
    sent = other.send_task("opsrunner.run_playbook", ("say.yml",), {"limit": "two"}, queue="extra")
    assert sent.get(timeout=120)["status"] == "succeeded"
    assert commanded(other, name, "cancel_consumer", queue="extra") == "no longer consuming from extra"


def test_priorities_are_what_rabbitmq_makes_of_them(served: Stack, other: Celery, tmp_path: Path) -> None:
    """Quorum queues have two levels from RabbitMQ 4 on, and none before."""
    with other.connection() as connection:
        version = connection.connection.server_properties["version"]
    expected = [0, 9, 4] if int(version.split(".")[0]) < 4 else [9, 0, 4]
    assert begun_in_order(served, other, "ordered", tmp_path / "log", [0, 9, 4]) == expected


def test_a_run_goes_on_after_rabbitmq_was_killed(served: Stack) -> None:
    held, marks = served.folder / "held", served.folder / "marks"
    held.touch()
    marks.unlink(missing_ok=True)
    run = served.opsrunner("run", "play.yml", "--detach").stdout.strip()
    wait_until(lambda: marks.exists() and len(marks.read_text().split()) == 2, 60, "the first step")
    rabbitmq().restart()
    held.unlink()
    document = served.ending(run)
    assert statuses(document, "three") == {"one": "changed", "two": "changed"}
    assert sorted(marks.read_text().split()) == ["one", "one", "two", "two"], "nothing was sent twice"
    document = served.play(Path(served.folder / "play.yml").read_text())
    assert document["status"] == "succeeded"
