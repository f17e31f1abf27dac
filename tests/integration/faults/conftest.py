"""One worker and one Redis for all tests of faults in a process; hosts as each test describes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fleet import Fleet
from tests.integration.stack import Stack


@dataclass
class World:
    """A stack and a fleet; the commands of the tests note in ``notes`` that they ran."""

    stack: Stack
    fleet: Fleet
    folder: Path

    @property
    def notes(self) -> Path:
        return self.folder / "notes"

    def noted(self) -> list[str]:
        """What the hosts wrote down, sorted: a command that ran twice stands there twice."""
        return sorted(self.notes.read_text().split()) if self.notes.exists() else []

    def hosts(self, hosts: Mapping[str, Mapping[str, Any]], **everybody: Any) -> None:
        """The inventory: hosts with their variables. Who has no address gets one of the fleet's own."""
        shared = {
            "ansible_user": self.fleet.user,
            "ansible_port": self.fleet.port,
            "ansible_ssh_private_key_file": str(self.fleet.key),
            "ansible_host_key_checking": False,
            **everybody,
        }
        addresses = self.fleet.addresses(len(hosts))
        described = {
            name: {"ansible_host": address, **variables}
            for (name, variables), address in zip(hosts.items(), addresses, strict=True)
        }
        # JSON is YAML, too.
        self.stack.inventory(json.dumps({"fleet": {"vars": shared, "hosts": described}}))

    def play(self, tasks: str, *, code: int | None, timeout: float = 120, **play: object) -> dict[str, Any]:
        """Run these tasks on every host; the document of the run."""
        return self.stack.play(playbook(tasks, **play), code=code, timeout=timeout)

    @property
    def worker(self) -> psutil.Process:
        return psutil.Process(self.stack.workers["one"].pid)

    def descriptors(self) -> int:
        """Descriptors the worker holds, without those to Redis: its pool grows with what is asked at one moment."""
        return self.worker.num_fds() - len(self.worker.net_connections(kind="unix"))

    def connections(self) -> list[int]:
        """Ports of other sides that the worker holds a TCP connection with."""
        held = self.worker.net_connections(kind="tcp")
        return sorted(one.raddr.port for one in held if one.raddr and one.status == psutil.CONN_ESTABLISHED)


def playbook(tasks: str, **play: object) -> str:
    words = "".join(f"  {key}: {json.dumps(value)}\n" for key, value in play.items())
    return f"- hosts: fleet\n  gather_facts: false\n{words}  tasks:\n{tasks}"


def results(document: dict[str, Any], task: str) -> dict[str, dict[str, Any]]:
    """Host → result of the task of that name."""
    return {
        host: result
        for play in document["plays"]
        for one in play["tasks"]
        if one["name"] == task
        for host, result in one["hosts"].items()
    }


def running_with(argument: str) -> list[int]:
    """Processes on the hosts (they are all here) that have this word as an argument of their own."""
    return [process.pid for process in psutil.process_iter(["cmdline"]) if argument in (process.info["cmdline"] or ())]


@pytest.fixture(scope="session")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack")) as stack:
        stack.worker("one")
        yield stack


@pytest.fixture
def world(shared_stack: Stack, fleet: Fleet, tmp_path: Path) -> World:
    return World(shared_stack, fleet, tmp_path)
