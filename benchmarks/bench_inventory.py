"""Large inventories from the command line, beside ansible-inventory in the same run: medians, CPU, peak memory.

    .venv/bin/python benchmarks/bench_inventory.py [--hosts 20000 …] [--repeats 3] [--alone]

The machine is shared with whatever else runs on it; quote ratios, not seconds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import large_inventory  # noqa: E402

OURS = [sys.executable, "-m", "opsrunner"]
ANSIBLE = str(Path(sys.executable).with_name("ansible-inventory"))
ANSIBLE_HOSTS = str(Path(sys.executable).with_name("ansible"))
PLAYBOOK = "- hosts: all\n  gather_facts: false\n  tasks:\n    - command: /bin/true\n"
PATTERN = "web:&dc1:!*-07.*"


@dataclass
class Case:
    """One command, what Ansible's is for the same (none: it has none), and what was measured."""

    name: str
    command: list[str]
    peer: list[str] | None = None
    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    #: Megabytes.
    peak: float = 0.0
    refused: str = ""

    def measure(self) -> None:
        with tempfile.TemporaryFile() as told:
            began = time.perf_counter()
            process = subprocess.Popen(
                self.command, stdout=subprocess.DEVNULL, stderr=told, env={**os.environ, "PYTHONPATH": str(ROOT)}
            )
            # wait4 tells of this one process; getrusage would tell the peak of all children there ever were.
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.walls.append(time.perf_counter() - began)
            self.cpus.append(used.ru_utime + used.ru_stime)
            self.peak = max(self.peak, used.ru_maxrss / 1024)
            if process.returncode:
                told.seek(0)
                self.refused = told.read(200).decode(errors="replace").splitlines()[0]

    def row(self) -> str:
        if self.refused:
            return f"{self.name:<34} failed: {self.refused}"
        wall, cpu = statistics.median(self.walls), statistics.median(self.cpus)
        spread = f"{min(self.walls):7.2f} .. {max(self.walls):<7.2f}"
        return f"{self.name:<34} {wall:7.2f} s {spread} {cpu:7.2f} s {self.peak:6.0f} MB"


def cases(folder: Path, hosts: int) -> list[Case]:
    sources = large_inventory.write(folder / "one", hosts)
    large_inventory.write(folder / "many", hosts)
    large_inventory.write_host_files(folder / "many", hosts)
    (folder / "one.yml").write_text(PLAYBOOK)
    many = str(folder / "many" / "hosts.yml")
    yaml = str(sources["YAML"])
    host = large_inventory.shape(hosts).hosts["rack0000"][0]

    def both(name: str, ours: list[str], theirs: list[str], source: str) -> Case:
        return Case(name, [*OURS, "inventory", *ours, "-i", source], [ANSIBLE, "-i", source, *theirs])

    return [
        *(both(f"list, {form}", ["list"], ["--list"], str(source)) for form, source in sources.items()),
        both("list --yaml", ["list", "--yaml"], ["--list", "--yaml"], yaml),
        both("list, a host_vars file each", ["list"], ["--list"], many),
        both("graph", ["graph"], ["--graph"], yaml),
        both("host", ["host", host], ["--host", host], yaml),
        Case(
            "a pattern",
            [*OURS, "inventory", "hosts", PATTERN, "-i", yaml],
            [ANSIBLE_HOSTS, PATTERN, "-i", yaml, "--list-hosts"],
        ),
        Case("plan of one step", [*OURS, "plan", str(folder / "one.yml"), "-i", yaml]),
    ]


def run(hosts: int, repeats: int, alone: bool) -> None:
    print(f"\n{hosts} hosts; median wall, min .. max, CPU, peak memory")
    with tempfile.TemporaryDirectory(prefix="opsrunner-inventory-") as folder:
        for ours in cases(Path(folder), hosts):
            peer = Case(f"  {Path(ours.peer[0]).name}", ours.peer) if ours.peer and not alone else None
            for number in range(repeats):
                ours.measure()
                # What takes half a minute is done once.
                if peer and (not number or peer.walls[0] < 5):
                    peer.measure()
            print(ours.row(), flush=True)
            if peer:
                print(peer.row(), flush=True)
                if not ours.refused and not peer.refused:
                    cpu = statistics.median(peer.cpus) / statistics.median(ours.cpus)
                    print(f"{'  ratio of CPU, of memory':<34} {cpu:7.1f}   {peer.peak / ours.peak:7.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="+", default=[20_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help="without Ansible")
    given = parser.parse_args()
    for hosts in given.hosts:
        run(hosts, given.repeats, given.alone)


if __name__ == "__main__":
    main()
