"""Prove to the server who we are: key file, default keys, agent, password; in that order."""

from __future__ import annotations

import copy
import os
import socket
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from paramiko.agent import AgentSSH

from opsrunner.errors import Unreachable
from opsrunner.ssh.target import Target

DEFAULT_KEYS = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
#: Seconds an agent may take for one answer.
AGENT_TIMEOUT = 5.0

_Agent: Any = AgentSSH


class KeyUnusable(Exception):
    """A key file that cannot be used; ``encrypted`` when all it lacks is its passphrase."""

    def __init__(self, why: str, *, encrypted: bool = False) -> None:
        super().__init__(why)
        self.encrypted = encrypted


class KeyFiles:
    """Loaded private keys, each read again only when its file has changed. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: dict[Path, tuple[tuple[int, int, int], list[Any]]] = {}

    def load(self, path: Path) -> list[Any]:
        """The key in ``path``: with the certificate beside it first, where there is one, then bare.

        Raises FileNotFoundError, and KeyUnusable with the reason.
        """
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            with self._lock:
                cached = self._loaded.get(path)
                if cached is None or cached[0] != stamp:
                    cached = self._loaded[path] = (stamp, _load(path))
                return cached[1]
        except FileNotFoundError:
            raise
        except OSError as error:
            raise KeyUnusable(error.strerror or str(error)) from None


def _load(path: Path) -> list[Any]:
    try:
        key: Any = paramiko.PKey.from_path(path)
    except (paramiko.PasswordRequiredException, TypeError):
        raise KeyUnusable("it is encrypted and we have no passphrase", encrypted=True) from None
    except OSError:
        raise
    except (ValueError, IndexError, UnsupportedAlgorithm, paramiko.SSHException) as error:
        raise KeyUnusable(f"it is no private key that can be read: {error}") from None
    except paramiko.pkey.UnknownKeyType:
        raise KeyUnusable("it is of a type that is not supported") from None
    if getattr(key, "public_blob", None) is None:
        return [key]
    bare = copy.copy(key)
    bare.public_blob = None
    return [key, bare]


class Agent(_Agent):  # type: ignore[misc]
    """The ssh-agent at SSH_AUTH_SOCK, without keys when there is none; one per connection attempt.

    Its answers have a time-out: an agent that hangs must not outlive the connection's deadline.
    """

    def __init__(self, address: str | None, timeout: float) -> None:
        super().__init__()
        self._wire: socket.socket | None = None
        if not address:
            return
        wire = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        wire.settimeout(timeout)
        try:
            wire.connect(address)
            self._connect(wire)
            self._wire = wire
        except (OSError, paramiko.SSHException):
            wire.close()

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()


def authenticate(transport: Any, target: Target, files: KeyFiles) -> None:
    """Log in over ``transport`` or raise Unreachable, saying what was tried.

    The transport's own errors (EOFError, SSHException, OSError) are left to who watches its deadline.
    """
    attempt = _Attempt(transport, target, files)
    try:
        attempt.run()
    finally:
        attempt.close()


class _Attempt:
    """One login, remembering what was tried."""

    def __init__(self, transport: Any, target: Target, files: KeyFiles) -> None:
        self._transport = transport
        self._target = target
        self._files = files
        self._tried: list[str] = []
        self._unusable: list[str] = []
        self._allowed: list[str] = []
        self._agent: Agent | None = None

    def close(self) -> None:
        if self._agent is not None:
            self._agent.close()

    def _agent_keys(self) -> Iterable[Any]:
        """Asked only when it is needed: most logins end with the first key file."""
        if self._agent is None:
            self._agent = Agent(os.environ.get("SSH_AUTH_SOCK"), min(AGENT_TIMEOUT, self._target.timeout))
        return tuple(self._agent.get_keys())

    def run(self) -> None:
        for label, key in self._keys():
            if self._with_key(label, key):
                return
            if self._allowed and "publickey" not in self._allowed:
                break
        if self._target.password is not None and self._with_password():
            return
        raise self._refused()

    def _keys(self) -> Iterator[tuple[str, Any]]:
        """Keys with the words an operator knows them by."""
        named = self._target.private_key_file
        seen: set[bytes] = set()
        for name in (named,) if named else DEFAULT_KEYS:
            for key in self._from_file(Path(name).expanduser(), wanted=bool(named)):
                seen.add(key.asbytes())
                yield f"{name} ({key.fingerprint})", key
        if not named:
            for key in self._agent_keys():
                if key.asbytes() not in seen:
                    yield f"agent key {key.comment or key.get_name()}", key

    def _from_file(self, path: Path, *, wanted: bool) -> list[Any]:
        try:
            return self._files.load(path)
        except FileNotFoundError:
            if not wanted:
                return []
            fault = KeyUnusable("no such file")
        except KeyUnusable as error:
            fault = error
        if fault.encrypted and (held := self._held_by_agent(path)):
            return held
        self._unusable.append(f"{path}: {fault}")
        if wanted and self._target.password is None:
            raise Unreachable(
                f"cannot use the private key {path}",
                host=self._target.host,
                why=str(fault),
                remedy=f"ssh-add {path} (with SSH_AUTH_SOCK set for the worker)" if fault.encrypted else None,
            )
        return []

    def _held_by_agent(self, path: Path) -> list[Any]:
        """The agent's key for an encrypted file, known by the public half beside it."""
        try:
            words = path.with_name(f"{path.name}.pub").read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError):
            return []
        return [key for key in self._agent_keys() if len(words) > 1 and key.get_base64() == words[1]]

    def _with_key(self, label: str, key: Any) -> bool:
        self._tried.append(label)
        try:
            further = self._transport.auth_publickey(self._target.login, key)
        except paramiko.BadAuthenticationType as error:
            self._allowed = list(error.allowed_types)
            return False
        except paramiko.AuthenticationException:
            if not self._transport.is_active():
                raise self._refused() from None
            return False
        if further:  # this key was right, and the server wants something else as well
            self._allowed = list(further)
        return not further

    def _with_password(self) -> bool:
        self._tried.append("password")
        try:
            further = self._transport.auth_password(self._target.login, self._target.password)
        except paramiko.BadAuthenticationType as error:
            self._allowed = list(error.allowed_types)
            return False
        except paramiko.AuthenticationException:
            return False
        self._allowed = list(further)
        return not further

    def _refused(self) -> Unreachable:
        tried = ", ".join(self._tried) or "nothing: there is no key and no password"
        parts = [f"tried {tried}", *self._unusable]
        if self._allowed:
            parts.append(f"the server takes {', '.join(self._allowed)}")
        return Unreachable(
            f"the server refused to log in {self._target.login}",
            host=self._target.host,
            why="; ".join(parts),
            remedy="put the public key into the user's ~/.ssh/authorized_keys there, "
            "or set ansible_user, ansible_ssh_private_key_file or ansible_password",
        )
