"""One go through the chosen workloads: the same fleet for all, everyone in turn, everything ended afterwards."""

from __future__ import annotations

import dataclasses
import os
import platform
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import around, profiles, tables
from benchmarks.bench_control_plane import ControlPlane
from benchmarks.clients import Client, Opsrunner, peers
from benchmarks.counters import end_all, groups
from benchmarks.hosts import Hosts, openssh_version, processor, raise_file_limit
from benchmarks.measuring import Bench, Failed, Invocation, Sample
from benchmarks.workloads import CONTROL_PROFILED, OURS, WORKLOADS, Task, Workload

#: With --quick: most hosts, and those of the control plane.
QUICK_HOSTS = 20
QUICK_CONTROL = (100, 1000)
#: Hosts of the trial that tells whether a client works at all, and loads its files.
TRIAL_HOSTS = 2


@dataclass(frozen=True)
class Chosen:
    """What the command line asked for; ``hosts`` None: each workload's own number."""

    only: Sequence[str]
    repeats: int
    hosts: int | None
    quick: bool
    slow: bool
    virtualenv: Path | None
    without: frozenset[str]
    #: Most hosts of W6.
    control_hosts: int
    profiled: Sequence[str]
    raw: Path | None

    def task(self, workload: Workload) -> Task:
        hosts = self.hosts or (QUICK_HOSTS if self.quick else workload.task.hosts)
        return dataclasses.replace(workload.task, hosts=hosts)

    @property
    def runs(self) -> int:
        return 1 if self.quick else self.repeats


def measure(chosen: Chosen) -> Iterator[tuple[str, Any]]:
    """Name → result, each as soon as it is there, printed as well. Leaves no process and no file."""
    raise_file_limit()
    began = time.monotonic()
    yield "machine", machine()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ob", ignore_cleanup_errors=True)))
        client, server = groups("client", "server")
        for group in (client, server):
            stack.callback(group.close)
            stack.callback(end_all, group)
        hosts = stack.enter_context(Hosts(folder / "hosts", server))
        session = Session(chosen, Bench(folder, client, server), hosts)
        for name in chosen.only:
            say(f"\n== {name}: {tables.title(name)}")
            try:
                result = session.measure(name)
            except Exception as error:  # the others are worth measuring all the same
                say(f"{name} failed: {error}" if isinstance(error, Failed) else traceback.format_exc())
                continue
            table, notes = tables.section(name, result)
            say("\n" + table.text() + "".join(f"{note}\n" for note in notes))
            yield name, result
    say(f"\n{time.monotonic() - began:.0f} s in all")


