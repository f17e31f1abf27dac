"""A site: Redis, zones with an sshd each, and bastions whose workers reach only their own zone's hosts."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from opsrunner.ledger import keys
from opsrunner.ledger.records import ENDED
from opsrunner.ledger.store import AWAY
from tests.chaos.networks import Namespaces, Network, Plain
from tests.fleet import Fleet
from tests.integration.stack import Redis, Stack, wait_until

#: Zone → its bastions.
ZONES: Mapping[str, Sequence[str]] = {"a": ("a1", "a2"), "b": ("b1", "b2")}
HOSTS_PER_ZONE = 15
#: Seconds until a worker that ended by itself is started again, as a supervisor does.
RESTART_AFTER = 1.0
#: Seconds that a worker which was told to stop may take.
STOPS_WITHIN = 60.0


class Bastion:
    """One worker after the other on one node."""

    def __init__(self, name: str, zone: str, command: Sequence[str], folder: Path, environment: dict[str, str]) -> None:
        self.name = name
        self.zone = zone
        self.log = folder / f"worker-{name}.log"
        self._command = command
        self._folder = folder
        self._environment = environment
        self._processes: list[subprocess.Popen[bytes]] = []
        #: A fault keeps it down: no supervisor starts a new worker.
        self.held = False
        self._ended_at: float | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The newest worker, which may have ended."""
        return self._processes[-1]

    def start(self) -> str:
        """Start a worker; under another name while the one before is still at work. Gives the name."""
        busy = any(process.poll() is None for process in self._processes)
        name = f"{self.name}-{len(self._processes)}" if busy else self.name
        words = [sys.executable, "-m", "opsrunner", "worker", "--name", name, "--zone", self.zone]
        with self.log.open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    [*self._command, *words], cwd=self._folder, env=self._environment, stdout=log, stderr=log
                )
            )
        self._ended_at = None
        self.held = False
        return name

    def running(self) -> bool:
        return self.process.poll() is None

    def send(self, number: int) -> bool:
        """Signal the newest worker; False when there is none."""
        if not self.running():
            return False
        self.process.send_signal(number)
        return True

    def supervise(self) -> str | None:
        """Start a worker again that ended by itself; says so."""
        if self.held or self.running():
            return None
        self._ended_at = self._ended_at or time.monotonic()
        if time.monotonic() - self._ended_at < RESTART_AFTER:
            return None
        code = self.process.returncode
        return f"{self.name} had ended by itself with {code}; started again as {self.start()}"

    def stragglers(self) -> list[int]:
        """Workers before the newest that have not ended."""
        return [process.pid for process in self._processes[:-1] if process.poll() is None]

    def write_stacks(self) -> None:
        """Let every worker log what each of its threads is at: Celery does so on SIGUSR1."""
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGUSR1)

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()


class Zone:
    """The hosts of one zone: an sshd that can be killed and started again as the same hosts."""

    def __init__(self, name: str, network: Network, folder: Path) -> None:
        self.name = name
        self._network = network
        self._folder = folder
        self.fleet = self._start(None)

    def _start(self, port: int | None) -> Fleet:
        return Fleet.start(
            self._folder, port=port, within=self._network.within(self.name), serves=self._network.pattern(self.name)
        )

    def kill_sessions(self) -> int:
        """Kill every connection that sshd serves, but no command; gives how many."""
        sessions = _sessions(self.fleet.process.pid)
        for process in sessions:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        return len(sessions)

    def kill(self) -> None:
        """Kill sshd with its connections."""
        sessions = _sessions(self.fleet.process.pid)
        self.fleet.process.kill()
        self.fleet.process.wait()
        for process in sessions:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def revive(self) -> None:
        if self.fleet.process.poll() is not None:
            self.fleet = self._start(self.fleet.port)

    def inventory_yaml(self, count: int) -> str:
        fleet = self.fleet
        hosts = "".join(
            f"        {self.name}{number:02}: {{ansible_host: {address}}}\n"
            for number, address in enumerate(self._network.addresses(self.name, count), 1)
        )
        known = f"-o UserKnownHostsFile={fleet.known_hosts} -o StrictHostKeyChecking=yes"
        return (
            f"    zone_{self.name}:\n      hosts:\n{hosts}      vars:\n        opsrunner_zone: {self.name}\n"
            f"        ansible_port: {fleet.port}\n        ansible_user: {fleet.user}\n"
            f"        ansible_ssh_private_key_file: {fleet.key}\n        ansible_ssh_common_args: '{known}'\n"
        )

    def close(self) -> None:
        if self.fleet.process.poll() is None:
            self.kill()


