"""package_facts and service_facts: what is read of each package manager and each service manager."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path

import pytest

from opsrunner.remote import Command, Completed
from tests.unit.modules.shell_host import FolderFiles, Host, ShellRemote


class Answering(ShellRemote):
    """A host that tells what it is given, whatever it is asked."""

    def __init__(self, told: dict[str, str]) -> None:
        super().__init__(["/bin/sh"], Path("/"))
        pairs = {**told, "complete": "yes"}
        self.answer = "".join(f"{name}\0{value}\0" for name, value in pairs.items()).encode()

    def exec(self, command: Command, **_: object) -> Completed:
        now = datetime.datetime.now(datetime.UTC)
        return Completed(0, self.answer, b"", now, now, len(self.answer), 0)


@pytest.fixture
def here(tmp_path: Path) -> Host:
    return Host(["/bin/sh"], tmp_path, FolderFiles(tmp_path))


def test_packages_of_this_machine(here: Host) -> None:
    form = "${Package} ${Version} ${Architecture}"
    asked = subprocess.run(["dpkg-query", "-W", "-f", form, "dpkg"], capture_output=True, text=True, check=True)
    name, version, arch = asked.stdout.split()
    (found,) = here.run("package_facts")["ansible_facts"]["packages"][name]
    assert (found["version"], found["arch"], found["source"]) == (version, arch, "apt")


@pytest.mark.parametrize(
    ("told", "name", "expected"),
    [
        (
            {"rpm": "bash\t5.1.8\t6.el9\t(none)\tx86_64\nbash\t5.1.9\t1\t2\tx86_64"},
            "bash",
            [
                {"name": "bash", "version": "5.1.8", "release": "6.el9", "epoch": None, "arch": "x86_64"},
                {"name": "bash", "version": "5.1.9", "release": "1", "epoch": 2, "arch": "x86_64"},
            ],
        ),
        ({"apk": "busybox-extras-1.36.1-r15"}, "busybox-extras", [{"version": "1.36.1", "release": "r15"}]),
        (
            {"apt": "config-files\tx\t1\tall\tnet\ninstalled\ty\t2\tall\tnet"},
            "y",
            [{"version": "2", "category": "net"}],
        ),
    ],
)
def test_packages_of_others(here: Host, told: dict[str, str], name: str, expected: list[dict[str, object]]) -> None:
    here.remote = Answering(told)
    packages = here.run("package_facts")["ansible_facts"]["packages"]
    assert packages.keys() == {name}
    assert [one.items() & wanted.items() for one, wanted in zip(packages[name], expected, strict=True)] == [
        wanted.items() for wanted in expected
    ]


def test_no_packages_is_a_failure(here: Host) -> None:
    here.remote = Answering({})
    assert "package manager" in here.run("package_facts")["msg"]
    assert "requested: brew" in here.run("package_facts", {"manager": ["brew"]})["msg"]


def test_services_of_systemd(here: Host) -> None:
    here.remote = Answering(
        {
            "units": "UNIT LOAD ACTIVE SUB DESCRIPTION\nssh.service loaded active running OpenBSD Secure Shell server\n"
            "gone.service not-found inactive dead gone.service\nonce.service loaded active exited Once\n",
            "files": "ssh.service enabled on\nonce.service static -\ngone.service masked -\nold.service disabled\n",
            "states": "Id=old.service\nActiveState=inactive\n",
        }
    )
    services = here.run("service_facts")["ansible_facts"]["services"]
    assert {name: (one["state"], one["status"], one["source"]) for name, one in services.items()} == {
        "ssh.service": ("running", "enabled", "systemd"),
        "gone.service": ("stopped", "not-found", "systemd"),
        "once.service": ("stopped", "static", "systemd"),
        "old.service": ("inactive", "disabled", "systemd"),
    }


def test_services_of_others(here: Host) -> None:
    here.remote = Answering({"sysv": " [ + ]  ssh\n [ - ]  cron\n"})
    services = here.run("service_facts")["ansible_facts"]["services"]
    assert {name: one["state"] for name, one in services.items()} == {"ssh": "running", "cron": "stopped"}
    here.remote = Answering({"openrc": " sshd started\n lost stopped\n", "runlevels": " sshd | default\n"})
    assert here.run("service_facts")["ansible_facts"]["services"] == {
        "sshd": {"name": "sshd", "runlevels": ["default"], "state": "started", "source": "openrc"}
    }
    here.remote = Answering({})
    assert here.run("service_facts")["skipped"]
