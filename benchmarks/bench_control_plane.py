"""The control plane alone: hosts answer at once, so that all of the CPU is the command line's, the workers' and Redis'.

    .venv/bin/python benchmarks/bench_control_plane.py [--hosts 100 1000 10000] [--steps 10] [--processes 2]

Prints microseconds of CPU for a host-step, who used them, and the memory of the workers.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.counters import cpu_of, memory_of  # noqa: E402
from tests.integration.stack import Redis, wait_until  # noqa: E402


def playbook(steps: int) -> str:
    tasks = "".join(f"    - name: step {number}\n      command: /bin/true {number}\n" for number in range(steps))
    return f"- hosts: all\n  gather_facts: false\n  tasks:\n{tasks}"


def inventory(hosts: int) -> str:
    return f"all:\n  hosts:\n    host[1:{hosts}]:\n      ansible_user: root\n"


class ControlPlane:
    """A Redis and workers of our own in one folder."""

    def __init__(self, folder: Path, processes: int) -> None:
        self.folder = folder
        self.processes = processes
        self.redis = Redis(folder / "redis", "--appendfsync", "everysec")
        self.environment = {
            **os.environ,
            "OPSRUNNER_STATE_DIR": str(folder / "state"),
            "CELERY_BROKER_URL": self.redis.url,
            "PYTHONPATH": str(ROOT),
        }

    @contextmanager
    def workers(self) -> Iterator[list[int]]:
        program = [sys.executable, str(Path(__file__).with_name("instant_worker.py")), "worker", "--name"]
        running = [
            subprocess.Popen(
                [*program, f"w{number}"],
                cwd=self.folder,
                env=self.environment,
                stdout=(self.folder / f"w{number}.log").open("ab"),
                stderr=subprocess.STDOUT,
            )
            for number in range(self.processes)
        ]
        try:
            for number in range(self.processes):
                key = f"opsrunner:worker:w{number}"
                wait_until(lambda key=key: self.redis.client.exists(key), 60, key)  # type: ignore[misc]
            yield [one.pid for one in running]
        finally:
            for one in running:
                one.terminate()
            for one in running:
                one.wait(30)

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-m", "opsrunner", *words]
        done = subprocess.run(program, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{words} failed ({done.returncode}): {done.stdout[-800:]}{done.stderr[-800:]}")
        return done

    def measure(self, hosts: int, steps: int) -> dict[str, float]:
        """Seconds of CPU by who used them, seconds of wall time, and megabytes of one worker."""
        (self.folder / "hosts.yml").write_text(inventory(hosts))
        (self.folder / "play.yml").write_text(playbook(steps))
        with self.workers() as pids:
            own = resource.getrusage(resource.RUSAGE_CHILDREN)
            busy, server = sum(map(cpu_of, pids)), cpu_of(self.redis.process.pid)
            began = time.perf_counter()
            self.call("run", "play.yml", "-i", "hosts.yml", "--output", "plain")
            wall = time.perf_counter() - began
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            figures = {
                "hosts": hosts,
                "steps": steps,
                "wall": wall,
                "command line": after.ru_utime + after.ru_stime - own.ru_utime - own.ru_stime,
                "workers": sum(map(cpu_of, pids)) - busy,
                "redis": cpu_of(self.redis.process.pid) - server,
                "worker MB": max(memory_of(pid, "VmHWM") for pid in pids),
                "redis MB": memory_of(self.redis.process.pid, "VmHWM"),
            }
        self.redis.client.flushall()
        return figures


def report(rows: list[dict[str, float]]) -> None:
    parts = ("command line", "workers", "redis")
    print(f"{'hosts':>7} {'steps':>6} {'wall s':>8} {'µs/host-step':>13}", *(f"{part:>13}" for part in parts), end="")
    print(f" {'worker MB':>10} {'redis MB':>9}")
    for row in rows:
        each = 1e6 / (row["hosts"] * row["steps"])
        total = sum(row[part] for part in parts) * each
        print(f"{row['hosts']:>7} {row['steps']:>6} {row['wall']:>8.2f} {total:>13.0f}", end=" ")
        print(*(f"{row[part] * each:>13.0f}" for part in parts), end=" ")
        print(f"{row['worker MB']:>10.0f} {row['redis MB']:>9.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    chosen = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="oc") as folder:
        plane = ControlPlane(Path(folder), chosen.processes)
        try:
            plane.call("keygen")
            rows = [plane.measure(hosts, chosen.steps) for hosts in chosen.hosts]
        finally:
            plane.redis.stop()
    report(rows)
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
