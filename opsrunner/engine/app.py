"""The Celery app, as ``celery -A opsrunner`` finds it. Configured by ``celeryconfig.py`` alone."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from celery import Celery, bootsteps, signals

from opsrunner import settings as settings_module
from opsrunner.engine import messages, tasks
from opsrunner.engine.node import Node, queue_name
from opsrunner.engine.steward import Steward
from opsrunner.engine.watcher import Watcher
from opsrunner.notify.courier import Courier

if str(Path.cwd()) not in sys.path:
    sys.path.insert(0, str(Path.cwd()))

messages.install()
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
#: Seconds that a worker which is cut has to say so.
CUT_PATIENCE = 1.0
_terms = 0


@signals.worker_shutting_down.connect(weak=False)  # type: ignore[untyped-decorator]
def _leave(sender: Any, sig: str, how: str, exitcode: int, **extra: Any) -> None:
    """The first SIGTERM finishes what was sent and hands the rest over; the second one cuts."""
    global _terms
    if _node is None:
        return
    _node.leave()
    _terms += sig == "SIGTERM"
    if _terms > 1:
        # In a thread: this is a signal handler, which may have interrupted whoever holds a lock.
        parting = threading.Thread(target=_node.part, daemon=True)
        parting.start()
        parting.join(CUT_PATIENCE)
        os._exit(128 + signal.SIGTERM)


class NodeStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Takes the lease before the first message is consumed, gives it back after the last."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self.steward: Steward | None = None
        self.watcher: Watcher | None = None
        self.courier: Courier | None = None

    def start(self, parent: Any) -> None:
        global _node
        chosen = settings_module.load(os.environ, Path.cwd())
        zones = tuple(zone for zone in os.environ.get("OPSRUNNER_ZONES", "default").split(",") if zone)
        _node = Node(chosen, chosen.ledger_url, _name or worker_name(), zones)
        _node.begin()
        self.steward = Steward(_node, tasks.Sender(app))
        self.steward.begin()
        self.watcher = Watcher(_node)
        self.watcher.begin()
        self.courier = Courier(_node.store, _node.reader, chosen, name=_node.name, boot=_node.boot)
        self.courier.begin()
        # ^C in the foreground is no rougher than the service manager.
        signal.signal(signal.SIGINT, signal.getsignal(signal.SIGTERM))

    def stop(self, parent: Any) -> None:
        if _node:
            _node.leave()  # Celery may have its own reasons to stop
        # Celery stops steps in the reverse order of their start, but the last task needs the lease and the ledger.
        parent.pool.stop()
        if self.steward:
            self.steward.end()
        if self.watcher:
            self.watcher.end()
        if self.courier:
            self.courier.end()
        if _node:
            _node.end()

    terminate = stop


app.steps["worker"].add(NodeStep)
