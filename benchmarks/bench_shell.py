"""Both ways to send commands over SSH, on one fleet in one go: a channel each, and turns at one shell a host.

    .venv/bin/python benchmarks/bench_shell.py [--hosts 100] [--repeats 5]

Every host is an sshd of its own with process numbers of its own (Linux namespaces: run it as root), as what a shell
looks at after a command is every process that its host has begun meanwhile. Client is command line, worker and Redis
together; server is sshd and all that it started. They share the machine: quote ratios, not seconds.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.counters import TICKS, cpu_of  # noqa: E402
from opsrunner import embedded, settings  # noqa: E402
from tests.fleet import SSHD, free_port, make_key  # noqa: E402

STEPS = 10
CONFIGURATION = """\
Port {port}
ListenAddress {address}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PidFile none
UsePAM no
UseDNS no
StrictModes no
PrintMotd no
PermitRootLogin yes
SetEnv HOME={folder}/home
"""


@dataclass
class Figures:
    """What the runs of one way took, in seconds."""

    walls: list[float] = field(default_factory=list)
    client: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)


class Bench:
    def __init__(self, folder: Path, hosts: int) -> None:
        self.folder = folder
        self.hosts = hosts
        (folder / "home").mkdir()  # nobody's start-up files are measured
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        for name in ("host_key", "key"):
            make_key(folder / name)
        self.port = free_port()
        self.daemons = [self._daemon(f"127.1.0.{number + 1}") for number in range(hosts)]
        time.sleep(2)
        algorithm, key = (folder / "host_key.pub").read_text().split()[:2]
        (folder / "known_hosts").write_text(f"[127.*]:{self.port} {algorithm} {key}\n")
        rows = "".join(f"    h{number + 1:03}: {{ansible_host: 127.1.0.{number + 1}}}\n" for number in range(hosts))
        (folder / "hosts.yml").write_text(
            f"fleet:\n  hosts:\n{rows}  vars:\n    ansible_port: {self.port}\n"
            f"    ansible_ssh_private_key_file: {folder}/key\n    opsrunner_known_hosts: {folder}/known_hosts\n"
        )
        steps = "".join(f"    - command: /bin/echo step {number}\n" for number in range(STEPS))
        (folder / "ten.yml").write_text(f"- hosts: all\n  gather_facts: false\n  tasks:\n{steps}")

    def _daemon(self, address: str) -> subprocess.Popen[bytes]:
        configuration = self.folder / f"sshd_{address}"
        configuration.write_text(CONFIGURATION.format(port=self.port, address=address, folder=self.folder))
        within = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
        return subprocess.Popen([*within, str(SSHD), "-D", "-f", str(configuration), "-E", str(self.folder / "log")])

    def environment(self, way: str) -> dict[str, str]:
        return {
            **os.environ,
            "OPSRUNNER_STATE_DIR": str(self.folder / way),
            "OPSRUNNER_SSH_SHELL": str(way == "shell").lower(),
            "PYTHONPATH": str(ROOT),
        }

    def call(self, way: str, *words: str) -> None:
        command = [sys.executable, "-m", "opsrunner", *words]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment(way), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"opsrunner {' '.join(words)} failed: {done.stdout[-800:]}{done.stderr[-800:]}")

    def measure(self, way: str, figures: Figures) -> None:
        found = embedded.status(settings.load(self.environment(way), self.folder))
        ours = [pid for pid in (found.server, found.worker) if pid]
        client, server = sum(map(cpu_of, ours)) + _own(), self.served()
        began = time.perf_counter()
        self.call(way, "run", "ten.yml", "-i", "hosts.yml")
        figures.walls.append(time.perf_counter() - began)
        figures.client.append(sum(map(cpu_of, ours)) + _own() - client)
        figures.server.append(self.served() - server)

    def served(self) -> float:
        """Seconds of CPU of all the hosts' processes, those that have ended included."""
        parents: dict[int, int] = {}
        spent: dict[int, float] = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(words[1])
            spent[int(entry.name)] = sum(map(int, words[11:15])) / TICKS
        known = {daemon.pid for daemon in self.daemons}
        while more := {pid for pid, parent in parents.items() if parent in known} - known:
            known |= more
        return sum(spent.get(pid, 0.0) for pid in known)

    def close(self) -> None:
        for way in ("exec", "shell"):
            self.call(way, "down")
        for daemon in self.daemons:
            daemon.kill()  # and with it everything in its namespace
            daemon.wait()


def _own() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def report(all_figures: dict[str, Figures], hosts: int) -> None:
    count = hosts * STEPS
    print(f"{STEPS} steps on {hosts} hosts, {os.cpu_count()} cores, medians of {len(all_figures['exec'].walls)}")
    print(f"{'way':<10} {'wall s':>8} {'client CPU':>12} {'server CPU':>12} {'ms CPU a host-step':>20}")
    medians = {}
    for way, figures in all_figures.items():
        wall, client, server = (statistics.median(all) for all in (figures.walls, figures.client, figures.server))
        medians[way] = (wall, client, server)
        print(f"{way:<10} {wall:>8.2f} {client:>12.2f} {server:>12.2f} {1000 * (client + server) / count:>20.2f}")
    ratios = [mine / theirs for mine, theirs in zip(medians["shell"], medians["exec"], strict=True)]
    print(f"{'ratio':<10} {ratios[0]:>8.2f} {ratios[1]:>12.2f} {ratios[2]:>12.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    if os.getuid() != 0 or shutil.which("unshare") is None:
        raise SystemExit("run it as root, where unshare is: every host has process numbers of its own")
    with tempfile.TemporaryDirectory(prefix="ob") as folder:
        bench = Bench(Path(folder), chosen.hosts)
        try:
            figures = {"exec": Figures(), "shell": Figures()}
            for way in figures:
                bench.call(way, "up")
                bench.measure(way, Figures())  # connections are made, and shells
            for _ in range(chosen.repeats):  # turn about, so that whatever else runs here weighs on both
                for way in figures:
                    bench.measure(way, figures[way])
            report(figures, chosen.hosts)
        finally:
            bench.close()


if __name__ == "__main__":
    main()