class Site:
    """Everything of one round. ``appendfsync`` is Redis' own word; times are seconds."""

    def __init__(self, folder: Path, mode: str, *, lease: float, heartbeat: float, appendfsync: str = "always") -> None:
        self.folder = folder
        self.network: Network = Namespaces(ZONES) if mode == Namespaces.mode else Plain(ZONES)
        self.zones: dict[str, Zone] = {}
        self.bastions: dict[str, Bastion] = {}
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            options = ("--appendfsync", appendfsync, *self.network.redis_options)
            self.redis = Redis(folder / "redis", *options, within=self.network.within("site"))
            self.stack = Stack(folder, redis=self.redis, OPSRUNNER_LEASE=str(lease), OPSRUNNER_HEARTBEAT=str(heartbeat))
            for name, bastions in ZONES.items():
                self.zones[name] = Zone(name, self.network, folder / f"sshd-{name}")
                for bastion in bastions:
                    self.bastions[bastion] = self._bastion(bastion, name)
            zones = "".join(zone.inventory_yaml(HOSTS_PER_ZONE) for zone in self.zones.values())
            self.stack.inventory(f"fleet:\n  children:\n{zones}")
            for one in self.bastions.values():
                one.start()
            wait_until(self._all_known, 60, f"the workers: {folder}/worker-*.log")
            undo.pop_all()

    def _bastion(self, name: str, zone: str) -> Bastion:
        environment = dict(self.stack.environment)
        url = self.network.redis_url(name)
        if url:
            environment["CELERY_BROKER_URL"] = url
        return Bastion(name, zone, self.network.within(name), self.folder, environment)

    def _all_known(self) -> bool:
        for bastion in self.bastions.values():
            assert bastion.running(), bastion.log.read_text()
        return all(self.redis.client.exists(keys.worker(name)) for name in self.bastions)

    # ------------------------------------------------------------------ a run
    def submit(self, playbook: str, *words: str, name: str = "play") -> str:
        """Start a run; gives its id."""
        (self.folder / f"{name}.yml").write_text(playbook)
        return self.stack.opsrunner("run", f"{name}.yml", "--detach", *words).stdout.strip()

    def ended(self, run_id: str) -> float | None:
        """When the run ended (seconds since the epoch), None while it goes on or Redis is away."""
        try:
            status, finished = self.redis.client.hmget(keys.run(run_id), "status", "finished")
        except AWAY:
            return None
        return float(finished) if finished and status.decode() in ENDED else None

    def supervise(self) -> list[str]:
        """What a supervisor does on every node; gives what it had to do."""
        return [said for said in (bastion.supervise() for bastion in self.bastions.values()) if said]

    def stragglers(self) -> list[str]:
        """Workers that were told to stop and do not."""
        deadline = time.monotonic() + STOPS_WITHIN
        while True:
            bastions = self.bastions.values()
            found = [f"worker of {one.name} (pid {pid}) does not stop" for one in bastions for pid in one.stragglers()]
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.2)

    def write_stacks(self) -> None:
        """Let every worker log what it is at, for whoever looks into a fault."""
        for bastion in self.bastions.values():
            bastion.write_stacks()
        time.sleep(1.0)

    def journal(self) -> bytes:
        """Everything that Redis was told since it was set up: its append-only file."""
        files = sorted(self.redis.folder.glob("appendonly*/*.incr.aof")) or [self.redis.folder / "appendonly.aof"]
        return b"".join(file.read_bytes() for file in files)

    def close(self) -> None:
        """End everything by pid, whatever state it is in."""
        for bastion in self.bastions.values():
            bastion.close()
        for zone in self.zones.values():
            zone.close()
        redis = getattr(self, "redis", None)
        if redis and redis.process.poll() is None:
            redis.stop(signal.SIGKILL)
        self.network.close()


def _sessions(listener: int) -> list[psutil.Process]:
    """The sshd processes below a listener; what they run for others is not among them."""
    try:
        below = psutil.Process(listener).children(recursive=True)
        return [process for process in below if process.name().startswith("sshd")]
    except psutil.NoSuchProcess:
        return []
