"""From a target to an authenticated transport, within one deadline, or an Unreachable that says why."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import paramiko

from opsrunner.errors import Unreachable
from opsrunner.ssh.auth import KeyFiles, authenticate
from opsrunner.ssh.hostkeys import KnownHosts
from opsrunner.ssh.keycheck import HostKeyCheck
from opsrunner.ssh.target import Target
from opsrunner.ssh.transport import CommandTransport, WakingSocket
from opsrunner.ssh.watchdog import Watchdog

Address = tuple[socket.AddressFamily, Any]


@dataclass(frozen=True, slots=True)
class Keys:
    """What has been read of keys, shared by all connections of a pool."""

    known_hosts: KnownHosts = field(default_factory=KnownHosts)
    private: KeyFiles = field(default_factory=KeyFiles)


class Connecting:
    """One attempt; :meth:`run` does it."""

    def __init__(self, target: Target, keys: Keys, watchdog: Watchdog, monotonic: Callable[[], float]) -> None:
        self._target = target
        self._keys = keys
        self._watchdog = watchdog
        self._monotonic = monotonic
        self._deadline = monotonic() + target.timeout
        self._wire: WakingSocket | None = None
        #: What is being waited for, for the message.
        self._phase = "looking up the address"

    def run(self) -> CommandTransport:
        """Connect, check the host key and log in."""
        check = HostKeyCheck(self._target, self._keys.known_hosts)
        wire = self._wire = WakingSocket(self._dial(self._resolve()))
        with self._watchdog.watch(self._left(), wire.shutdown) as watch:
            transport = CommandTransport(wire, check.algorithms)
            try:
                self._handshake(transport, check)
                if watch.fired:
                    raise EOFError
                return transport
            except Unreachable:
                transport.close()
                wire.close()
                raise
            except (paramiko.SSHException, EOFError, OSError) as error:
                transport.close()
                wire.close()
                raise (self._timed_out() if watch.fired else self._broken(error)) from None

    def _handshake(self, transport: CommandTransport, check: HostKeyCheck) -> None:
        # paramiko's own limits are kept out of the way: the watchdog's one deadline is for all of it.
        transport.banner_timeout = transport.auth_timeout = 2 * self._target.timeout + 10
        self._phase = "exchanging keys (it took the connection, but no SSH server has answered in full)"
        transport.start_client()
        self._phase = "logging in"
        check.check(transport.get_remote_server_key())
        authenticate(transport, self._target, self._keys.private)

    def _left(self) -> float:
        return max(0.001, self._deadline - self._monotonic())

    def _resolve(self) -> list[Address]:
        address = self._target.address
        try:
            number = ipaddress.ip_address(address)
            family = socket.AF_INET if number.version == 4 else socket.AF_INET6
            return [(family, (address, self._target.port))]
        except ValueError:
            return self._look_up(address)

    def _look_up(self, name: str) -> list[Address]:
        """Ask the resolver from a thread of its own: it has time-outs that nobody can shorten."""
        found: list[Address] = []
        faults: list[OSError | UnicodeError] = []

        def ask() -> None:
            try:
                answers = socket.getaddrinfo(name, self._target.port, type=socket.SOCK_STREAM)
                found.extend((answer[0], answer[4]) for answer in answers)
            except (OSError, UnicodeError) as error:  # idna refuses some names with UnicodeError
                faults.append(error)

        asking = threading.Thread(target=ask, name="ssh-resolver", daemon=True)
        asking.start()
        asking.join(self._left())
        if found:
            return found
        if not faults:
            raise self._timed_out()
        raise self._unreachable(
            f"cannot find the address of {name}",
            getattr(faults[0], "strerror", None) or str(faults[0]),
            "check ansible_host, or the worker's DNS",
        )

    def _dial(self, addresses: list[Address]) -> socket.socket:
        """The first address that answers; each gets an even share of the time that is left."""
        self._phase = "connecting"
        fault: OSError = TimeoutError()
        for position, (family, address) in enumerate(addresses):
            wire = socket.socket(family, socket.SOCK_STREAM)
            try:
                wire.settimeout(self._left() / (len(addresses) - position))
                wire.connect(address)
                return wire
            except OSError as error:
                wire.close()
                fault = error
        if isinstance(fault, TimeoutError):
            raise self._timed_out()
        refused = isinstance(fault, ConnectionRefusedError)
        raise self._unreachable(
            "connection refused" if refused else "cannot connect",
            f"{self._target.address}, port {self._target.port}: {fault.strerror or fault}",
            f"is sshd running there, on port {self._target.port}? (ansible_port)" if refused else None,
        )

    def _unreachable(self, what: str, why: str, remedy: str | None = None) -> Unreachable:
        return Unreachable(what, host=self._target.host, why=why, remedy=remedy)

    def _timed_out(self) -> Unreachable:
        return self._unreachable(
            f"timed out after {self._target.timeout:g} s {self._phase.split(' (')[0]}",
            f"{self._target.address}, port {self._target.port}, while {self._phase}",
            "is the host up, and does a firewall let the worker through? (ansible_timeout)",
        )

    def _broken(self, error: Exception) -> Unreachable:
        where = f"{self._target.address}, port {self._target.port}"
        if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
            remedy = "update the host's sshd"
            if "host key" in str(error):
                remedy = "its known_hosts line pins a type of key that it no longer offers; ssh-keyscan shows them"
            return self._unreachable("no algorithm in common with the server", f"{where}: {error}", remedy)
        if "Indecipherable" in str(error):
            return self._unreachable("that is no SSH server", f"{where}: {error}", "check ansible_port")
        said = str(error) or "it closed the connection"
        phase = self._phase.split(" (")[0]
        return self._unreachable(f"the connection broke while {phase}", f"{where}: {said}", "see the host's sshd log")
