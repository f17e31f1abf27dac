"""Everyone who is measured: how each is called for a task, the shortest idiomatic way, strict host keys on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import redis

from benchmarks.hosts import Hosts
from benchmarks.measuring import Bench, Failed, Invocation
from benchmarks.workloads import OURS, Task
from opsrunner import embedded, settings

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = Path(__file__).with_name("peers")
ECHO = "/bin/echo opsok"
BIG = r"head -c 1000000 /dev/zero | tr '\0' x"
BIG_OUTPUT = "x" * 1_000_000


# ---------------------------------------------------------------------- reading outputs
def echoed(text: str) -> int:
    """Lines that hold what every host printed, each once."""
    return len(re.findall(r"(?:^|\s)opsok\s*$", text, re.M))


def filled(text: str) -> int:
    return text.count(BIG_OUTPUT)


def told(text: str) -> int:
    """What a script of ours says of itself: it has compared every host's output."""
    found = re.search(r"^verified (\d+)", text, re.M)
    return int(found[1]) if found else 0


def recapped(text: str) -> int:
    """Hosts of Ansible's recap for which all ten steps went well."""
    return len(re.findall(r"ok=10 .*unreachable=0\s+failed=0", text))


def tabled(text: str) -> int:
    """Hosts of pyinfra's closing table: a row an operation, of which each must have them all."""
    rows = re.findall(r"^\s*step \d+\s+\d+\s+(\d+)\s+-", text, re.M)
    return min(map(int, rows)) if len(rows) == 10 else 0


def folded(expected: str) -> Callable[[str], int]:
    """Hosts that stand above that output in what `opsrunner exec` prints."""

    def count(text: str) -> int:
        heads = re.findall(rf"^── \S+(?: \((\d+)\))? ──\n{re.escape(expected)}$", text, re.M)
        return sum(int(head or 1) for head in heads)

    return count


def accounted(text: str) -> int:
    """Hosts of `opsrunner run`'s recap for which all ten steps went well, if every one of them is recorded."""
    hosts = re.findall(r"^  \S+(?: \((\d+)\))?\s+ok=10\s.*unreachable=0\s+failed=0", text, re.M)
    if not re.search(r"^accounted for: .* = (\d+): \1 recorded", text, re.M):
        return 0
    return sum(int(count or 1) for count in hosts)


# ---------------------------------------------------------------------- ours
class Client(Protocol):
    """``missing`` tells why it cannot be measured, if so; None from ``invocation``: it has no way to do that."""

    name: str

    def missing(self) -> str | None: ...

    def invocation(self, task: Task) -> Invocation | None: ...


