"""Runs a client's command and counts: wall time, the CPU of both sides, the memory of its own, what it got right."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.counters import Group, MemoryWatch, end_all, machine_cpu, refused_connections

#: Seconds after which a client is killed.
LIMIT = 590.0
#: Seconds that sshd's sessions may take to wind up when a client has gone.
SETTLE_WITHIN = 20.0
#: Runs that make a client's connections warm: ours opens shells for hosts that are asked again and again.
WARMING = 6


class Failed(Exception):
    """A client ended badly; the text says how."""


def nothing() -> None:
    """Most clients need no preparation."""


@dataclass(frozen=True)
class Invocation:
    """One way to carry out a workload. ``verified`` reads the output: how many hosts' was what it must be."""

    words: Sequence[str]
    verified: Callable[[str], int]
    environment: Mapping[str, str] = field(default_factory=dict)
    #: It stays, and does its work anew for each line that it is sent.
    stays: bool = False
    #: Too slow to be repeated.
    once: bool = False
    #: Before and after each run that is counted, or around all of them where the workload is warm.
    before: Callable[[], None] = nothing
    after: Callable[[], None] = nothing
    #: Megabytes that it has put by for later: what a memory goal does not count.
    stored: Callable[[], float] = lambda: 0.0


@dataclass
class Sample:
    """One run. Times in seconds, memory in megabytes; ``other`` is CPU that neither side used."""

    wall: float
    client: float = 0.0
    server: float = 0.0
    other: float = 0.0
    memory: float = 0.0
    stored: float = 0.0
    processes: int = 0
    refused: int = 0
    verified: int = 0


class Bench:
    """The two sides, and the folder that clients run in."""

    def __init__(self, folder: Path, client: Group, server: Group) -> None:
        self.folder = folder
        self.client = client
        self.server = server
        self.environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(folder / "home"),
            "LANG": "C.UTF-8",
        }
        (folder / "home").mkdir()

    # ------------------------------------------------------------------ runs
    def cold(self, invocation: Invocation) -> Sample:
        """One run of a fresh process; nothing of it is left afterwards."""
        self.purge()
        try:
            invocation.before()
            return self.once(invocation)
        finally:
            invocation.after()
            self.purge()

    def warm(self, invocation: Invocation, repeats: int) -> list[Sample]:
        """Runs with the connections of earlier ones, which are not counted."""
        self.purge()
        try:
            invocation.before()
            if invocation.stays:
                return self._resident(invocation, repeats)
            for _ in range(WARMING):
                self.once(invocation)
            return [self.once(invocation) for _ in range(repeats)]
        finally:
            invocation.after()
            self.purge()

    def once(self, invocation: Invocation) -> Sample:
        # Hundreds of megabytes of output: where there is such a file system, no disk is measured.
        memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
        with tempfile.TemporaryFile(dir=memory) as output:
            with self._span() as sample:
                began = time.perf_counter()
                process = self._start(invocation, stdin=subprocess.DEVNULL, stdout=output)
                limit = _limit(process)
                _, status, used = os.wait4(process.pid, 0)
                sample.wall = time.perf_counter() - began
                limit.cancel()
                process.returncode = os.waitstatus_to_exitcode(status)
                self.client.ended(process.pid, used.ru_utime + used.ru_stime)
            output.seek(0)
            text = output.read().decode(errors="replace")
        sample.verified = invocation.verified(text)
        sample.stored = invocation.stored()
        if process.returncode and not sample.verified:
            raise Failed(f"exit code {process.returncode}: {' '.join(text[-300:].split())}")
        return sample

    def _resident(self, invocation: Invocation, repeats: int) -> list[Sample]:
        process = self._start(invocation, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin and process.stdout
        limit = _limit(process)
        samples = []
        try:
            self._answer(process, invocation)  # the first time it connects
            for _ in range(WARMING - 1):
                self._ask(process, invocation)
            for _ in range(repeats):
                self._settle()
                with self._span() as sample:
                    began = time.perf_counter()
                    sample.verified = self._ask(process, invocation)
                    sample.wall = time.perf_counter() - began
                samples.append(sample)
        finally:
            limit.cancel()
            process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
        return samples

    def _ask(self, process: subprocess.Popen[bytes], invocation: Invocation) -> int:
        """Have a resident script do it once more."""
        assert process.stdin
        process.stdin.write(b"again\n")
        process.stdin.flush()
        return self._answer(process, invocation)

    @staticmethod
    def _answer(process: subprocess.Popen[bytes], invocation: Invocation) -> int:
        lines = []
        assert process.stdout
        for line in process.stdout:
            lines.append(line.decode(errors="replace"))
            if lines[-1].startswith("verified "):
                return invocation.verified(lines[-1])
        raise Failed(" ".join("".join(lines)[-300:].split()))

    def _start(self, invocation: Invocation, stdin: object, stdout: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self.client.entrance, *invocation.words],
            cwd=self.folder,
            env={**self.environment, **invocation.environment},
            stdin=stdin,  # type: ignore[arg-type]
            stdout=stdout,  # type: ignore[arg-type]
            stderr=subprocess.STDOUT,
        )

    # ------------------------------------------------------------------ counting
    @contextmanager
    def _span(self) -> Iterator[Sample]:
        """Counts from here to the end of the block, and then until the hosts have nothing more to do."""
        sample = Sample(0.0)
        client, server, machine, refused = self.client.cpu(), self.server.cpu(), machine_cpu(), refused_connections()
        watch = MemoryWatch(self.client)
        watch.start()
        try:
            yield sample
            sample.client = self.client.cpu() - client
            watch.look()
        finally:
            watch.finish()
        self._settle()
        sample.server = self.server.cpu() - server
        late = self.client.cpu() - client - sample.client
        sample.other = max(0.0, machine_cpu() - machine - sample.client - late - sample.server)
        sample.memory, sample.processes = watch.megabytes, watch.processes
        sample.refused = refused_connections() - refused

    def _settle(self) -> None:
        """Until sshd's sessions have done what they do when a client has gone."""
        last = self.server.cpu()
        for _ in range(40):
            time.sleep(0.1)
            now = self.server.cpu()
            if now - last < 0.003:
                return
            last = now

    def purge(self) -> None:
        """Nothing of a client is left: no process of its own, no session of its connections."""
        end_all(self.client)
        deadline = time.monotonic() + SETTLE_WITHIN
        while len(self.server.members()) > 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        shutil.rmtree(self.folder / "mux", ignore_errors=True)
        (self.folder / "mux").mkdir()


def _limit(process: subprocess.Popen[bytes]) -> threading.Timer:
    """Kills the process when it takes too long; not by Popen.kill, which would take its exit status from us."""
    timer = threading.Timer(LIMIT, os.kill, (process.pid, signal.SIGKILL))
    timer.daemon = True
    timer.start()
    return timer
