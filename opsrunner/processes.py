"""Processes that outlive the command that started them, known by more than their number.

A process id is used again after a while, and after a reboot at once; so what is written down is the id and when
that process was born, and nothing is signalled that does not match both.
"""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

#: Seconds between two looks at a process that is to end.
_LOOK = 0.02
#: Open files that a long-lived child may have; what some containers allow (a thousand million) makes
#: libraries that close every possible file take minutes.
MOST_FILES = 65_536
#: Bytes from which a log is put aside when its process is started again.
_LOG_LIMIT = 10 * 1024 * 1024

#: Absent where processes are asked for by ps (macOS).
_PROC = Path("/proc/self/stat")


class Process(Struct, frozen=True):
    """A process id, and a word that no later process of that id has."""

    pid: int
    born: str


def look(pid: int) -> Process | None:
    """The living process of that id; None when there is none (one that only waits to be collected is dead)."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None if _PROC.exists() else _look_without_proc(pid)
    return None if words[0] in "ZX" else Process(pid, f"{boot}/{words[19]}")


def _look_without_proc(pid: int) -> Process | None:
    said = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split()
    return None if not said or said[0].startswith("Z") else Process(pid, "-".join(said[1:]))


def note(file: Path, process: Process) -> None:
    """Write a process down; whoever reads sees the old note or the new one, never half of one."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        draft.write_text(f"{process.pid} {process.born}\n")
        draft.replace(file)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def noted(file: Path) -> Process | None:
    """The process that was written down, if it lives."""
    try:
        pid, born = file.read_text().split()
        process = look(int(pid))
    except (OSError, ValueError):
        return None
    return process if process and process.born == born else None


def lives(process: Process) -> bool:
    return look(process.pid) == process


def end(process: Process, *, within: float) -> bool:
    """Ask the process to end, kill it after ``within`` seconds; False when even that did not help.

    Raises PermissionError for another user's process.
    """
    for number, patience in ((signal.SIGTERM, within), (signal.SIGKILL, 5.0)):
        if not send(process, number) or wait_until_gone(process, patience):
            return True
    return False


def send(process: Process, number: int) -> bool:
    """Signal the process; False when it is gone."""
    if not hasattr(os, "pidfd_open"):
        if lives(process):
            os.kill(process.pid, number)
            return True
        return False
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        # The handle stands for one process for ever: looked at once after it was opened, it cannot be another.
        if not lives(process):
            return False
        signal.pidfd_send_signal(handle, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)


def wait_until_gone(process: Process, seconds: float) -> bool:
    """Whether it is gone before ``seconds`` are over."""
    deadline = time.monotonic() + seconds
    while lives(process):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK)
    return True


def spawn(arguments: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> Process:
    """Start a program in a session of its own, its output appended to ``log`` (mode 0600); it stays when we end.

    ``arguments[0]`` is the program's path. It may open as many files as this user is allowed. Raises OSError.
    """
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.replace(log.with_name(f"{log.name}.1"))
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    with _many_files():
        pid = os.posix_spawn(
            arguments[0],
            list(arguments),
            dict(environment),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=[],
            # Python ignores these two; a program must not inherit that.
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
        )
    return look(pid) or Process(pid, "ended")


def our_program(module: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """The words that run a module of ours as a program, and the environment that lets them find it."""
    package = str(Path(__file__).parents[1])
    environment = dict(os.environ)
    if "-packages" not in package:  # a checkout that was not installed
        environment["PYTHONPATH"] = os.pathsep.join(path for path in (package, os.environ.get("PYTHONPATH")) if path)
    # -P: a folder in the current directory must not stand in for a package of ours.
    return [sys.executable, "-P", "-m", module, *arguments], environment


def children(process: Process) -> list[Process]:
    """The living direct children of a process."""
    if _PROC.exists():
        pairs = [(entry.name, _parent(entry)) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    else:
        said = subprocess.run(["ps", "-Ao", "pid=,ppid="], capture_output=True, text=True, check=False).stdout
        pairs = [(line.split()[0], line.split()[1]) for line in said.splitlines()]
    found = (look(int(pid)) for pid, parent in pairs if parent == str(process.pid))
    return [child for child in found if child]


def _parent(entry: Path) -> str:
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()[1]
    except OSError:
        return ""  # it ended meanwhile


def reap(process: Process) -> int | None:
    """The exit status of a child of ours that has ended, None while it runs."""
    try:
        pid, status = os.waitpid(process.pid, os.WNOHANG)
    except ChildProcessError:
        return None if lives(process) else 0
    return os.waitstatus_to_exitcode(status) if pid else None


@contextmanager
def _many_files() -> Iterator[None]:
    """Children begin with the largest number of open files that they may have."""
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    raised = soft != resource.RLIM_INFINITY and most > soft
    if raised:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        if raised:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """One process at a time; the lock ends with its holder, however that ends."""
    with file.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
