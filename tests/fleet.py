"""A fleet of hosts for tests: one real sshd serves every 127.x.y.z address, so a thousand cost one process."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Where Debian, Fedora and Alpine keep it; it must be started by its full path.
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/sbin")


class FleetUnavailable(RuntimeError):
    """There is no sshd, or it would not start: the message says what to do."""


@dataclass
class Fleet:
    """A running sshd. ``port`` is the same at every address; ``key`` logs in as ``user``."""

    directory: Path
    port: int
    key: Path
    known_hosts: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        port: int | None = None,
        options: Mapping[str, str] | None = None,
        within: Sequence[str] = (),
        serves: str = "127.*",
    ) -> Fleet:
        """Start sshd with its files in ``directory``; ``options`` overrides lines of its configuration.

        With ``port`` None a free one is found. Keys that are in ``directory`` already are used
        again, so that a fleet can be stopped and started as the same hosts. ``within`` is the
        command that leads into sshd's network namespace, ``serves`` the pattern of its addresses.
        """
        if SSHD is None:
            raise FleetUnavailable("the tests need a real sshd: apt-get install openssh-server openssh-client")
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "home").mkdir(exist_ok=True)
        for name in ("host_key", "key"):
            if not (directory / name).exists():
                make_key(directory / name)
        shutil.copy(directory / "key.pub", directory / "authorized_keys")
        for attempt in range(5):
            chosen = port or free_port()
            process = _launch(directory, chosen, dict(options or {}), within)
            try:
                _wait_until_ready(process, chosen, directory / "sshd.log", within)
                break
            except FleetUnavailable:
                if port is not None or attempt == 4:  # somebody else may have taken the free port meanwhile
                    raise
        words = (directory / "host_key.pub").read_text().split()
        known_hosts = directory / "known_hosts"
        known_hosts.write_text(f"[{serves}]:{chosen} {words[0]} {words[1]}\n")
        return cls(directory, chosen, directory / "key", known_hosts, process)

    @property
    def user(self) -> str:
        """Who started it, and may log in."""
        return getpass.getuser()

    @property
    def log(self) -> str:
        """What sshd has logged so far."""
        return (self.directory / "sshd.log").read_text(errors="replace")

    def addresses(self, count: int) -> list[str]:
        """``count`` different addresses, each a host: 127.1.0.1, 127.1.0.2, …"""
        return [f"127.{1 + number // 62_500}.{number // 250 % 250}.{1 + number % 250}" for number in range(count)]

    def inventory_yaml(self, count: int) -> str:
        """An inventory of ``count`` hosts named h0001 … in the group ``fleet``."""
        hosts = "".join(
            f"    h{number:04}: {{ansible_host: {address}}}\n"
            for number, address in enumerate(self.addresses(count), 1)
        )
        common = f"-o UserKnownHostsFile={self.known_hosts} -o StrictHostKeyChecking=yes"
        return (
            f"fleet:\n  hosts:\n{hosts}  vars:\n    ansible_port: {self.port}\n    ansible_user: {self.user}\n"
            f"    ansible_ssh_private_key_file: {self.key}\n    ansible_ssh_common_args: '{common}'\n"
            "    ansible_python_interpreter: /usr/bin/python3\n"
        )

    def stop(self) -> None:
        """End sshd and the sessions that it still serves."""
        sessions = children(self.process.pid)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pid in sessions:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass

    def sessions(self) -> list[int]:
        """Process ids of the connections that sshd serves now."""
        return children(self.process.pid)


def children(pid: int) -> list[int]:
    """The child processes of ``pid``."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return int(probe.getsockname()[1])


def make_key(path: Path, *, kind: str = "ed25519", passphrase: str = "", certify: str = "") -> None:
    """Write a key pair to ``path`` and ``path.pub``."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", certify or path.name, "-f", str(path)]
    subprocess.run(command, check=True, capture_output=True)


def _launch(directory: Path, port: int, options: dict[str, str], within: Sequence[str]) -> subprocess.Popen[bytes]:
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's own demand when root starts it
    lines = {
        "Port": str(port),
        "ListenAddress": "0.0.0.0",
        "HostKey": str(directory / "host_key"),
        "AuthorizedKeysFile": str(directory / "authorized_keys"),
        "PidFile": str(directory / "sshd.pid"),
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PermitRootLogin": "yes",
        "StrictModes": "no",
        "UsePAM": "no",
        "UseDNS": "no",
        "PrintMotd": "no",
        "MaxStartups": "2000",
        "MaxSessions": "100",
        "LogLevel": "INFO",
        # Start-up files of whoever runs the tests must not reach into them.
        "SetEnv": f"HOME={directory / 'home'}",
        "Subsystem": "sftp internal-sftp",
    }
    lines.update(options)
    config = directory / "sshd_config"
    config.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
    log = directory / "sshd.log"
    command = [*within, str(SSHD), "-D", "-f", str(config), "-E", str(log)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path, within: Sequence[str]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if process.poll() is not None:
            said = log.read_text(errors="replace") if log.exists() else "nothing logged"
            raise FleetUnavailable(f"sshd would not start: {said}")
        if _greets_within(port, within) if within else _greets(port):
            return
        time.sleep(0.02)
    process.kill()
    process.wait()
    raise FleetUnavailable(f"sshd did not answer on port {port} within 10 s")


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
            return probe.recv(4) == b"SSH-"
    except OSError:
        return False


def _greets_within(port: int, within: Sequence[str]) -> bool:
    """The same, asked by a process in the network namespace that ``within`` leads into."""
    ask = f"import socket; print(socket.create_connection(('127.0.0.1', {port}), 1).recv(4))"
    told = subprocess.run([*within, sys.executable, "-S", "-c", ask], capture_output=True, text=True, check=False)
    return "SSH-" in told.stdout