class Session:
    def __init__(self, chosen: Chosen, bench: Bench, hosts: Hosts) -> None:
        self.chosen = chosen
        self.bench = bench
        self.hosts = hosts
        self.ours = Opsrunner(bench, hosts)
        self.others = [
            client
            for client in peers(hosts, bench, chosen.virtualenv, slow=chosen.slow)
            if client.name not in chosen.without
        ]

    def measure(self, name: str) -> Any:
        if name in WORKLOADS:
            return self.workload(name)
        if name == "W6":
            return self.control()
        if name == "idle":
            connections = self.chosen.hosts or (2 * around.FIRST if self.chosen.quick else 1000)
            return around.idle(self.ours, max(connections, 2 * around.FIRST), 3 if self.chosen.quick else 60)
        if name == "start":
            return around.start(self.ours, self.hosts, 3 if self.chosen.quick else 15)
        return self.growth() if name == "growth" else self.profiles()

    # ------------------------------------------------------------------ workloads
    def clients(self, name: str) -> list[Client]:
        ours: list[Client] = [self.ours]
        if name == "W3":
            ours.append(Opsrunner(self.bench, self.hosts, f"{OURS}, no ssh_shell", OPSRUNNER_SSH_SHELL="false"))
        return [*ours, *self.others]

    def workload(self, name: str) -> dict[str, Any]:
        task = self.chosen.task(WORKLOADS[name])
        samples: dict[str, list[Sample]] = {}
        left_out: dict[str, str] = {}
        ready: dict[str, Invocation] = {}
        for client in self.clients(name):
            invocation = client.invocation(task) if not client.missing() else None
            reason = client.missing() or (self._trial(client, task) if invocation else None)
            if reason:
                left_out[client.name] = reason
                say(f"{client.name}: left out, {reason}")
            elif invocation:
                ready[client.name] = invocation
        for client_name, sample in self._runs(task, ready, left_out):
            samples.setdefault(client_name, []).append(sample)
        return {
            "hosts": task.hosts,
            "steps": task.steps,
            "samples": {key: [dataclasses.asdict(sample) for sample in found] for key, found in samples.items()},
            "left_out": left_out,
        }

    def _trial(self, client: Client, task: Task) -> str | None:
        """Why it cannot be measured; its files are compiled and in memory afterwards."""
        trial = dataclasses.replace(task, hosts=TRIAL_HOSTS)
        invocation = client.invocation(trial)
        assert invocation
        try:
            sample = self.bench.warm(invocation, 1)[0] if task.warm else self.bench.cold(invocation)
        except Failed as error:
            return str(error)
        return None if sample.verified == TRIAL_HOSTS else f"right on {sample.verified} of {TRIAL_HOSTS} hosts"

    def _runs(self, task: Task, ready: dict[str, Invocation], left_out: dict[str, str]) -> Iterator[tuple[str, Sample]]:
        """Cold ones turn about, so that whatever else runs on the machine weighs on all; connections are kept once."""
        for number in range(1 if task.warm else self.chosen.runs):
            for name, invocation in ready.items():
                if name in left_out or (number and invocation.once):
                    continue
                try:
                    repeats = self.chosen.runs
                    found = self.bench.warm(invocation, repeats) if task.warm else [self.bench.cold(invocation)]
                except Failed as error:
                    left_out[name] = str(error)
                    say(f"{name}: {error}")
                    continue
                for sample in found:
                    say(line(name, sample, task.hosts))
                    yield name, sample

    # ------------------------------------------------------------------ the rest
    def control(self) -> list[dict[str, float]]:
        sizes = QUICK_CONTROL if self.chosen.quick else around.CONTROL_SIZES
        sizes = tuple(size for size in sizes if size <= self.chosen.control_hosts)
        found = []
        with tempfile.TemporaryDirectory(prefix="oc") as folder:
            plane = ControlPlane(Path(folder), processes=2)
            try:
                plane.call("keygen")
                for size in sizes:
                    for _ in range(1 if size == around.CONTROL_SIZES[-1] else self.chosen.runs):
                        found.append(plane.measure(size, 10))
                        say(f"{size:,} hosts: {found[-1]['wall']:.2f} s")
            finally:
                plane.redis.stop()
        return found

    def growth(self) -> dict[str, Any]:
        sizes = [size for size in around.SIZES if size <= (self.chosen.hosts or (30 if self.chosen.quick else 1000))]
        wanted = ("asyncssh script", "pyinfra", "clush")
        others = [client for client in self.others if client.name in wanted and not client.missing()]
        return around.growth(self.bench, [self.ours, *others], sizes, self.chosen.runs, say)

    def profiles(self) -> dict[str, Any]:
        found = {}
        for name in self.chosen.profiled:
            hosts = self.chosen.hosts or (QUICK_HOSTS if self.chosen.quick else None)
            if name == "W6":
                task = Task("ten", hosts or CONTROL_PROFILED)
            else:
                own = WORKLOADS[name].task
                task = dataclasses.replace(own, hosts=hosts or own.hosts, warm=False)
            found[name] = profiles.take(name, task, self.ours, self.chosen.raw)
            say(f"{name}: {found[name]['samples']} samples")
        return found


def machine() -> dict[str, str]:
    """What the figures depend on."""
    return {
        "measured": time.strftime("%Y-%m-%d", time.gmtime()),
        "processors": processor(),
        "kernel": platform.release(),
        "openssh": openssh_version(),
        "python": platform.python_version(),
        "load": f"{os.getloadavg()[0]:.0f}",
    }


def line(name: str, sample: Sample, hosts: int) -> str:
    """One run, as it is told at once."""
    noise = 100 * sample.other / sample.wall
    told = f"{name:<22} {sample.wall:7.2f} s, client {sample.client:6.2f} s, server {sample.server:6.2f} s"
    told += f", others {noise:3.0f} % of a core, {sample.memory:5.0f} MB, {sample.processes} processes"
    told += "" if sample.verified == hosts else f", RIGHT ON {sample.verified} OF {hosts}"
    return told + (f", {sample.refused} connections refused by a full queue" if sample.refused else "")


def say(text: str) -> None:
    print(text, flush=True)
