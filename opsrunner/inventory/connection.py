"""How to reach a host: Ansible's connection variables, checked and in one record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from opsrunner.errors import InputError, did_you_mean, raise_all
from opsrunner.inventory import ssh_arguments
from opsrunner.inventory.ssh_arguments import HostKeyChecking
from opsrunner.redacted import Redacted

DEFAULT_PORT = 22
DEFAULT_ZONE = "default"

_TRUE = frozenset({"y", "yes", "on", "1", "true", "t"})
_FALSE = frozenset({"n", "no", "off", "0", "false", "f"})

_KINDS: dict[str, Literal["ssh", "local"]] = {
    **dict.fromkeys(("ssh", "smart", "paramiko", "paramiko_ssh"), "ssh"),
    **dict.fromkeys(("ansible.builtin.ssh", "ansible.builtin.paramiko_ssh"), "ssh"),
    **dict.fromkeys(("local", "ansible.builtin.local"), "local"),
}
_METHODS = ("sudo", "su", "doas")

#: Variables that change what a connection does in a way that is not built; why, or what to use.
_REFUSED = {
    "ansible_ssh_private_key": "put the key into a file and name it in ansible_ssh_private_key_file",
    "ansible_private_key": "put the key into a file and name it in ansible_ssh_private_key_file",
    "ansible_ssh_private_key_passphrase": "use a key without a passphrase, or an agent",
    "ansible_private_key_passphrase": "use a key without a passphrase, or an agent",
    "ansible_ssh_executable": "no ssh program is run: the connection is made by opsrunner itself",
    "ansible_sftp_extra_args": "no sftp program is run: files travel over opsrunner's own connection",
    "ansible_scp_extra_args": "no scp program is run: files travel over opsrunner's own connection",
    "ansible_pkcs11_provider": "use a key in a file, or an agent",
    "ansible_become_exe": "put the program on the PATH of the host",
    "ansible_sudo_exe": "put the program on the PATH of the host",
    "ansible_su_exe": "put the program on the PATH of the host",
    "ansible_sudo_chdir": "give the step a directory instead",
    "ansible_paramiko_proxy_command": "let a worker on the bastion serve the host: set opsrunner_zone",
}


class Connection(Redacted, frozen=True):
    """Everything a worker needs to log in to one host and to become somebody there."""

    HIDDEN: ClassVar = frozenset(("password", "become_password"))

    kind: Literal["ssh", "local"]
    address: str
    port: int = DEFAULT_PORT
    #: None: the user that the worker runs as.
    user: str | None = None
    password: str | None = None
    private_key_file: str | None = None
    #: Files of known host keys, ``~`` unexpanded; empty: the worker's usual ones.
    known_hosts_files: tuple[str, ...] = ()
    host_key_checking: HostKeyChecking = "yes"
    #: Only ``private_key_file``, none of an agent's or of ``~/.ssh``; never without that file.
    identities_only: bool = False
    #: Seconds to connect and log in; None: the setting.
    timeout: float | None = None
    become: bool = False
    become_user: str = "root"
    become_method: Literal["sudo", "su", "doas"] = "sudo"
    become_password: str | None = None
    become_flags: str | None = None
    #: A shell in place of /bin/sh.
    shell_executable: str | None = None
    #: Commands may take turns at one long-lived shell on the host; None: the setting.
    ssh_shell: bool | None = None
    zone: str = DEFAULT_ZONE


def connection(host: str, variables: Mapping[str, Any]) -> Connection:
    """The connection to ``host`` that its variables, rendered already, describe.

    Where a thing has several spellings the last of Ansible's own list wins. ``variables`` is only
    asked for the names that matter, so that it may render lazily. Raises InputError, or InputErrors
    with every variable that is wrong.
    """
    reader = _Reader(host, variables)
    method = reader.choice(("ansible_become_method",), {name: name for name in _METHODS}, "sudo")
    options = reader.ssh_options()
    found = Connection(
        kind=reader.choice(("ansible_connection",), _KINDS, "ssh"),
        address=reader.text("ansible_host", "ansible_ssh_host") or host,
        port=reader.port("ansible_port", "ansible_ssh_port"),
        user=reader.text("ansible_user", "ansible_ssh_user"),
        password=reader.text("ansible_password", "ansible_ssh_pass", "ansible_ssh_password"),
        private_key_file=reader.text("ansible_private_key_file", "ansible_ssh_private_key_file"),
        known_hosts_files=reader.known_hosts(options),
        host_key_checking=options.host_key_checking or "yes",
        identities_only=options.identities_only,
        timeout=reader.seconds("ansible_timeout", "ansible_ssh_timeout"),
        become=reader.truth("ansible_become") or False,
        become_user=reader.text("ansible_become_user", f"ansible_{method}_user") or "root",
        become_method=method,
        become_password=reader.text("ansible_become_password", "ansible_become_pass", f"ansible_{method}_pass"),
        become_flags=reader.text("ansible_become_flags", f"ansible_{method}_flags"),
        shell_executable=reader.text("ansible_shell_executable"),
        ssh_shell=reader.truth("opsrunner_ssh_shell"),
        zone=reader.text("opsrunner_zone") or DEFAULT_ZONE,
    )
    if found.identities_only and not found.private_key_file:
        reader.fault("IdentitiesOnly=yes without a key", remedy="name the key in ansible_ssh_private_key_file")
    reader.refuse_unsupported()
    raise_all(reader.faults)
    return found


def zone(host: str, variables: Mapping[str, Any]) -> str:
    """The zone of ``host``; asks for nothing else, so that other variables may still be unrendered."""
    reader = _Reader(host, variables)
    name = reader.text("opsrunner_zone") or DEFAULT_ZONE
    raise_all(reader.faults)
    return name


class _Reader:
    """Reads one variable after the other and keeps the faults."""

    def __init__(self, host: str, variables: Mapping[str, Any]) -> None:
        self.host = host
        self.variables = variables
        self.faults: list[InputError] = []

    def fault(self, what: str, *, why: str | None = None, remedy: str | None = None) -> None:
        self.faults.append(InputError(f"host {self.host}: {what}", why=why, remedy=remedy))

    def last(self, names: Iterable[str]) -> tuple[str, Any]:
        """The last of ``names`` that is set, and its value; ``("", None)`` when none is."""
        found: tuple[str, Any] = ("", None)
        for name in names:
            value = self.variables.get(name)
            if value is not None:
                found = name, value
        return found

    def text(self, *names: str) -> str | None:
        name, value = self.last(names)
        if value is None or isinstance(value, str):
            return value or None
        # Numbers are what an unquoted user name, password or zone of digits turns into.
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return str(value)
        self.fault(f"{name} must be text", why=f"it is a {type(value).__name__}", remedy="quote it")
        return None

    def port(self, *names: str) -> int:
        name, value = self.last(names)
        if value is None:
            return DEFAULT_PORT
        number = _whole(value)
        if number is None or not 0 < number < 65536:
            self.fault(f"{name} is {value!r}, no port", remedy="give a number from 1 to 65535")
            return DEFAULT_PORT
        return number

    def seconds(self, *names: str) -> float | None:
        name, value = self.last(names)
        if value is None:
            return None
        try:
            number = float(value) if not isinstance(value, bool) else -1.0
        except (TypeError, ValueError):
            number = -1.0
        if not 0 < number < float("inf"):
            self.fault(f"{name} is {value!r}, no time", remedy="give seconds, as in 15")
            return None
        return number

    def truth(self, *names: str) -> bool | None:
        name, value = self.last(names)
        if value is None or isinstance(value, bool):
            return value
        shown = str(value).lower().strip() if isinstance(value, (str, int, float)) else ""
        if shown in ("1.0", "0.0") and isinstance(value, float):
            shown = shown[0]
        if shown not in _TRUE | _FALSE:
            self.fault(f"{name} is {value!r}, neither yes nor no", remedy="give true or false")
        return shown in _TRUE

    def choice(self, names: Iterable[str], choices: Mapping[str, Any], default: str) -> Any:
        name, value = self.last(names)
        if value is None:
            return choices[default]
        if isinstance(value, str) and value in choices:
            return choices[value]
        known = ", ".join(choice for choice in choices if "." not in choice)
        remedy = did_you_mean(value, choices, f"use one of {known}")
        self.fault(f"{name} is {value!r}, which is not supported", remedy=remedy)
        return choices[default]

    def ssh_options(self) -> ssh_arguments.Options:
        """The options of ssh in Ansible's order, of which ssh heeds the first of a kind.

        Host key checking that is switched off stands behind ansible_ssh_args and before the others.
        """
        options = self._arguments("ansible_ssh_args", ssh_arguments.Options())
        if self.truth("ansible_host_key_checking", "ansible_ssh_host_key_checking") is False:
            options = ssh_arguments.parse("-o StrictHostKeyChecking=no", options)
        for name in ("ansible_ssh_common_args", "ansible_ssh_extra_args"):
            options = self._arguments(name, options)
        return options

    def _arguments(self, name: str, options: ssh_arguments.Options) -> ssh_arguments.Options:
        try:
            return ssh_arguments.parse(self.text(name) or "", options)
        except InputError as error:
            self.fault(f"{name}: {error.what}", why=error.why, remedy=error.remedy)
            return options

    def known_hosts(self, options: ssh_arguments.Options) -> tuple[str, ...]:
        """opsrunner_known_hosts, a file or a list of files, alone; else what ssh would look at."""
        value = self.variables.get("opsrunner_known_hosts")
        if value is None or value == "":
            return options.known_hosts_files
        files = [value] if isinstance(value, str) else value
        if isinstance(files, list) and files and all(isinstance(file, str) and file for file in files):
            return tuple(files)
        self.fault("opsrunner_known_hosts must be a file or a list of files", remedy="as in ~/.ssh/known_hosts")
        return ()

    def refuse_unsupported(self) -> None:
        for name, remedy in _REFUSED.items():
            if self.variables.get(name) not in (None, ""):
                self.fault(f"{name} is not supported", remedy=remedy)


def _whole(value: Any) -> int | None:
    """``value`` as a whole number where it is one, written as text or not."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if isinstance(value, bool) or (isinstance(value, float) and value != number) else number