class Opsrunner:
    """The command line, and the worker and Redis that it starts; all of them are the client."""

    def __init__(self, bench: Bench, hosts: Hosts, name: str = OURS, **variables: str) -> None:
        self.name = name
        self.bench = bench
        self.hosts = hosts
        self.folder = bench.folder
        # Whoever compares two settings gives them in the environment.
        given = {key: value for key, value in os.environ.items() if key.startswith("OPSRUNNER_")}
        state = {"OPSRUNNER_STATE_DIR": str(self.folder / "state"), "PYTHONPATH": str(ROOT)}
        self.environment = {**bench.environment, **given, **variables, **state}
        self.settings = settings.load(self.environment, self.folder)

    def missing(self) -> str | None:
        return None

    def words(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "opsrunner", *words]

    def call(self, *words: str) -> None:
        done = subprocess.run(
            [*self.bench.client.entrance, *self.words(*words)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Failed(f"opsrunner {' '.join(words)}: {(done.stdout + done.stderr)[-300:]}")

    def servers(self) -> tuple[int, int]:
        """The process ids of Redis and the worker."""
        found = embedded.status(self.settings)
        return found.server or 0, found.worker or 0

    def begin(self) -> None:
        """A Redis and a worker that know nothing and nobody."""
        shutil.rmtree(self.settings.state_dir, ignore_errors=True)
        self.call("up")
        for pid in self.servers():
            self.bench.client.adopt(pid)

    def stored(self) -> float:
        """Megabytes that Redis holds."""
        with redis.Redis.from_url(embedded.status(self.settings).url.replace("redis+socket", "unix")) as client:
            return float(client.info("memory")["used_memory"]) / 1e6

    def invocation(self, task: Task) -> Invocation:
        inventory = str(self.hosts.inventory(task.hosts, task.far))
        expected = "opsok"
        if task.action == "ten":
            words, verified = ["run", str(SCRIPTS / "ten_commands.yml"), "-i", inventory], accounted
        elif task.action == "big":
            words, verified = ["exec", "all", "-i", inventory, "--", BIG], folded(BIG_OUTPUT)
        else:
            words, verified = ["exec", "all", "-i", inventory, "--", *ECHO.split()], folded(expected)
        return Invocation(
            self.words(*words),
            verified,
            environment=self.environment,
            before=self.begin,
            after=lambda: self.call("down"),
            stored=self.stored,
        )


# ---------------------------------------------------------------------- peers
@dataclass(frozen=True)
class Program:
    """Where a peer's program is looked for: the virtualenv of the peers, ours, PATH."""

    virtualenv: Path | None

    def find(self, name: str) -> str | None:
        folders = [self.virtualenv / "bin"] if self.virtualenv else []
        own = Path(sys.executable).parent
        path = os.pathsep.join([*map(str, folders), str(own), os.environ.get("PATH", os.defpath)])
        return shutil.which(name, path=path)

    def python_with(self, module: str) -> str | None:
        """A Python that can import it."""
        candidates = [str(self.virtualenv / "bin" / "python")] if self.virtualenv else []
        for python in (*candidates, sys.executable):
            done = subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False)
            if done.returncode == 0:
                return python
        return None


class Script:
    """A script of ``peers/`` on a library."""

    def __init__(self, hosts: Hosts, program: Program, name: str, file: str, module: str, does: Iterable[str]) -> None:
        self.name = name
        self.hosts = hosts
        self.file = SCRIPTS / file
        self.module = module
        self.does = frozenset(does)
        self.python = program.python_with(module)

    def missing(self) -> str | None:
        return None if self.python else f"no Python here imports {self.module}"

    def invocation(self, task: Task) -> Invocation | None:
        if kind(task) not in self.does:
            return None
        words = [str(self.python), str(self.file), task.action, str(self.hosts.names(task.hosts))]
        words += [str(self.hosts.port(task.far)), str(self.hosts.fleet.key), str(self.hosts.known_hosts)]
        return Invocation([*words, "stay"] if task.warm else words, told, stays=task.warm)


class Clush:
    """ClusterShell over OpenSSH's client; warm with ControlMaster."""

    def __init__(self, hosts: Hosts, program: Program, mux: Path) -> None:
        self.name = "clush"
        self.hosts = hosts
        self.mux = mux
        self.program = program.find("clush")

    def missing(self) -> str | None:
        return None if self.program else "no clush on PATH"

    def invocation(self, task: Task) -> Invocation | None:
        if task.action == "ten":
            return None
        config = self.hosts.ssh_config(task.far, self.mux if task.warm else None)
        words = [str(self.program), "-f", "64", "-o", f"-F {config}", "--hostfile", str(self.hosts.names(task.hosts))]
        big = task.action == "big"
        return Invocation([*words, BIG if big else ECHO], filled if big else echoed)


class Pyinfra:
    def __init__(self, hosts: Hosts, program: Program) -> None:
        self.name = "pyinfra"
        self.hosts = hosts
        self.program = program.find("pyinfra")

    def missing(self) -> str | None:
        return None if self.program else "no pyinfra"

    def invocation(self, task: Task) -> Invocation | None:
        if task.warm or task.action == "big":
            return None
        inventory = self.hosts.pyinfra_inventory(task.hosts, task.far)
        ten = task.action == "ten"
        parallel = str(min(task.hosts, 200 if ten else 100))
        work = [str(SCRIPTS / "pyinfra_steps.py")] if ten else ["exec", "--", *ECHO.split()]
        words = [str(self.program), "-y", "--parallel", parallel, str(inventory), *work]
        return Invocation(words, tabled if ten else echoed)


class Ansible:
    """The raw module, fifty forks; for ten steps a playbook with the linear strategy."""

    def __init__(self, hosts: Hosts, program: Program, mux: Path, *, mitogen: bool = False) -> None:
        self.name = "ansible + mitogen" if mitogen else "ansible raw"
        self.hosts = hosts
        self.program = program.find("ansible")
        self.mux = mux
        self.plugins = _mitogen(program) if mitogen else None
        self.mitogen = mitogen

    def missing(self) -> str | None:
        if self.mitogen and not self.plugins:
            return "no mitogen"
        return None if self.program else "no ansible"

    def invocation(self, task: Task) -> Invocation | None:
        if task.warm or (self.mitogen and task.action != "ten"):
            return None
        environment = {
            "ANSIBLE_HOST_KEY_CHECKING": "true",
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_NOCOWS": "true",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.mux),
            "ANSIBLE_SSH_CONTROL_PATH": "%(directory)s/%%C",
            "ANSIBLE_SSH_ARGS": "-C -o ControlMaster=auto -o ControlPersist=600s -o KexAlgorithms=curve25519-sha256",
        }
        inventory = str(self.hosts.inventory(task.hosts, task.far))
        if self.plugins:
            environment |= {"ANSIBLE_STRATEGY_PLUGINS": self.plugins, "ANSIBLE_STRATEGY": "mitogen_linear"}
        if task.action == "ten":
            play = SCRIPTS / ("ten_commands.yml" if self.mitogen else "ten_raw.yml")
            program = str(Path(str(self.program)).with_name("ansible-playbook"))
            return Invocation([program, "-i", inventory, "-f", "50", str(play)], recapped, environment, once=True)
        big = task.action == "big"
        words = [str(self.program), "fleet", "-i", inventory, "-f", "20" if big else "50", "-m", "raw", "-a"]
        return Invocation([*words, BIG if big else ECHO], filled if big else echoed, environment, once=True)


def _mitogen(program: Program) -> str | None:
    """The folder of its strategies."""
    python = program.python_with("ansible_mitogen")
    if not python:
        return None
    code = "import ansible_mitogen, pathlib; print(pathlib.Path(ansible_mitogen.__file__).parent)"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return f"{done.stdout.strip()}/plugins/strategy"


def kind(task: Task) -> str:
    """The word of ``Script.does`` for a task."""
    return "warm" if task.warm else "far" if task.far else task.action


def peers(hosts: Hosts, bench: Bench, virtualenv: Path | None, *, slow: bool) -> list[Client]:
    """Everyone but us, best first as far as known; with ``slow`` those too that take minutes."""
    program = Program(virtualenv)
    mux = bench.folder / "mux"
    everything = ("echo", "warm", "ten", "big", "far")
    found: list[Client] = [
        Script(hosts, program, "asyncssh script", "asyncssh_script.py", "asyncssh", everything),
        Script(hosts, program, "parallel-ssh script", "parallel_ssh_script.py", "pssh", everything),
        Script(hosts, program, "fabric script", "fabric_script.py", "fabric", ("echo", "warm")),
        Pyinfra(hosts, program),
        Clush(hosts, program, mux),
        Ansible(hosts, program, mux),
    ]
    return [*found, Ansible(hosts, program, mux, mitogen=True)] if slow else found
