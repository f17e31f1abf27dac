"""The Celery app, as ``celery -A opsrunner`` finds it. Configured by ``celeryconfig.py`` alone."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

from celery import Celery, bootsteps, signals

from opsrunner import settings as settings_module
from opsrunner.engine import tasks
from opsrunner.engine.node import Node, queue_name
from opsrunner.engine.steward import Steward

if str(Path.cwd()) not in sys.path:
    sys.path.insert(0, str(Path.cwd()))

app = Celery("opsrunner")
app.config_from_object("celeryconfig")

_node: Node | None = None


def current_node() -> Node:
    """This process's Node; made by the worker's start."""
    if _node is None:
        raise RuntimeError("opsrunner tasks run only inside a worker")
    return _node


tasks.register(app, current_node)


def worker_name() -> str:
    """OPSRUNNER_WORKER_NAME, else the machine's name and this process's id."""
    return os.environ.get("OPSRUNNER_WORKER_NAME") or f"{socket.gethostname()}-{os.getpid()}"


@signals.celeryd_after_setup.connect(weak=False)  # type: ignore[untyped-decorator]
def _own_queue(sender: str, instance: Any, conf: Any, **extra: Any) -> None:
    """Consume the queue that carries this worker's own hosts, whatever -Q says."""
    global _name
    _name = worker_name()
    app.amqp.queues.select_add(queue_name(_name))
    if tasks.SHARED_QUEUE not in app.amqp.queues.consume_from:
        app.amqp.queues.select_add(tasks.SHARED_QUEUE)


_name = ""


class NodeStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Takes the lease before the first message is consumed, gives it back after the last."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self.steward: Steward | None = None

    def start(self, parent: Any) -> None:
        global _node
        chosen = settings_module.load(os.environ, Path.cwd())
        zones = tuple(zone for zone in os.environ.get("OPSRUNNER_ZONES", "default").split(",") if zone)
        _node = Node(chosen, chosen.ledger_url, _name or worker_name(), zones)
        _node.begin()
        self.steward = Steward(_node, tasks.Sender(app))
        self.steward.begin()

    def stop(self, parent: Any) -> None:
        if self.steward:
            self.steward.end()
        if _node:
            _node.end()

    terminate = stop


app.steps["worker"].add(NodeStep)
