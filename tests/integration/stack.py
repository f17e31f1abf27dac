"""Our own servers for one test: a Redis, workers, and the command line, all in one folder and ended by pid."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis

from opsrunner.embedded import find_server


class Redis:
    """A real server on a unix socket, with an append-only file.

    ``within`` is the command that leads into its network namespace.
    """

    def __init__(self, folder: Path, *options: str, within: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.within = within
        self.folder = folder
        self.socket = folder / "redis.sock"
        self.url = f"redis+socket://{self.socket}"
        self.options = options
        self.start()

    def start(self) -> None:
        command = [
            *self.within,
            find_server(),
            "--port",
            "0",
            "--unixsocket",
            str(self.socket),
            "--dir",
            str(self.folder),
        ]
        command += ["--save", "", "--appendonly", "yes", *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.client = redis.Redis(unix_socket_path=str(self.socket))
        wait_until(self._answers, 10, "redis")

    def _answers(self) -> bool:
        with contextlib.suppress(redis.exceptions.ConnectionError, redis.exceptions.BusyLoadingError):
            return bool(self.client.ping())
        return False

    def stop(self, how: int = signal.SIGTERM) -> None:
        self.client.close()
        self.process.send_signal(how)
        self.process.wait()

    def __enter__(self) -> Redis:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def forget(self) -> None:
        """Lose the data of a server that was stopped."""
        for path in self.folder.glob("appendonly*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


class Stack:
    """A folder with its own state, broker and workers, which end with it; ``opsrunner`` types a command there."""

    def __init__(
        self,
        folder: Path,
        *,
        embedded: bool = False,
        redis: Redis | None = None,
        redis_options: tuple[str, ...] = (),
        broker: str = os.environ.get("TEST_BROKER", "redis"),
        **environment: str,
    ) -> None:
        """``redis`` is one that runs already; without it (and not ``embedded``) one is started.

        ``broker`` is ``redis`` or ``rabbitmq``; the ledger is in Redis always.
        """
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.redis = None if embedded else redis or Redis(folder / "redis", *redis_options)
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPSRUNNER_", "CELERY_"))}
        # Whoever runs the tests chooses which way commands go.
        kept |= {name: os.environ[name] for name in ("OPSRUNNER_SSH_SHELL",) if name in os.environ}
        self.environment = {
            **kept,
            "OPSRUNNER_STATE_DIR": str(folder / "state"),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "PYTHONWARNINGS": "default",
            **environment,
        }
        if self.redis:
            self.environment["CELERY_BROKER_URL"] = self.redis.url
            if broker == "rabbitmq":
                from tests.rabbitmq import rabbitmq

                self.environment["CELERY_RESULT_BACKEND"] = self.redis.url
                self.environment["CELERY_BROKER_URL"] = rabbitmq().url()
            self.opsrunner("keygen")

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # ------------------------------------------------------------------ typing
    def opsrunner(
        self, *words: str, code: int | None = 0, stdin: str | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Type one command; its exit code must be ``code`` (None: any)."""
        done = subprocess.run(
            [sys.executable, "-m", "opsrunner", *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            input=stdin,
            timeout=timeout,
        )
        assert "Traceback" not in done.stderr, done.stderr
        if code is not None:
            assert done.returncode == code, f"exit {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
        return done

    def popen(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "opsrunner", *words],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def play(self, playbook: str, *words: str, code: int | None = 0, timeout: float = 120) -> dict[str, Any]:
        """Write the playbook down, run it with --output json, and give the document."""
        (self.folder / "play.yml").write_text(playbook)
        done = self.opsrunner("run", "play.yml", "--output", "json", *words, code=code, timeout=timeout)
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def start(self, playbook: str, *words: str) -> str:
        """Write the playbook down, run it detached, and give the run's id."""
        file = self.folder / f"play{time.monotonic_ns()}.yml"
        file.write_text(playbook)
        return self.opsrunner("run", str(file), "--detach", *words).stdout.strip()

    def ending(self, run: str, code: int | None = 0, timeout: float = 120) -> dict[str, Any]:
        """Follow the run to its end, which must have that exit code, and give the document."""
        done = self.opsrunner("watch", run, "--output", "json", code=code, timeout=timeout)
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def inventory(self, text: str) -> None:
        (self.folder / "inventory").mkdir(exist_ok=True)
        (self.folder / "inventory" / "hosts.yml").write_text(text)

    # ------------------------------------------------------------------ workers
    def worker(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        """Start a worker and wait until it is known."""
        log = (self.folder / f"{name}.log").open("ab")
        self.workers[name] = subprocess.Popen(
            [sys.executable, "-m", "opsrunner", "worker", "--name", name, *words],
            cwd=self.folder,
            env=self.environment,
            stdout=log,
            stderr=log,
        )
        log.close()
        wait_until(lambda: self.alive(name), 90, f"worker {name}: {self.folder / f'{name}.log'}")
        return self.workers[name]

    def revive(self, *names: str) -> None:
        """Start those workers that were not, or that have ended."""
        for name in names:
            if name not in self.workers or self.workers[name].poll() is not None:
                self.worker(name)

    def alive(self, name: str) -> bool:
        assert self.redis
        assert self.workers[name].poll() is None, (self.folder / f"{name}.log").read_text()
        return bool(self.redis.client.exists(f"opsrunner:worker:{name}"))

    def close(self) -> None:
        for process in self.workers.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.workers.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self.redis:
            self.redis.stop()
        else:
            self.opsrunner("down", code=None)


def wait_until(condition: Any, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)


def statuses(document: dict[str, Any], task: str) -> dict[str, str]:
    """Host → status of the task of that name in a --output json document."""
    found: dict[str, str] = {}
    for play in document["plays"]:
        for one in play["tasks"]:
            if one["name"] == task:
                found |= {host: result["status"] for host, result in one["hosts"].items()}
    return found
