"""Hosts, pools and people for the tests of the SSH room."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from opsrunner.ssh.pool import Pool, PoolLimits
from opsrunner.ssh.target import Target
from tests.fleet import Fleet

MakeTarget = Callable[..., Target]


#: For tests of what a command may rely on: it goes over a channel of its own, and takes its turn at a shell.
BOTH_WAYS = pytest.mark.parametrize("way", ["exec", "shell"], indirect=True)


@pytest.fixture
def way(request: pytest.FixtureRequest) -> str:
    return str(getattr(request, "param", "exec"))


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool(limits=PoolLimits(shell_after=0), grace=0.5)
    yield made
    made.close()


@pytest.fixture
def target(fleet: Fleet, way: str) -> MakeTarget:
    """Makes targets on the fleet; keywords replace fields."""

    def make(address: str = "127.1.0.1", **changes: Any) -> Target:
        plain = Target(
            "web1",
            address,
            fleet.port,
            private_key_file=str(fleet.key),
            known_hosts_files=(str(fleet.known_hosts),),
            timeout=10.0,
            shell=way == "shell",
        )
        return replace(plain, **changes)

    return make


@dataclass(frozen=True)
class People:
    """Two made-up users: ``login`` may become ``other`` with a password, and root without one."""

    login: str
    other: str
    password: str


@pytest.fixture(scope="session")
def people() -> Iterator[People]:
    """Real users with real passwords and sudo rules; they are removed again."""
    if os.getuid() != 0:
        pytest.fail("tests of sudo, su and password logins make users: run them as root, in a container")
    for program, package in (("sudo", "sudo"), ("doas", "opendoas")):
        if shutil.which(program) is None:
            subprocess.run(["apt-get", "install", "-y", "-q", package], check=True, capture_output=True)
    tag = secrets.token_hex(3)
    made = People(f"opsa{tag}", f"opsb{tag}", "pa$$ 'word\"")
    rules = Path(f"/etc/sudoers.d/opsrunner-{tag}")
    try:
        for user in (made.login, made.other):
            # Other test processes change the same files: useradd gives up on their lock at once.
            _persist(["useradd", "--no-create-home", "--shell", "/bin/sh", user])
            _persist(["chpasswd"], stdin=f"{user}:{made.password}\n")
        rules.write_text(f"{made.login} ALL=(root) NOPASSWD: ALL\n{made.login} ALL=({made.other}) ALL\n")
        rules.chmod(0o440)
        yield made
    finally:
        rules.unlink(missing_ok=True)
        for user in (made.login, made.other):
            subprocess.run(["userdel", "--force", user], check=False, capture_output=True)


def _persist(command: list[str], stdin: str = "") -> None:
    for _ in range(50):
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        subprocess.run(["sleep", "0.1"], check=True)
    pytest.fail(f"{command[0]}: {done.stderr}")
