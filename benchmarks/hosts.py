"""A thousand hosts: one sshd behind many addresses, the same farther away, and the files that clients read."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType

from benchmarks.counters import Group
from benchmarks.measuring import Failed
from tests.fleet import Fleet, free_port

NATIVE = Path(__file__).with_name("native")
#: Milliseconds that the relay holds bytes in each direction: a round trip of 20.
DISTANCE = 10
#: Addresses that known_hosts has.
MOST = 1000


class Hosts:
    """sshd in ``server``, the relay, and a folder of files for clients. Ends both when it is left."""

    def __init__(self, folder: Path, server: Group) -> None:
        self.folder = folder
        folder.mkdir()
        self.relay: subprocess.Popen[bytes] | None = None
        self.fleet = Fleet.start(folder / "sshd", within=[*server.entrance, *self._preloaded()])
        server.adopt(self.fleet.process.pid)
        self.near, self.far = self.fleet.port, 0
        self.addresses = self.fleet.addresses(MOST)
        self.known_hosts = folder / "known_hosts"
        self.known_hosts.write_text(self._known_hosts(self.near))

    def __enter__(self) -> Hosts:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.fleet.stop()
        if self.relay:
            self.relay.terminate()
            self.relay.wait()

    def _preloaded(self) -> list[str]:
        library = self._compiled("backlog.c", "backlog.so", "-shared", "-fPIC", "-ldl")
        return ["/usr/bin/env", f"LD_PRELOAD={library}"] if library else []

    def _compiled(self, source: str, result: str, *options: str) -> Path | None:
        """The path of what was compiled; None where there is no compiler."""
        compiler = shutil.which("gcc") or shutil.which("cc")
        made = self.folder / result
        if not compiler:
            return None
        words = [compiler, "-O2", "-o", str(made), str(NATIVE / source), *options]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return made if done.returncode == 0 else None

    def _known_hosts(self, port: int) -> str:
        """A line for each address: not every client knows patterns."""
        words = (self.folder / "sshd" / "host_key.pub").read_text().split()
        return "".join(f"[{address}]:{port} {words[0]} {words[1]}\n" for address in self.addresses)

    def port(self, far: bool) -> int:
        """Where clients dial; the relay is started when the far hosts are first asked for."""
        if far and not self.relay:
            self.far = free_port()
            native = self._compiled("relay.c", "relay")
            program = [str(native)] if native else [shutil.which("python3") or "python3", str(NATIVE / "relay.py")]
            self.relay = subprocess.Popen([*program, str(self.far), str(self.near), str(DISTANCE)])
            self._wait_for_relay()
            with self.known_hosts.open("a") as file:
                file.write(self._known_hosts(self.far))
        return self.far if far else self.near

    def _wait_for_relay(self) -> None:
        assert self.relay
        for _ in range(200):
            listening = Path("/proc/net/tcp").read_text()
            if f":{self.far:04X} 00000000:0000 0A" in listening:
                return
            if self.relay.poll() is not None:
                break
            time.sleep(0.05)
        raise Failed("the relay does not listen")

    # ------------------------------------------------------------------ files
    def _file(self, name: str, text: str) -> Path:
        path = self.folder / name
        if not path.exists():
            path.write_text(text)
        return path

    def names(self, count: int) -> Path:
        """The addresses, one a line."""
        return self._file(f"names-{count}", "".join(f"{address}\n" for address in self.addresses[:count]))

    def inventory(self, count: int, far: bool) -> Path:
        """For opsrunner and Ansible."""
        port = self.port(far)
        text = "\n".join(["[fleet]", *self.addresses[:count], ""])
        text += (
            f"[fleet:vars]\nansible_port={port}\nansible_user={self.fleet.user}\n"
            f"ansible_ssh_private_key_file={self.fleet.key}\n"
            f"ansible_ssh_common_args=-o UserKnownHostsFile={self.known_hosts} -o StrictHostKeyChecking=yes\n"
            "ansible_python_interpreter=/usr/bin/python3\n"
        )
        return self._file(f"hosts-{count}-{port}.ini", text)

    def pyinfra_inventory(self, count: int, far: bool) -> Path:
        port = self.port(far)
        text = (
            f"fleet = (\n    {self.addresses[:count]!r},\n"
            f"    dict(ssh_port={port}, ssh_user={self.fleet.user!r}, ssh_key={str(self.fleet.key)!r},\n"
            f"         ssh_known_hosts_file={str(self.known_hosts)!r}, ssh_strict_host_key_checking='yes'),\n)\n"
        )
        return self._file(f"hosts_{count}_{port}.py", text)

    def ssh_config(self, far: bool, mux: Path | None = None) -> Path:
        """OpenSSH's client; with ``mux`` it keeps its connections there.

        Its own first choice of a key exchange costs it eight times what curve25519 does, and no library here has it.
        """
        port = self.port(far)
        text = (
            f"Host *\n    Port {port}\n    User {self.fleet.user}\n    IdentityFile {self.fleet.key}\n"
            f"    IdentitiesOnly yes\n    UserKnownHostsFile {self.known_hosts}\n    GlobalKnownHostsFile /dev/null\n"
            "    StrictHostKeyChecking yes\n    BatchMode yes\n    LogLevel ERROR\n"
            "    KexAlgorithms curve25519-sha256\n"
        )
        if mux:
            text += f"    ControlMaster auto\n    ControlPath {mux}/%C\n    ControlPersist 600\n"
        return self._file(f"ssh_config-{port}{'-mux' if mux else ''}", text)


def raise_file_limit() -> None:
    """A client with a thousand connections needs as many descriptors, and inherits our limit."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 20_000 if hard == resource.RLIM_INFINITY else min(20_000, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def openssh_version() -> str:
    done = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False)
    return done.stderr.split(",")[0].strip() or "unknown"


def processor() -> str:
    """The processor's name and how many there are."""
    name = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
    return f"{os.cpu_count()} × {name}"
