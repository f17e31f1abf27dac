"""What processes used: the CPU time and memory of all that one side of a measurement has started."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import Protocol

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
#: Where the kernel keeps its control groups of version 2, beside version 1 or alone.
MOUNTS = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
#: Seconds between two looks at the memory of a group.
LOOK = 0.2


def cpu_of(pid: int) -> float:
    """Seconds of CPU a process and its ended children have used."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(value) for value in fields[11:15]) / TICKS


def memory_of(pid: int, line: str = "VmRSS") -> float:
    """Megabytes resident now; with ``VmHWM`` at its most."""
    with contextlib.suppress(OSError):
        for text in Path(f"/proc/{pid}/status").read_text().splitlines():
            if text.startswith(f"{line}:"):
                return int(text.split()[1]) / 1024
    return 0.0


def resident(pid: int) -> float:
    """Megabytes resident now, read fast."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 1e6
    except OSError:
        return 0.0


def machine_cpu() -> float:
    """Seconds that all processors were busy since they were started."""
    fields = [int(value) for value in Path("/proc/stat").read_text().split(maxsplit=9)[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS


def refused_connections() -> int:
    """Connections that a full queue refused since the machine was started: each cost its client a second."""
    rows = Path("/proc/net/netstat").read_text().splitlines()
    for names, values in zip(rows[::2], rows[1::2], strict=False):
        if names.startswith("TcpExt:"):
            found = dict(zip(names.split()[1:], values.split()[1:], strict=False))
            return int(found.get("ListenOverflows", 0)) + int(found.get("TCPReqQFullDrop", 0))
    return 0


class Group(Protocol):
    """Processes that are counted together, with all that they start."""

    #: Words before a command that begin it in this group.
    entrance: list[str]

    def cpu(self) -> float:
        """Seconds that all its processes have used, ended ones included."""

    def members(self) -> list[int]: ...

    def adopt(self, pid: int) -> None:
        """A process that began in it, but may not look like it."""

    def ended(self, pid: int, seconds: float) -> None:
        """A process that we had started ended after using that much."""

    def close(self) -> None: ...


class ControlGroup:
    """Counted by the kernel: nothing escapes, whoever forks or goes into the background."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.entrance = ["/bin/sh", "-c", 'echo $$ >"$0" && exec "$@"', str(folder / "cgroup.procs")]

    def cpu(self) -> float:
        return int((self.folder / "cpu.stat").read_text().split()[1]) / 1e6

    def members(self) -> list[int]:
        return sorted({int(line) for line in (self.folder / "cgroup.procs").read_text().split()})

    def adopt(self, pid: int) -> None:
        """The kernel knows it."""

    def ended(self, pid: int, seconds: float) -> None:
        """The kernel has counted it."""

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.folder.rmdir()


class MarkedGroup:
    """Where there are no control groups: processes with a mark in their environment, and their descendants.

    What a process used that ended in the background between two looks is missed, and of one that still runs what is
    less than a hundredth of a second: warm connections of a thousand hosts have nearly cost nothing here.
    """

    def __init__(self, mark: str) -> None:
        self.mark = f"BENCHMARK_GROUP={mark}"
        self.entrance = ["/usr/bin/env", self.mark]
        self._ended = 0.0
        self._known: set[tuple[int, str]] = set()

    def cpu(self) -> float:
        return self._ended + sum(map(cpu_of, self.members()))

    def members(self) -> list[int]:
        parents: dict[int, int] = {}
        born: dict[int, str] = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (entry / "stat").read_text().rpartition(")")[2].split()
                if words[0] != "Z":
                    parents[int(entry.name)], born[int(entry.name)] = int(words[1]), words[19]
        # One that was seen here stays a member when its parent ends, whatever its environment. Marks are looked for
        # where nothing else tells: at our own children, and at those that went into the background.
        found = {pid for pid in parents if (pid, born[pid]) in self._known}
        found |= {pid for pid, parent in parents.items() if parent in (1, os.getpid()) and self._is_marked(pid)}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        self._known = {(pid, born[pid]) for pid in found}
        return sorted(found)

    def _is_marked(self, pid: int) -> bool:
        try:
            return self.mark.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False

    def adopt(self, pid: int) -> None:
        """Some give their children no environment, and sshd writes its title over its own."""
        with contextlib.suppress(OSError):
            self._known.add((pid, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]))

    def ended(self, pid: int, seconds: float) -> None:
        self._ended += seconds

    def close(self) -> None:
        """Nothing was made."""


def groups(*names: str) -> list[Group]:
    """A group for each name: control groups where we may make them."""
    for mount in MOUNTS:
        if not (mount / "cgroup.controllers").exists():
            continue
        made: list[Group] = []
        try:
            for name in names:
                made.append(ControlGroup(mount / f"opsrunner-benchmark-{os.getpid()}-{name}"))
            # A group may be made where no process may enter it.
            if os.spawnv(os.P_WAIT, "/bin/sh", [*made[0].entrance, "/bin/true"]) == 0:
                return made
        except OSError:
            pass
        for group in made:
            group.close()
    return [MarkedGroup(f"{os.getpid()}-{name}") for name in names]


def end_all(group: Group) -> None:
    """End every process of the group: asked first, killed after some seconds."""
    for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        deadline = time.monotonic() + patience
        for pid in group.members():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        while group.members():
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        else:
            return


class MemoryWatch(threading.Thread):
    """Looks at a group now and then; ``megabytes`` and ``processes`` are the most there were.

    Resident memory is added up over processes: pages that they share count for each.
    """

    def __init__(self, group: Group) -> None:
        super().__init__(daemon=True)
        self.group = group
        self.megabytes = 0.0
        self.processes = 0
        self._over = threading.Event()

    def look(self) -> None:
        members = self.group.members()
        self.megabytes = max(self.megabytes, sum(map(resident, members)))
        self.processes = max(self.processes, len(members))

    def run(self) -> None:
        while not self._over.wait(LOOK):
            self.look()

    def finish(self) -> None:
        self._over.set()
        self.join()
