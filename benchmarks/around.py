"""What is no race over hosts: idle connections, the command line's start, growth."""

from __future__ import annotations

import dataclasses
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence

from benchmarks.clients import Client, Opsrunner
from benchmarks.counters import cpu_of, memory_of
from benchmarks.hosts import Hosts
from benchmarks.measuring import Bench, Failed, Sample
from benchmarks.workloads import Task

#: Hosts over SSH, from which on one run will do, and those of the control plane alone.
SIZES = (10, 30, 100, 300, 1000)
LONG = 300
CONTROL_SIZES = (100, 1000, 10_000, 100_000)
#: Hosts with which the worker has loaded all that it needs, before memory is counted.
FIRST = 20
#: Seconds after a run until nobody does anything: five after its last host a worker gives its memory back.
SETTLED = 10


def idle(ours: Opsrunner, connections: int, seconds: float) -> dict[str, float]:
    """Percent of a core that worker and Redis use, and kilobytes a connection, while nobody does anything."""
    settled = min(SETTLED, seconds)
    ours.bench.purge()
    try:
        ours.begin()
        ours.bench.once(ours.invocation(Task("echo", FIRST)))
        server, worker = ours.servers()
        time.sleep(settled)
        before = _percent((worker, server), seconds)
        memory = memory_of(worker)
        ours.bench.once(ours.invocation(Task("echo", connections)))
        time.sleep(settled)
        after = _percent((worker, server), seconds)
        kilobytes = 1024 * (memory_of(worker) - memory) / (connections - FIRST)
        standing = len(ours.bench.server.members()) - 1
        if standing < connections:
            raise Failed(f"only {standing} connections stand")
        return {
            "connections": connections,
            "worker before": before[0],
            "redis before": before[1],
            "worker": after[0],
            "redis": after[1],
            "kilobytes": kilobytes,
        }
    finally:
        ours.call("down")
        ours.bench.purge()


def _percent(pids: Sequence[int], seconds: float) -> list[float]:
    """Of a core, each process, over that time."""
    used, began = [cpu_of(pid) for pid in pids], time.perf_counter()
    time.sleep(seconds)
    passed = time.perf_counter() - began
    return [100 * (cpu_of(pid) - before) / passed for pid, before in zip(pids, used, strict=True)]


def start(ours: Opsrunner, hosts: Hosts, repeats: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds of wall time, and of its own CPU, of the shortest commands, beside ssh with ControlMaster."""
    bench, address = ours.bench, hosts.addresses[0]
    ssh = ["ssh", "-F", str(hosts.ssh_config(False, bench.folder / "mux")), address, "/bin/echo", "opsok"]
    inventory = str(hosts.inventory(1, False))
    commands = {
        "opsrunner --version": ours.words("--version"),
        "opsrunner exec, one warm host": ours.words("exec", "all", "-i", inventory, "--", "/bin/echo", "opsok"),
        "ssh with ControlMaster, one warm host": ssh,
    }
    bench.purge()
    try:
        ours.begin()
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for number in range(repeats + 1):  # the first connects, and is not counted
            for name, words in commands.items():
                used = _used(words, ours, entrance=bench.client.entrance if number == 0 else [])
                if number:
                    found[name].append(used)
        return found
    finally:
        ours.call("down")
        bench.purge()


def _used(words: Sequence[str], ours: Opsrunner, entrance: Sequence[str]) -> tuple[float, float]:
    began = time.perf_counter()
    process = subprocess.Popen(
        [*entrance, *words],
        cwd=ours.folder,
        env=ours.environment,
        stdin=subprocess.DEVNULL,
        # ssh's master keeps what it was given, and a pipe would wait for it.
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Failed(f"{' '.join(words[-6:])}: exit code {process.returncode}")
    return wall, used.ru_utime + used.ru_stime


def growth(
    bench: Bench, clients: Sequence[Client], sizes: Sequence[int], repeats: int, say: Callable[[str], None]
) -> dict[str, dict[str, dict[str, float]]]:
    """Client → hosts → the sample whose wall time is the median. What takes long is measured once."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for size in sizes:
        for client in clients:
            invocation = client.invocation(Task("echo", size))
            if invocation is None:
                continue
            try:
                count = 1 if size >= LONG else repeats
                samples = [bench.cold(invocation) for _ in range(count)]
            except Failed as error:
                say(f"{client.name}, {size} hosts: {error}")
                continue
            middle = _middle(samples)
            if middle.verified == size:
                found.setdefault(client.name, {})[str(size)] = dataclasses.asdict(middle)
            say(f"{client.name}, {size} hosts: {middle.wall:.2f} s, {middle.verified} right")
    return found


def _middle(samples: Sequence[Sample]) -> Sample:
    middle = statistics.median_low([sample.wall for sample in samples])
    return next(sample for sample in samples if sample.wall == middle)
