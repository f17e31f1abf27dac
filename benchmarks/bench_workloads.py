"""Our workloads, and the peers that are installed, on one sshd fleet in one go: medians, CPU, memory.

    .venv/bin/python benchmarks/bench_workloads.py [--hosts 200] [--repeats 5]

Client is everything on the operator's side: command line, worker and Redis together. sshd and the remote
commands share the machine; quote ratios, not seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from opsrunner import embedded, settings  # noqa: E402
from tests.fleet import Fleet  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Case:
    """One workload: what to run, what to do before each run, and what was measured."""

    name: str
    command: list[str]
    before: Callable[[], None] = lambda: None
    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    memory: float = 0.0


def cpu_of(pid: int) -> float:
    """Seconds of CPU a process and its ended children have used."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return sum(int(value) for value in fields[11:15]) / TICKS


def memory_of(pid: int) -> float:
    """Megabytes resident."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


class Bench:
    def __init__(self, folder: Path, hosts: int) -> None:
        self.folder = folder
        self.fleet = Fleet.start(folder / "sshd")
        (folder / "hosts.yml").write_text(self.fleet.inventory_yaml(hosts))
        steps = "".join(f"    - name: step {n}\n      raw: /bin/echo step {n}\n" for n in range(10))
        (folder / "ten.yml").write_text(f"- hosts: all\n  gather_facts: false\n  tasks:\n{steps}")
        self.environment = {**os.environ, "OPSRUNNER_STATE_DIR": str(folder / "state"), "PYTHONPATH": str(ROOT)}
        self.settings = settings.load(self.environment, folder)
        self.hosts = hosts

    def opsrunner(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "opsrunner", *words]

    def call(self, *words: str) -> None:
        done = subprocess.run(
            self.opsrunner(*words), cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"opsrunner {' '.join(words)} failed: {done.stdout[-500:]}{done.stderr[-500:]}")

    def cold(self) -> None:
        """A fresh worker: no connection is there."""
        self.call("down")
        self.call("up")

    def servers(self) -> list[int]:
        found = embedded.status(self.settings)
        return [pid for pid in (found.server, found.worker) if pid]

    def measure(self, case: Case) -> None:
        case.before()
        servers = self.servers()
        before = sum(cpu_of(pid) for pid in servers)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        done = subprocess.run(
            case.command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        case.walls.append(time.perf_counter() - began)
        if done.returncode:
            raise SystemExit(f"{case.name} failed ({done.returncode}): {done.stdout[-800:]}{done.stderr[-800:]}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
        ours = "opsrunner" in case.name
        case.cpus.append(own + (sum(cpu_of(pid) for pid in servers) - before if ours else 0.0))
        case.memory = max(case.memory, sum(memory_of(pid) for pid in servers) if ours else after.ru_maxrss / 1024)

    def cases(self) -> list[Case]:
        execute = self.opsrunner("exec", "all", "-i", "hosts.yml", "--", "/bin/echo", "ok")
        ten = self.opsrunner("run", "ten.yml", "-i", "hosts.yml")
        cases = [
            Case("exec cold · opsrunner", execute, self.cold),
            Case("exec warm · opsrunner", execute),
            Case("10 steps cold · opsrunner", ten, self.cold),
            Case("10 steps warm · opsrunner", ten),
        ]
        return cases + self.peers()

    def peers(self) -> list[Case]:
        """Whoever is installed; strict host keys on, one key, as for us."""
        found: list[Case] = []
        ansible = shutil.which("ansible", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        if ansible:
            found.append(
                Case(
                    "exec · ansible raw -f 50",
                    [ansible, "all", "-i", "hosts.yml", "-f", "50", "-m", "raw", "-a", "/bin/echo ok"],
                )
            )
            play = str(Path(ansible).with_name("ansible-playbook"))
            found.append(Case("10 steps · ansible -f 50", [play, "-i", "hosts.yml", "-f", "50", "ten.yml"]))
        clush = shutil.which("clush")
        if clush:
            names = ",".join(self.fleet.addresses(self.hosts))
            options = (
                f"-p {self.fleet.port} -i {self.fleet.key} -o UserKnownHostsFile={self.fleet.known_hosts}"
                " -o KexAlgorithms=curve25519-sha256"
            )
            found.append(
                Case("exec cold · clush -f 64", [clush, "-f", "64", "-w", names, "-o", options, "/bin/echo ok"])
            )
        return found


def report(cases: list[Case], hosts: int) -> None:
    print(f"{hosts} hosts, {os.cpu_count()} cores, medians of {len(cases[0].walls)}")
    print(f"{'workload':<30} {'wall s':>8} {'min..max':>14} {'client CPU s':>13} {'MB':>6}")
    for case in cases:
        spread = f"{min(case.walls):.2f}..{max(case.walls):.2f}"
        wall, cpu = statistics.median(case.walls), statistics.median(case.cpus)
        print(f"{case.name:<30} {wall:>8.2f} {spread:>14} {cpu:>13.2f} {case.memory:>6.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ob") as folder:
        bench = Bench(Path(folder), chosen.hosts)
        try:
            cases = bench.cases()
            bench.call("up")
            for case in cases:
                slow = "ansible" in case.name
                for _ in range(1 if slow else chosen.repeats):
                    bench.measure(case)
            report(cases, chosen.hosts)
            if chosen.json:
                chosen.json.write_text(
                    json.dumps([vars(case) | {"before": None} for case in cases], indent=2, default=str)
                )
        finally:
            bench.call("down")
            bench.fleet.stop()


if __name__ == "__main__":
    main()
