"""The demo's fleet for real: both its SSH servers, its services, and the whole of ``opsrunner demo``."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from opsrunner import processes
from opsrunner.demo import fleet as fleets
from opsrunner.demo import openssh

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Demo:
    """A state directory and two ports of this test's own."""

    folder: Path
    port: int
    service_port: int

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPSRUNNER_", "CELERY_"))}
        return {
            **kept,
            "OPSRUNNER_STATE_DIR": str(self.folder / "state"),
            "OPSRUNNER_DEMO_PORT": str(self.port),
            "OPSRUNNER_DEMO_SERVICE_PORT": str(self.service_port),
            "OPSRUNNER_DEMO_USER": fleets.user(),
            "PYTHONPATH": str(REPOSITORY),
        }

    def opsrunner(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "opsrunner", *words],
            cwd=REPOSITORY,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=150,
        )
        assert done.returncode == code, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def ssh(self, address: str, command: str, *, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Log in with OpenSSH's own client, as strictly as it can."""
        demo = self.folder / "state" / "demo"
        options = {
            "UserKnownHostsFile": demo / "known_hosts",
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
            "LogLevel": "ERROR",
        }
        words = ["ssh", "-F", "/dev/null", "-i", str(demo / "id_ed25519"), "-p", str(self.port), "-l", fleets.user()]
        words += [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        return subprocess.run(
            [*words, address, command], input=stdin, capture_output=True, text=True, timeout=60, check=False
        )

    def service(self, address: str, verb: str) -> tuple[int, str]:
        done = self.ssh(address, f"opsrunner-demo-service {verb}")
        return done.returncode, done.stdout.strip()

    def services(self) -> dict[str, int]:
        """Host → process id of its service, read from what `demo status` says."""
        found = {}
        for line in self.opsrunner("demo", "status").splitlines():
            words = line.split()
            if "running" in words and words[0] in fleets.HOSTS:
                found[words[0]] = int(next(word for word in words if word.startswith("pid=")).removeprefix("pid="))
        return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return int(probe.getsockname()[1])


def of_its_own(folder: Path) -> Iterator[Demo]:
    made = Demo(folder, free_port(), free_port())
    yield made
    made.opsrunner("down", "--force")
    made.opsrunner("demo", "down")


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """Nothing is up yet."""
    yield from of_its_own(tmp_path)


@pytest.fixture(scope="module", params=["openssh", "python"])
def up(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The fleet, served by either server; a test leaves it as it was."""
    assert openssh.find(), "the tests need sshd: apt-get install openssh-server openssh-client"
    for made in of_its_own(tmp_path_factory.mktemp("demo")):
        made.opsrunner("demo", "--server", request.param, "up")
        yield made


def pid_in(said: str) -> int:
    return int(said.partition("pid=")[2].split()[0])


def gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 10
    while any(processes.look(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(processes.look(pid) for pid in pids)


def test_every_host_is_another_one_and_runs_its_own_service(up: Demo) -> None:
    seen = {}
    for name, address in fleets.HOSTS.items():
        done = up.ssh(address, 'echo "$SSH_CONNECTION"; opsrunner-demo-service status; opsrunner-demo-service health')
        assert done.returncode == 0, done.stderr
        connection, status, health = done.stdout.splitlines()
        assert connection.split()[2:] == [address, str(up.port)]
        assert status == f"running pid={pid_in(status)} port={up.service_port}"
        assert health == "ok"
        page = urllib.request.urlopen(f"http://{address}:{up.service_port}/", timeout=10).read().decode()
        assert str(pid_in(status)) in page
        seen[name] = pid_in(status)
    assert len(set(seen.values())) == len(fleets.HOSTS)
    assert up.services() == seen


def test_the_control_script_keeps_its_word(up: Demo) -> None:
    address = "127.77.0.2"
    before = up.services()
    code, said = up.service(address, "restart")
    assert code == 0
    assert pid_in(said) != before["web2"]
    assert gone([before["web2"]])
    assert up.service(address, "start") == (0, said), "it runs already: nothing is started"
    assert up.service(address, "stop")[0] == 0
    assert up.service(address, "status") == (3, "stopped")
    assert up.service(address, "health")[0] not in (0, 255)
    assert up.service(address, "stop")[0] == 0, "stopping twice is no error"
    assert up.service(address, "reload")[0] not in (0, 1, 255)
    code, said = up.service(address, "restart")
    assert (code, said.startswith("running pid=")) == (0, True), "restart starts what was stopped"
    others = up.services()
    del others["web2"], before["web2"]
    assert others == before, "nobody else's service was touched"


def test_sessions_are_real(up: Demo) -> None:
    """What the engine relies on: stdin to its end, both streams, exit codes, groups, a clean environment."""
    address = "127.77.0.5"
    done = up.ssh(address, "cat; echo problem >&2; exit 7", stdin="one\ntwo\n")
    assert (done.returncode, done.stdout, done.stderr) == (7, "one\ntwo\n", "problem\n")
    large = up.ssh(address, "head -c 3000000 /dev/zero | tr '\\0' x")
    assert (large.returncode, len(large.stdout)) == (0, 3_000_000)
    assert up.ssh(address, "kill -KILL $$").returncode not in (0, 1)
    leader = up.ssh(address, "exec /bin/sh -c 'echo $$; cut -d\" \" -f5 /proc/$$/stat || ps -o pgid= -p $$'")
    assert len({word.strip() for word in leader.stdout.split()}) == 1, "the command leads a group of its own"
    home = up.ssh(address, 'echo "$HOME"; ls -A "$HOME"').stdout
    assert home == f"{up.folder}/state/demo/home\n", "an empty home: no start-up file of the developer's is read"
    assert up.ssh(address, "no-such-command").returncode == 127


def test_nobody_else_is_let_in(up: Demo) -> None:
    other = up.folder / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    options = ["-F", "/dev/null", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes"]
    options += ["-o", f"UserKnownHostsFile={up.folder}/state/demo/known_hosts", "-p", str(up.port)]
    done = subprocess.run(
        ["ssh", *options, "-i", str(other), "-l", fleets.user(), "127.77.0.1", "true"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 255
    assert "Permission denied" in done.stderr


def test_up_twice_changes_nothing_and_down_leaves_nothing(up: Demo) -> None:
    before = up.services()
    said = up.opsrunner("demo", "status")
    server = int(said.split(", pid ")[1].split()[0])
    up.opsrunner("demo", "up")
    assert up.opsrunner("demo", "status") == said
    up.opsrunner("demo", "down")
    assert gone([server, *before.values()])
    assert up.services() == {}
    with socket.socket() as probe:
        assert probe.connect_ex(("127.77.0.1", up.port)) != 0
    assert "no fleet was up" in up.opsrunner("demo", "down")
    control = [str(up.folder / "state" / "demo" / "bin" / fleets.CONTROL), "--address", "127.77.0.1"]
    late = subprocess.run([*control, "restart"], capture_output=True, text=True, timeout=60)
    assert (late.returncode, late.stdout) == (1, ""), "a step still under way starts nothing on a fleet that is down"
    assert up.services() == {}
    keys = {path: path.read_bytes() for path in (up.folder / "state" / "demo").glob("*ed25519*")}
    up.opsrunner("demo", "up")
    assert {path: path.read_bytes() for path in keys} == keys, "the same hosts come back: no changed host keys"


def test_a_port_in_use_is_told_with_the_variable_that_moves_it(demo: Demo) -> None:
    with socket.create_server(("127.77.0.3", demo.port)):
        said = demo.opsrunner("demo", "up", code=1)
    assert f"127.77.0.3 port {demo.port}" in said
    assert "OPSRUNNER_DEMO_PORT" in said


def test_the_whole_demo_restarts_every_service_two_at_a_time(demo: Demo) -> None:
    demo.opsrunner("demo", "up")
    before = demo.services()
    said = demo.opsrunner("demo")
    assert "batch 3 of 3" in said
    assert "opsrunner exec all" in said, "it says what to type next"
    after = demo.services()
    assert set(after) == set(fleets.HOSTS)
    assert all(after[name] != before[name] for name in after)
    document: dict[str, Any] = json.loads(demo.opsrunner("exec", "all", "--output", "json", "--", "hostname"))
    assert {host: stats["ok"] for host, stats in document["stats"].items()} == dict.fromkeys(fleets.HOSTS, 1)
    for shipped in ("healthcheck.yml", "collect_logs.yml", "run_script.yml"):
        # How busy this machine is, and how full, is no test's business either.
        demo.opsrunner("run", f"playbooks/{shipped}", "-e", "load_limit=1000", "-e", "disk_limit=101")
    # Nor is updating this machine's packages: what it would do is.
    demo.opsrunner("run", "playbooks/patch.yml", "--check")
    demo.opsrunner("demo", "down")
    demo.opsrunner("run", "playbooks/restart.yml", "--limit", "web1", code=4)
