"""Where a connection goes and with what: all that ``ssh/`` is told about a host."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import ClassVar, Literal

from opsrunner.redacted import Redacted

HostKeyChecking = Literal["yes", "no", "accept-new"]

#: The files that ssh reads by itself.
DEFAULT_KNOWN_HOSTS = (
    "~/.ssh/known_hosts",
    "~/.ssh/known_hosts2",
    "/etc/ssh/ssh_known_hosts",
    "/etc/ssh/ssh_known_hosts2",
)


class Target(Redacted, frozen=True):
    """One host as it is reached.

    ``host`` is its inventory name, used in errors only; ``address`` is dialled and looked up in
    known_hosts. An empty ``user`` is the local user's name. An empty ``private_key_file`` means
    ``~/.ssh/id_ed25519``, ``id_ecdsa``, ``id_rsa`` and then the agent. ``~/.ssh/config`` is not read.
    """

    HIDDEN: ClassVar = frozenset(("password",))

    host: str
    address: str
    port: int = 22
    user: str = ""
    password: str | None = None
    private_key_file: str = ""
    #: Empty: those ssh reads by itself. "accept-new" writes to the first.
    known_hosts_files: tuple[str, ...] = ()
    host_key_checking: HostKeyChecking = "yes"
    #: Seconds from the look-up of the name to the end of authentication.
    timeout: float = 15.0
    #: Commands may take turns at one long-lived shell (:mod:`opsrunner.ssh.shell`).
    shell: bool = False

    @property
    def login(self) -> str:
        """The user to log in as."""
        return self.user or getpass.getuser()

    @property
    def known_hosts(self) -> tuple[Path, ...]:
        """The known_hosts files to read, ``~`` resolved."""
        names = self.known_hosts_files or DEFAULT_KNOWN_HOSTS
        return tuple(Path(name).expanduser() for name in names)

    @property
    def known_as(self) -> str:
        """The name that known_hosts files know it by."""
        address = self.address.lower()
        return address if self.port == 22 else f"[{address}]:{self.port}"

    def key(self) -> tuple[object, ...]:
        """What two targets must share to share a connection."""
        return (
            self.address,
            self.port,
            self.user,
            self.password,
            self.private_key_file,
            self.known_hosts_files,
            self.host_key_checking,
        )
