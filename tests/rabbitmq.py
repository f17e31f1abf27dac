"""A real RabbitMQ for tests: its own node, ports, folder and epmd, ended by pid; one for each test process."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.fleet import free_port

#: Debian's own script would change the user and the folder.
SCRIPTS = Path("/usr/lib/rabbitmq/bin")
#: Erlang starts slowly where many tests do at once.
READY_WITHIN = 150.0
#: What makes it small: one scheduler that does not spin, and only the broker.
ERLANG = "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"


class RabbitMQ:
    """A running server; each :meth:`url` leads to a virtual host of its own."""

    def __init__(self) -> None:
        if not (SCRIPTS / "rabbitmq-server").exists():
            raise RuntimeError("the tests need a real RabbitMQ: apt-get install rabbitmq-server")
        self.folder = Path(tempfile.mkdtemp(prefix="opsrunner-rabbitmq-"))
        self.port = free_port()
        self._hosts = 0
        self._processes: list[subprocess.Popen[bytes]] = []
        self._name_port = free_port()
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),  # where the cookie lies
            "RABBITMQ_NODENAME": f"test{os.getpid()}@localhost",
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERLANG,
            "RABBITMQ_CTL_ERL_ARGS": ERLANG,
            "ERL_EPMD_PORT": str(self._name_port),
            "LC_ALL": "C.UTF-8",
        }
        (self.folder / "plugins").write_text("[].\n")
        (self.folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{self.port}\n")
        atexit.register(self.stop)
        # Else Erlang would start one that nobody ends.
        self._names = self._launch("epmd", "-port", str(self._name_port), "-address", "127.0.0.1")
        self._wait(self._names, lambda: _connects(self._name_port))
        self.server = self._launch(str(SCRIPTS / "rabbitmq-server"))
        self._wait(self.server, lambda: _greets(self.port))

    def url(self) -> str:
        """Celery's URL of a virtual host that nobody else was given."""
        self._hosts += 1
        if self._hosts == 1:
            return f"amqp://guest:guest@127.0.0.1:{self.port}//"
        name = f"test{self._hosts}"
        text = (
            f'rabbit_vhost:add(<<"{name}">>, <<"test">>), rabbit_auth_backend_internal:set_permissions('
            f'<<"guest">>, <<"{name}">>, <<".*">>, <<".*">>, <<".*">>, <<"test">>).'
        )
        subprocess.run(
            [SCRIPTS / "rabbitmqctl", "eval", text], env=self._environment, check=True, capture_output=True, timeout=150
        )
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{name}"

    def stop(self) -> None:
        """End it with everything that it started; nothing of it is kept."""
        atexit.unregister(self.stop)
        for process in self._processes:
            if process.poll() is None:
                # The script's children are in its group: Erlang's machine, and its helpers.
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def restart(self) -> None:
        """Kill it and start it again with what it has on disk."""
        os.killpg(self.server.pid, signal.SIGKILL)
        self.server.wait()
        self.server = self._launch(str(SCRIPTS / "rabbitmq-server"))
        self._wait(self.server, lambda: _greets(self.port))

    def _launch(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / "output").open("ab") as output:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._processes.insert(0, process)
        return process

    def _wait(self, process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while not ready():
            assert process.poll() is None, (self.folder / "output").read_text(errors="replace")
            assert time.monotonic() < deadline, f"not ready after {READY_WITHIN} s: {process.args!r}"
            time.sleep(0.1)


def _connects(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            return True
    except OSError:
        return False


def _greets(port: int) -> bool:
    """Whether it answers what begins as no protocol with the one that it speaks."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as probe:
            probe.sendall(b"AMQP\0\0\0\0")
            return probe.recv(4) == b"AMQP"
    except OSError:
        return False


@functools.cache
def rabbitmq() -> RabbitMQ:
    """This test process's own, started when it is first wanted, ended with the process."""
    return RabbitMQ()
