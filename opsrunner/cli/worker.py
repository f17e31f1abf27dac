"""``opsrunner worker``: a Celery worker with opsrunner's habits, or several of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import click

from opsrunner.cli import context
from opsrunner.cli.options import loglevel_option
from opsrunner.engine.waking import SignalWaker

#: Seconds until a worker process that died by itself is started again.
RESTART_AFTER = 1.0
#: Seconds between two signals that are passed on: two that wait at once are one.
APART = 0.1
#: Seconds between two events with which Celery tells that a worker lives; they tell how often they come, too.
CELERY_BEAT = 10


@click.command("worker", epilog="Example: opsrunner worker --zone frankfurt --processes 2")
@click.option(
    "--zone", "zones", multiple=True, metavar="ZONE", help="Serve this zone; may be repeated. Default: default."
)
@click.option(
    "--processes", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Worker processes."
)
@click.option("--sessions", type=click.IntRange(min=1), metavar="N", help="Hosts at work at once in each process.")
@click.option("--name", metavar="NAME", help="Name of the worker; hosts keep to a worker by its name.")
@loglevel_option("WARNING")
@click.option("--embedded", is_flag=True, hidden=True)
def command(
    zones: tuple[str, ...], processes: int, sessions: int | None, name: str | None, loglevel: str, embedded: bool
) -> int:
    """Start a worker on this node and stay in the foreground.

    SIGTERM or ^C once finishes what was sent and hands the rest over; twice cuts.
    """
    base = name or socket.gethostname()
    if sessions:
        os.environ["OPSRUNNER_SESSIONS"] = str(sessions)
    os.environ["OPSRUNNER_ZONES"] = ",".join(zones) or (
        "*" if embedded else os.environ.get("OPSRUNNER_ZONES", "default")
    )
    context.open_ledger()  # says what is wrong with the broker before Celery would try for ever
    if processes > 1:
        return _several(base, processes, loglevel)
    os.environ["OPSRUNNER_WORKER_NAME"] = base
    return _one(base, loglevel, embedded)


def _one(name: str, loglevel: str, embedded: bool) -> int:
    from celery.utils.nodenames import default_nodename, host_format

    from opsrunner.engine.app import app

    if embedded:
        from opsrunner.engine.idle import stop_when_idle

        stop_when_idle(context.settings())
    # Not by Celery's command line: it loads a shell, and every plugin that it finds, which costs 20 MB.
    worker = app.Worker(
        hostname=host_format(default_nodename(f"{name}@%h")),
        pool_cls="threads",
        loglevel=loglevel,
        without_gossip=True,
        without_mingle=True,
        # That is Celery's own, for who watches the workers by its events; ours is the lease.
        heartbeat_interval=CELERY_BEAT,
    )
    worker.start()
    # A service manager starts a worker again that did not end well.
    return worker.exitcode or 0


def _several(base: str, processes: int, loglevel: str) -> int:
    """Children of our own rather than a prefork pool: each has its own connections and queue."""
    signals: list[int] = []
    waker = SignalWaker()
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, frame: signals.append(number))
    names = [f"{base}-{number}" for number in range(1, processes + 1)]
    children = {name: _child(name, loglevel) for name in names}
    told = 0
    while not signals or any(child.poll() is None for child in children.values()):
        if told < len(signals):
            told += 1
            for child in children.values():
                child.terminate()
        for name, child in children.items():
            if child.poll() is not None and not signals:
                click.echo(f"worker {name} ended with {child.returncode}; starting it again", err=True)
                time.sleep(RESTART_AFTER)
                children[name] = _child(name, loglevel)
        if told < len(signals):
            time.sleep(APART)
        else:
            waker.wait()
    return 128 + signal.SIGTERM if any(child.returncode for child in children.values()) else 0


def _child(name: str, loglevel: str) -> subprocess.Popen[bytes]:
    """A worker in a process group of its own: ^C reaches it once, through us, as a second one would cut it."""
    program = [sys.executable, "-m", "opsrunner", "worker", "--name", name, "--loglevel", loglevel]
    return subprocess.Popen(program, stdin=subprocess.DEVNULL, process_group=0)
