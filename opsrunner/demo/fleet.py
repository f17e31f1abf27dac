"""Brings the fleet up and down, and looks at it. Everything it owns lies in ``<state_dir>/demo``."""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct

from opsrunner.demo import keys, openssh, service
from opsrunner.embedded import prepare
from opsrunner.errors import InputError, OpsrunnerError
from opsrunner.processes import Process, children, end, locked, note, noted, our_program, reap, spawn
from opsrunner.settings import Settings

#: The hosts of the shipped inventory/ and their addresses.
HOSTS = {
    "web1": "127.77.0.1",
    "web2": "127.77.0.2",
    "web3": "127.77.0.3",
    "web4": "127.77.0.4",
    "db1": "127.77.0.5",
    "db2": "127.77.0.6",
}
ADDRESSES = list(HOSTS.values())
CONTROL = "opsrunner-demo-service"
#: Seconds that the SSH server may take until a login works.
LOGIN_WITHIN = 20.0

Kind = Literal["openssh", "python"]


class Fleet(Struct, frozen=True):
    """Where the fleet lives: its folder, the port of its SSH hosts and that of its services."""

    folder: Path
    port: int
    service_port: int

    @property
    def control(self) -> Path:
        return self.folder / "bin" / CONTROL


class State(Struct, frozen=True):
    """What is up: the SSH server's process id, and host name → what its service's control script says."""

    server: int | None
    kind: Kind | None
    services: Mapping[str, str]


def of(settings: Settings, environment: Mapping[str, str]) -> Fleet:
    """The fleet of a state directory. Raises InputError for a port that is none."""

    def port(name: str, default: int) -> int:
        text = environment.get(name) or str(default)
        if not text.isdecimal() or not 0 < int(text) < 65536:
            raise InputError(f"{name}={text} is no port", remedy="give a number from 1024 to 65535")
        return int(text)

    folder = Path(settings.state_dir) / "demo"
    return Fleet(folder, port("OPSRUNNER_DEMO_PORT", 22022), port("OPSRUNNER_DEMO_SERVICE_PORT", 8077))


def up(settings: Settings, fleet: Fleet, wanted: Kind | None = None) -> State:
    """Bring up what is not up yet: the SSH server and a service on every host.

    ``wanted`` None takes OpenSSH where it works, else the server of ours. Raises OpsrunnerError.
    """
    prepare(settings)  # the state directory, ours alone
    fleet.folder.mkdir(mode=0o700, exist_ok=True)
    with locked(fleet.folder / "lock"):
        if noted(fleet.folder / "server.pid") is None:
            _lay_out(fleet)
            _require_free(fleet)
            _start_server(fleet, wanted)
        _control_all(fleet, "start", good=(0,))
        return look(fleet)


def down(fleet: Fleet) -> bool:
    """Stop the services, the SSH server and its sessions; False when nothing was up."""
    if not fleet.folder.is_dir():
        return False
    with locked(fleet.folder / "lock"):
        before = look(fleet)
        server = noted(fleet.folder / "server.pid")
        if server:
            _end_server(fleet, server)
        # The services last: a run that still goes on could start one again as long as hosts let it in.
        if fleet.control.exists():
            _control_all(fleet, "stop", good=(0,))
        return server is not None or any(said.startswith("running") for said in before.services.values())


def look(fleet: Fleet) -> State:
    """What is up right now."""
    server = noted(fleet.folder / "server.pid")
    services = dict.fromkeys(HOSTS, "stopped")
    if fleet.control.exists():
        services = _control_all(fleet, "status", good=(0, service.STOPPED))
    if server is None:
        return State(None, None, services)
    ours = (fleet.folder / "server.kind").read_text() == "python"
    return State(server.pid, "python" if ours else "openssh", services)


def user() -> str:
    """Whom to log in as: sshd without root can only let in the user who runs it."""
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(os.geteuid()).pw_name
    return str(os.geteuid())


def _lay_out(fleet: Fleet) -> None:
    """Write keys, known_hosts and the control script; keys that are there are kept."""
    for name in ("bin", "home", "hosts", *(f"hosts/{address}" for address in ADDRESSES)):
        (fleet.folder / name).mkdir(mode=0o700, exist_ok=True)
    login = keys.make_key(fleet.folder / "id_ed25519")
    host = keys.make_key(fleet.folder / "host_ed25519")
    (fleet.folder / "authorized_keys").write_text(f"{login}\n")
    (fleet.folder / "known_hosts").write_text(keys.known_hosts(ADDRESSES, fleet.port, host))
    words = [sys.executable, "-I", "-S", service.__file__, str(fleet.folder), str(fleet.service_port)]
    # A shebang would end at 127 characters and at the first blank of a path.
    fleet.control.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    fleet.control.chmod(0o700)


