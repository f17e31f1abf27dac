"""Where the worker's time goes: py-spy's samples of a workload, put together by who is responsible.

    .venv/bin/python benchmarks/profiles.py [W1] [W3] [W6] [--hosts N] [--top 12] [--raw FOLDER]

A sample belongs to the innermost function of opsrunner on its stack, with whatever that called; where there is none
(a library's own thread) to the library's innermost file. Idle threads are not counted. --raw keeps the stacks for
flamegraph.pl or speedscope.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.bench_control_plane import ControlPlane, inventory, playbook  # noqa: E402
from benchmarks.clients import Opsrunner  # noqa: E402
from benchmarks.counters import cpu_of, end_all, groups  # noqa: E402
from benchmarks.hosts import Hosts, raise_file_limit  # noqa: E402
from benchmarks.measuring import Bench, Failed, Sample  # noqa: E402
from benchmarks.workloads import WORKLOADS, Task  # noqa: E402

#: Samples a second.
RATE = 100
FRAME = re.compile(r"(?P<function>[^;(]+) \((?P<file>[^;)]+?)(?::\d+)?\)")


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


def report(name: str, used: Sequence[tuple[str, float]], found: Counter[str], top: int) -> str:
    total = sum(found.values()) or 1
    lines = [f"{name}: CPU of " + ", ".join(f"{who} {seconds:.2f} s" for who, seconds in used)]
    lines += [f"  {100 * count / total:5.1f} %  {who}" for who, count in found.most_common(top)]
    rooms: Counter[str] = Counter()
    for who, count in found.items():
        rooms["/".join(who.split()[0].split("/")[:2])] += count
    lines += ["  by room or library:"]
    lines += [f"  {100 * count / total:5.1f} %  {who}" for who, count in rooms.most_common(top)]
    return "\n".join(lines) + "\n"


@contextmanager
def spied(pid: int, output: Path) -> Iterator[None]:
    """py-spy watches that process during the block."""
    program = str(Path(sys.executable).with_name("py-spy"))
    words = [program, "record", "--pid", str(pid), "--format", "raw", "--rate", str(RATE), "--output", str(output)]
    words += ["--function"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    ready = threading.Event()
    assert process.stdout
    reader = threading.Thread(target=_read, args=(process.stdout, ready), daemon=True)
    reader.start()
    if not ready.wait(20):
        process.kill()
        raise Failed("py-spy does not begin (it needs root or ptrace)")
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)


def _read(lines: Iterable[str], ready: threading.Event) -> None:
    for line in lines:
        if "Sampling" in line:
            ready.set()
    ready.set()


def over_ssh(task: Task, folder: Path, output: Path) -> list[tuple[str, float]]:
    """Profile the worker during one cold run; gives who used how much CPU."""
    with ExitStack() as stack:
        client, server = groups("client", "server")
        for group in (client, server):
            stack.callback(group.close)
            stack.callback(end_all, group)
        hosts = stack.enter_context(Hosts(folder / "hosts", server))
        ours = Opsrunner(Bench(folder, client, server), hosts)
        invocation = ours.invocation(task)
        invocation.before()
        stack.callback(invocation.after)
        redis, worker = ours.servers()
        before = cpu_of(redis), cpu_of(worker)
        with spied(worker, output):
            sample: Sample = ours.bench.once(invocation)
            used = cpu_of(redis) - before[0], cpu_of(worker) - before[1]
        if sample.verified != task.hosts:
            raise Failed(f"right on {sample.verified} of {task.hosts} hosts")
        return [("command line", sample.client - sum(used)), ("worker", used[1]), ("Redis", used[0])]


def control_plane(hosts: int, folder: Path, output: Path) -> list[tuple[str, float]]:
    """Profile one of two workers whose hosts answer at once."""
    plane = ControlPlane(folder, processes=2)
    try:
        plane.call("keygen")
        (folder / "hosts.yml").write_text(inventory(hosts))
        (folder / "play.yml").write_text(playbook(10))
        with plane.workers() as pids, spied(pids[0], output):
            before = [cpu_of(pid) for pid in (*pids, plane.redis.process.pid)]
            plane.call("run", "play.yml", "-i", "hosts.yml", "--output", "plain")
            after = [cpu_of(pid) for pid in (*pids, plane.redis.process.pid)]
        names = ("this worker", "the other", "Redis")
        return [(name, now - then) for name, now, then in zip(names, after, before, strict=True)]
    finally:
        plane.redis.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=["W1", "W3", "W6"], metavar="WORKLOAD")
    parser.add_argument("--hosts", type=int, help="instead of each workload's own number")
    parser.add_argument("--top", type=int, default=12)
    parser.add_argument("--raw", type=Path, help="keep the stacks in this folder")
    chosen = parser.parse_args()
    raise_file_limit()
    for name in chosen.names:
        if name not in (*WORKLOADS, "W6"):
            parser.error(f"no workload is {name!r}")
        with tempfile.TemporaryDirectory(prefix="op", ignore_cleanup_errors=True) as folder:
            output = Path(folder) / f"{name}.txt"
            if name == "W6":
                used = control_plane(chosen.hosts or 2000, Path(folder), output)
            else:
                own = WORKLOADS[name].task
                used = over_ssh(Task(own.action, chosen.hosts or own.hosts, far=own.far), Path(folder), output)
            text = output.read_text()
            print(report(name, used, costs(text.splitlines()), chosen.top), flush=True)
            if chosen.raw:
                chosen.raw.mkdir(parents=True, exist_ok=True)
                (chosen.raw / f"{name}.txt").write_text(text)


if __name__ == "__main__":
    main()
