"""From a target to an authenticated transport, within one deadline, or an Unreachable that says why."""

from __future__ import annotations

import ipaddress
import random
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import paramiko
from msgspec import Struct, field

from opsrunner.errors import Unreachable
from opsrunner.ssh.auth import KeyFiles, authenticate
from opsrunner.ssh.hostkeys import KnownHosts
from opsrunner.ssh.keycheck import HostKeyCheck
from opsrunner.ssh.target import Target
from opsrunner.ssh.transport import CommandTransport
from opsrunner.ssh.watchdog import Watchdog
from opsrunner.ssh.wire import Wire

Address = tuple[socket.AddressFamily, Any]

#: Seconds before the second try at a server that hung up, doubled each time up to the second figure.
#: They are spread by half, so that a fleet that was turned away together does not come back together.
BACK_OFF, BACK_OFF_MOST = 0.1, 2.0


class _Phase(Struct, frozen=True):
    """What is being waited for, and what to say when it takes too long. The host's port goes into ``why``."""

    doing: str
    why: str
    remedy: str


_LOOKING_UP = _Phase("looking up the address", "the resolver did not answer", "check ansible_host, or the worker's DNS")
_DIALLING = _Phase(
    "connecting",
    "nothing answers on port {port}",
    "is the host up, and does a firewall let the worker through? (ansible_host, ansible_port, ansible_timeout)",
)
_EXCHANGING = _Phase(
    "exchanging keys",
    "port {port} took the connection, but no SSH server has answered in full",
    "is that an SSH server, and is the host overloaded? (ansible_port, ansible_timeout)",
)
_LOGGING_IN = _Phase(
    "logging in",
    "the server on port {port} has not decided about the login",
    "the host may be slow to look users up (DNS, LDAP) or overloaded: see its sshd log, or raise ansible_timeout",
)


class _TurnedAway(Exception):
    """The server hung up before keys were exchanged, as one does that has too many at its door."""

    def __init__(self, error: Unreachable) -> None:
        super().__init__(error.what)
        self.error = error


class Keys(Struct, frozen=True):
    """What has been read of keys, shared by all connections of a pool."""

    known_hosts: KnownHosts = field(default_factory=KnownHosts)
    private: KeyFiles = field(default_factory=KeyFiles)


class Connecting:
    """The way to one connection; :meth:`run` goes it."""

    def __init__(self, target: Target, keys: Keys, watchdog: Watchdog, monotonic: Callable[[], float]) -> None:
        self._target = target
        self._keys = keys
        self._watchdog = watchdog
        self._monotonic = monotonic
        self._deadline = monotonic() + target.timeout
        self._phase = _LOOKING_UP

    def run(self) -> CommandTransport:
        """Connect, check the host key and log in.

        A server that hangs up before keys are exchanged (MaxStartups) is tried again until the deadline.
        """
        check = HostKeyCheck(self._target, self._keys.known_hosts)
        addresses = self._resolve()
        tries, delay = 0, BACK_OFF
        while True:
            tries += 1
            try:
                return self._attempt(addresses, check)
            except _TurnedAway as turned_away:
                pause = delay * random.uniform(0.5, 1.5)
                if pause >= self._left():
                    error = turned_away.error
                    error.why = f"{error.why}, {tries} times in {self._target.timeout:g} s"
                    raise error from None
            time.sleep(pause)
            delay = min(BACK_OFF_MOST, 2 * delay)

    def _attempt(self, addresses: list[Address], check: HostKeyCheck) -> CommandTransport:
        wire = Wire(self._dial(addresses))
        with self._watchdog.watch(self._left(), wire.shutdown) as watch:
            transport = CommandTransport(wire, check.algorithms)
            try:
                self._handshake(transport, check)
                if watch.fired:
                    raise EOFError
                return transport
            except (Unreachable, paramiko.SSHException, EOFError, OSError) as error:
                transport.close()
                wire.close()
                if watch.fired:
                    raise self._timed_out() from None
                if isinstance(error, Unreachable):
                    raise
                raise self._broken(error, wire) from None

    def _handshake(self, transport: CommandTransport, check: HostKeyCheck) -> None:
        # paramiko's own limits are kept out of the way: the watchdog's one deadline is for all of it.
        transport.banner_timeout = transport.auth_timeout = 2 * self._target.timeout + 10
        self._phase = _EXCHANGING
        transport.start_client()
        self._phase = _LOGGING_IN
        check.check(transport.get_remote_server_key())
        authenticate(transport, self._target, self._keys.private)
        transport.sock.let_go()

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
            _LOOKING_UP.remedy,
        )

    def _dial(self, addresses: list[Address]) -> socket.socket:
        """The first address that answers; each gets an even share of the time that is left."""
        self._phase = _DIALLING
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
        if isinstance(fault, ConnectionRefusedError):
            remedy = f"is sshd running there, on port {self._target.port}? (ansible_host, ansible_port)"
            raise self._unreachable("connection refused", f"nobody listens on port {self._target.port}", remedy)
        raise self._unreachable(
            "cannot connect",
            f"port {self._target.port}: {fault.strerror or fault}",
            "check ansible_host, and the route",
        )

    # The address is not told: hosts in the same trouble are shown together only if their words are equal.
    def _unreachable(self, what: str, why: str, remedy: str) -> Unreachable:
        return Unreachable(what, host=self._target.host, why=why, remedy=remedy)

    def _timed_out(self) -> Unreachable:
        phase = self._phase
        return self._unreachable(
            f"timed out after {self._target.timeout:g} s {phase.doing}",
            phase.why.format(port=self._target.port),
            phase.remedy,
        )

    def _broken(self, error: Exception, wire: Wire) -> Unreachable | _TurnedAway:
        port = f"port {self._target.port}"
        if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
            remedy = "update the host's sshd"
            if "host key" in str(error):
                remedy = "its known_hosts line pins a type of key that it no longer offers; ssh-keyscan shows them"
            return self._unreachable("no algorithm in common with the server", f"{port}: {error}", remedy)
        said = _first_line(wire.opening)
        if "Indecipherable" in str(error):
            return self._unreachable("that is no SSH server", f"{port} said: {said}", "check ansible_port")
        what = f"the connection broke while {self._phase.doing}"
        if self._phase is not _EXCHANGING:
            why = f"{port}: {str(error) or 'the server hung up'}"
            return self._unreachable(what, why, "see the host's sshd log")
        why = f"{port} said: {said}" if said else f"the server on {port} hung up"
        remedy = "see the host's sshd log; with many logins at once, raise MaxStartups in its sshd_config"
        return _TurnedAway(self._unreachable(what, why, remedy))


def _first_line(opening: bytes) -> str:
    """What a server said instead of greeting as SSH does, to be shown."""
    line = opening.partition(b"\n")[0].strip()
    return "" if line.startswith(b"SSH-") else line[:100].decode(errors="replace")