def _require_free(fleet: Fleet) -> None:
    for address in ADDRESSES:
        try:
            socket.create_server((address, fleet.port)).close()
        except OSError as error:
            missing = error.errno not in (13, 98, 48)  # neither forbidden nor in use: no such address here
            raise OpsrunnerError(
                f"cannot listen on {address} port {fleet.port}",
                why=error.strerror,
                remedy=f"add the address (macOS: sudo ifconfig lo0 alias {address})"
                if missing
                else "choose another port, for this and the commands after it: export OPSRUNNER_DEMO_PORT=22122",
            ) from None


def _start_server(fleet: Fleet, wanted: Kind | None) -> None:
    """Try OpenSSH, then ours, unless told which; a login decides whether it works."""
    sshd = openssh.find()
    if wanted == "openssh" and sshd is None:
        raise OpsrunnerError(
            "no sshd here", remedy="install openssh-server, or take the server of ours: opsrunner demo --server python"
        )
    if sshd and wanted != "python":
        try:
            program = openssh.command(sshd, fleet.folder, fleet.port, ADDRESSES)
            return _try_server(fleet, "openssh", program, {"PATH": os.defpath})
        except OpsrunnerError:
            if wanted:
                raise
    program, environment = our_program("opsrunner.demo.server", str(fleet.folder), str(fleet.port), *ADDRESSES)
    return _try_server(fleet, "python", program, environment)


def _try_server(fleet: Fleet, kind: Kind, program: list[str], environment: Mapping[str, str]) -> None:
    """Start an SSH server and log in; one that lets nobody in is ended. Raises OpsrunnerError."""
    server = spawn(program, log=fleet.folder / "server.log", environment=environment)
    note(fleet.folder / "server.pid", server)
    (fleet.folder / "server.kind").write_text(kind)
    try:
        _wait_for_login(fleet, server)
    except OpsrunnerError:
        _end_server(fleet, server)
        raise


def _wait_for_login(fleet: Fleet, server: Process) -> None:
    """Log in once, as a worker will. Raises OpsrunnerError when it cannot be done."""
    deadline = time.monotonic() + LOGIN_WITHIN
    while True:
        why = _log_in(fleet)
        if why is None:
            return
        ended = reap(server) is not None
        if ended or time.monotonic() > deadline or "Authentication" in why:
            log = fleet.folder / "server.log"
            tail = log.read_text(errors="replace").splitlines()[-3:] if log.exists() else []
            raise OpsrunnerError(
                "the demo's SSH server ended" if ended else "no login to the demo's hosts",
                why=" · ".join([why, *tail]),
                remedy=f"look at {log}",
            )
        time.sleep(0.05)


def _log_in(fleet: Fleet) -> str | None:
    """None when a command ran on the first host, else why not."""
    import paramiko

    # A refused attempt is an answer here; paramiko would print a traceback of it.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    try:
        host_key = paramiko.Ed25519Key.from_private_key_file(str(fleet.folder / "host_ed25519"))
        login_key = paramiko.Ed25519Key.from_private_key_file(str(fleet.folder / "id_ed25519"))
        with (
            socket.create_connection((ADDRESSES[0], fleet.port), timeout=5) as connection,
            contextlib.closing(paramiko.Transport(connection)) as transport,
        ):
            transport.connect(hostkey=host_key, username=user(), pkey=login_key)
            channel = transport.open_session(timeout=10)
            channel.settimeout(10)
            channel.exec_command(f"command -v {CONTROL}")
            found = channel.makefile().read().decode().strip()
    except (paramiko.SSHException, OSError, EOFError) as error:
        return str(error) or type(error).__name__
    return None if found == str(fleet.control) else f"the login shell finds {found or 'no'} {CONTROL}"


def _end_server(fleet: Fleet, server: Process) -> None:
    sessions = children(server)  # asked first: once their parent is gone nobody can tell them from others
    end(server, within=5.0)
    for session in sessions:
        end(session, within=5.0)
    (fleet.folder / "server.pid").unlink(missing_ok=True)


def _control_all(fleet: Fleet, verb: str, *, good: tuple[int, ...]) -> dict[str, str]:
    """Do one verb on every host's service, all at once; host → what it said. Raises OpsrunnerError."""
    running = {
        name: subprocess.Popen(
            [str(fleet.control), "--address", address, verb],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, address in HOSTS.items()
    }
    ended = {name: (*process.communicate(), process.returncode) for name, process in running.items()}
    for name, (_, errors, code) in ended.items():
        if code not in good:
            raise OpsrunnerError(
                f"the service of {name} ({HOSTS[name]} port {fleet.service_port}): {errors.strip()}",
                remedy="where the port is taken: export OPSRUNNER_DEMO_SERVICE_PORT=8177",
            )
    return {name: said.strip() for name, (said, _, _) in ended.items()}
