"""Where a worker's time goes: py-spy's samples of a workload, put together by who is responsible.

A sample is a moment at which a thread held the interpreter, which is what a worker is short of. It belongs to the
innermost function of opsrunner on its stack, with whatever that called; where there is none (a library's own thread)
to the library's innermost file. A thread that holds it while it waits for a processor counts as well: take profiles on
a quiet machine.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.bench_control_plane import ControlPlane, inventory, playbook
from benchmarks.clients import Opsrunner
from benchmarks.counters import cpu_of
from benchmarks.measuring import Failed
from benchmarks.workloads import Task

#: Samples a second.
RATE = 200
#: Owners, and rooms or libraries, that a result keeps.
KEPT = 8
FRAME = re.compile(r"(?P<function>[^;(]+) \((?P<file>[^;)]+?)(?::\d+)?\)")

#: Who used how many seconds of CPU.
Used = list[tuple[str, float]]


def owner(stack: str) -> str:
    """Who is responsible for a sample; ``stack`` is py-spy's, outermost frame first."""
    frames = [(match["file"], match["function"]) for match in FRAME.finditer(stack)]
    for file, function in reversed(frames):
        if file.startswith("opsrunner/") and file != "opsrunner/__main__.py":
            return f"{file} {function}"
    for file, _ in reversed(frames):
        if "/" in file:
            return file
    return frames[-1][0] if frames else "unknown"


def costs(lines: Iterable[str]) -> Counter[str]:
    """Owner → samples, from py-spy's raw format."""
    found: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        if stack and count.isdecimal():
            found[owner(stack)] += int(count)
    return found


def summary(used: Used, found: Counter[str]) -> dict[str, Any]:
    """What a result keeps: shares of the samples, in percent, by owner and by room or library."""
    total = sum(found.values()) or 1
    rooms: Counter[str] = Counter()
    for who, count in found.items():
        rooms["/".join(who.split()[0].split("/")[:2])] += count

    def shares(counts: Counter[str]) -> list[tuple[str, float]]:
        return [(who, 100 * count / total) for who, count in counts.most_common(KEPT)]

    return {"cpu": used, "samples": total, "owners": shares(found), "rooms": shares(rooms)}


def take(name: str, task: Task, ours: Opsrunner, raw: Path | None) -> dict[str, Any]:
    """Profile a worker during one cold run of ``task``; the stacks are kept in the folder ``raw``."""
    with tempfile.TemporaryDirectory(prefix="op", ignore_cleanup_errors=True) as folder:
        output = Path(folder) / f"{name}.txt"
        if name == "W6":
            used = control_plane(task.hosts, Path(folder), output)
        else:
            used = over_ssh(task, ours, output)
        if raw:
            raw.mkdir(parents=True, exist_ok=True)
            shutil.copy(output, raw)
        return summary(used, costs(output.read_text().splitlines()))


def over_ssh(task: Task, ours: Opsrunner, output: Path) -> Used:
    ours.bench.purge()
    invocation = ours.invocation(task)
    try:
        invocation.before()
        redis, worker = ours.servers()
        before = cpu_of(redis), cpu_of(worker)
        with spied(worker, output):
            sample = ours.bench.once(invocation)
            used = cpu_of(redis) - before[0], cpu_of(worker) - before[1]
    finally:
        invocation.after()
        ours.bench.purge()
    if sample.verified != task.hosts:
        raise Failed(f"right on {sample.verified} of {task.hosts} hosts")
    return [("command line", sample.client - sum(used)), ("worker", used[1]), ("Redis", used[0])]


def control_plane(hosts: int, folder: Path, output: Path) -> Used:
    """One of two workers whose hosts answer at once."""
    plane = ControlPlane(folder, processes=2)
    try:
        plane.call("keygen")
        (folder / "hosts.yml").write_text(inventory(hosts))
        (folder / "play.yml").write_text(playbook(10))
        with plane.workers() as pids, spied(pids[0], output):
            watched = (*pids, plane.redis.process.pid)
            before = [cpu_of(pid) for pid in watched]
            plane.call("run", "play.yml", "-i", "hosts.yml", "--output", "plain")
            after = [cpu_of(pid) for pid in watched]
        names = ("this worker", "the other one", "Redis")
        return [(who, now - then) for who, now, then in zip(names, after, before, strict=True)]
    finally:
        plane.redis.stop()


@contextmanager
def spied(pid: int, output: Path) -> Iterator[None]:
    """py-spy watches that process during the block."""
    program = Path(sys.executable).with_name("py-spy")
    if not program.exists():
        raise Failed("no py-spy here: pip install -e '.[benchmark]'")
    # Ahead of all others: on a busy machine it would come too late. Without pauses: to stop a hundred threads takes
    # longer than what they do.
    words = ["nice", "-n", "-15", str(program), "record", "--pid", str(pid), "--rate", str(RATE), "--gil"]
    words += ["--nonblocking", "--function", "--format", "raw", "--output", str(output)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout
    lines: list[str] = []
    ready = threading.Event()
    threading.Thread(target=_read, args=(process.stdout, lines, ready), daemon=True).start()
    try:
        if not ready.wait(30) or process.poll() is not None:
            raise Failed(f"py-spy does not begin (it needs root, or ptrace): {' '.join(lines)[-200:]}")
        yield
    finally:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()
        process.wait()


def _read(output: Iterable[str], lines: list[str], ready: threading.Event) -> None:
    for line in output:
        lines.append(line.strip())
        if "Sampling" in line:
            ready.set()
    ready.set()
