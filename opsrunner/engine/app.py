"""The Celery app, as ``celery -A opsrunner`` finds it. Configured by ``celeryconfig.py`` alone."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from celery import Celery, bootsteps, signals
from celery.concurrency import thread

from opsrunner import settings as settings_module
from opsrunner.engine import messages, playbook_task, remote_control, tasks
from opsrunner.engine.bell import Bell
from opsrunner.engine.node import Node
from opsrunner.engine.queues import SHARED, queue_name
from opsrunner.engine.requests import Requests
from opsrunner.engine.steward import Steward
from opsrunner.engine.waking import SignalWaker
from opsrunner.engine.watcher import Watcher
from opsrunner.errors import BrokerUnavailable, OpsrunnerError, UsageError
from opsrunner.ledger.rounds import Rounds
from opsrunner.ledger.sealing import read_key
from opsrunner.ledger.store import connect
from opsrunner.notify.courier import Courier

if str(Path.cwd()) not in sys.path:
    sys.path.insert(0, str(Path.cwd()))

messages.install()
remote_control.describe()
app = Celery("opsrunner", amqp="opsrunner.engine.queues:AMQP")
app.config_from_object("celeryconfig")

_node: Node | None = None


def current_node() -> Node:
    """This process's Node; made by the worker's start."""
    if _node is None:
        raise RuntimeError("opsrunner tasks run only inside a worker")
    return _node


tasks.register(app, current_node)
playbook_task.register(app, current_node)


@signals.import_modules.connect(weak=False)  # type: ignore[untyped-decorator]
def _look_at_settings(sender: Any, **extra: Any) -> None:
    """The first thing that worker and beat do. Raised on, Celery would show a traceback."""
    if sender is not app:
        return  # another app of this process
    try:
        chosen = settings_module.load(os.environ, Path.cwd())
        with suppress(BrokerUnavailable):  # it is waited for
            connect(chosen.ledger_url)
    except OpsrunnerError as error:
        _refuse(error)


def _refuse(error: OpsrunnerError) -> NoReturn:
    print("\n".join(error.lines()), file=sys.stderr, flush=True)  # noqa: T201
    sys.exit(error.exit_code)


@signals.celeryd_init.connect(weak=False)  # type: ignore[untyped-decorator]
def _look_at_options(instance: Any, options: dict[str, Any], **extra: Any) -> None:
    """Before the pool is made, which would be of no threads."""
    if instance.app is app and options.get("autoscale"):
        _refuse(
            UsageError(
                "--autoscale will not do",
                why="Celery's pool of threads neither grows nor shrinks, and a thread that waits costs next to nothing",
                remedy="leave it away, or pass -c with the most that you want",
            )
        )


@signals.celeryd_after_setup.connect(weak=False)  # type: ignore[untyped-decorator]
def _own_queue(sender: str, instance: Any, conf: Any, **extra: Any) -> None:
    """Consume the queue that carries this worker's own hosts, whatever -Q says. Its name is Celery's unless given."""
    global _name
    try:
        read_key(Path(settings_module.load(os.environ, Path.cwd()).key_file))
    except OpsrunnerError as error:
        _refuse(error)
    if not issubclass(instance.pool_cls, thread.TaskPool):
        pool = instance.pool_cls.__module__.rpartition(".")[2]
        _refuse(
            UsageError(
                f"the pool {pool} will not do",
                why="one process shares all SSH connections, and answers while hosts are at work",
                remedy="leave -P away (threads); more processes: opsrunner worker --processes N, or more workers",
            )
        )
    _name = os.environ.get("OPSRUNNER_WORKER_NAME") or sender
    app.amqp.queues.select_add(app.amqp.queues.new_missing(queue_name(_name)))
    if SHARED not in app.amqp.queues.consume_from:
        app.amqp.queues.select_add(app.amqp.queues[SHARED])
    remote_control.install(queue_name(_name))


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


def _wake(*helpers: Rounds) -> None:
    for helper in helpers:
        helper.wake()


class NodeStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Takes the lease before the first message is consumed, gives it back after the last."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self.helpers: tuple[Rounds, ...] = ()
        self.waker = SignalWaker()

    def start(self, parent: Any) -> None:
        global _node
        chosen = settings_module.load(os.environ, Path.cwd())
        zones = tuple(zone for zone in os.environ.get("OPSRUNNER_ZONES", "default").split(",") if zone)
        _node = Node(chosen, chosen.ledger_url, _name, zones)
        steward = Steward(_node, tasks.Sender(app))
        watcher = Watcher(_node)
        requests = Requests(_node, playbook_task.Resender(app))
        courier = Courier(_node.store, _node.reader, chosen, name=_node.name, boot=_node.boot, leads=_node.leads)
        _node.on_open = watcher.wake
        _node.on_work = partial(_wake, steward, requests, courier)
        _node.begin()
        self.helpers = (Bell(_node, steward.move_on), steward, watcher, requests, courier)
        for helper in self.helpers:
            helper.begin()
        # ^C in the foreground is no rougher than the service manager.
        signal.signal(signal.SIGINT, signal.getsignal(signal.SIGTERM))

    def register_with_event_loop(self, parent: Any, hub: Any) -> None:
        """Celery calls it whenever its loop begins: at first, and after each loss of its connection."""
        self.waker.join(hub)

    def stop(self, parent: Any) -> None:
        if _node:
            _node.leave()  # Celery may have its own reasons to stop
        # Celery stops steps in the reverse order of their start, but the last task needs the lease and the ledger.
        parent.pool.stop()
        for helper in self.helpers:
            helper.end()
        if _node:
            _node.end()
        self.waker.close()

    terminate = stop


app.steps["worker"].add(NodeStep)
