"""known_hosts as OpenSSH reads it: plain, hashed and wildcard names, revoked keys, authorities."""

from __future__ import annotations

import base64
import binascii
import fcntl
import fnmatch
import hashlib
import hmac
import os
import re
import threading
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct, field

_KEY_TYPE = re.compile(r"(ssh|ecdsa|sk-ssh|sk-ecdsa|rsa)-[a-z0-9@.-]+")


class KnownKey(Struct, frozen=True):
    """One line's key and where it stands."""

    type: str
    blob: bytes
    file: str
    line: int

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


class Known(Struct):
    """What is known about one name."""

    keys: list[KnownKey] = field(default_factory=list)
    authorities: list[KnownKey] = field(default_factory=list)
    revoked: list[KnownKey] = field(default_factory=list)

    def add(self, other: Known) -> None:
        self.keys += other.keys
        self.authorities += other.authorities
        self.revoked += other.revoked

    def algorithms(self) -> tuple[str, ...]:
        """The host key algorithms to ask the server for, so that it shows a key that can be checked."""
        wanted: list[str] = []
        if self.authorities:
            wanted += [f"{name}-cert-v01@openssh.com" for name in ALGORITHMS]
        types = {key.type for key in self.keys}
        wanted += [name for name in ALGORITHMS if ("ssh-rsa" if name.startswith("rsa-") else name) in types]
        return tuple(wanted)


#: Host key algorithms that paramiko can verify and that are safe, best first.
ALGORITHMS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)


class KnownHostsFile:
    """One parsed file; :meth:`lookup` is remembered per name, as each hashed line must be tried."""

    def __init__(self, text: str, name: str) -> None:
        self._plain: dict[str, list[tuple[str, KnownKey]]] = {}
        self._hashed: list[tuple[bytes, bytes, str, KnownKey]] = []
        self._patterns: list[tuple[list[str], str, KnownKey]] = []
        self._found: dict[str, Known] = {}
        for number, line in enumerate(text.splitlines(), 1):
            self._read(line, name, number)

    def _read(self, line: str, file: str, number: int) -> None:
        words = line.split()
        if not words or words[0].startswith("#"):
            return
        marker = words.pop(0) if words[0].startswith("@") else ""
        if marker not in ("", "@cert-authority", "@revoked") or len(words) < 3:
            return
        names, key_type, encoded = words[:3]
        try:
            blob = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            return  # an odd line (SSH 1, garbage) says nothing about any host
        if not _KEY_TYPE.fullmatch(key_type):
            return
        self._file(names, marker, KnownKey(key_type, blob, file, number))

    def _file(self, names: str, marker: str, key: KnownKey) -> None:
        if names.startswith("|1|"):
            parts = names.split("|")
            try:
                salt, digest = base64.b64decode(parts[2]), base64.b64decode(parts[3])
            except (IndexError, binascii.Error):
                return
            self._hashed.append((salt, digest, marker, key))
            return
        listed = [name.lower() for name in names.split(",") if name]
        if any(mark in name for name in listed for mark in "*?!"):
            self._patterns.append((listed, marker, key))
            return
        for name in listed:
            self._plain.setdefault(name, []).append((marker, key))

    def lookup(self, name: str) -> Known:
        """What the file says about ``name``, a lower-case host or ``[host]:port``."""
        known = self._found.get(name)
        if known is None:
            known = self._found[name] = self._search(name)
        return known

    def _search(self, name: str) -> Known:
        known = Known()
        lists = {"": known.keys, "@cert-authority": known.authorities, "@revoked": known.revoked}
        for marker, key in self._plain.get(name, ()):
            lists[marker].append(key)
        encoded = name.encode()
        for salt, digest, marker, key in self._hashed:
            if hmac.compare_digest(hmac.digest(salt, encoded, "sha1"), digest):
                lists[marker].append(key)
        for patterns, marker, key in self._patterns:
            if matches(name, patterns):
                lists[marker].append(key)
        return known


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name is meant by a list of patterns with ``*``, ``?`` and ``!`` (not this one)."""
    meant = False
    for pattern in patterns:
        negated = pattern.startswith("!")
        # Only * and ? are special here; [host]:port is not a set of characters.
        literal = pattern.removeprefix("!").replace("[", "[[]")
        if fnmatch.fnmatchcase(name, literal):
            if negated:
                return False
            meant = True
    return meant


class KnownHosts:
    """Parsed files, read again only when they have changed. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[Path, tuple[tuple[int, int, int], KnownHostsFile]] = {}

    def lookup(self, name: str, files: Iterable[Path]) -> Known:
        """What all ``files`` together say about ``name``; a file that is not there says nothing.

        Raises OSError for a file that cannot be read: skipping it would make pinned hosts unknown.
        """
        known = Known()
        for path in files:
            parsed = self._parsed(path)
            if parsed is not None:
                known.add(parsed.lookup(name))
        return known

    def _parsed(self, path: Path) -> KnownHostsFile | None:
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        with self._lock:
            cached = self._files.get(path)
            if cached is None or cached[0] != stamp:
                text = path.read_text(encoding="utf-8", errors="replace")
                cached = self._files[path] = (stamp, KnownHostsFile(text, str(path)))
            return cached[1]

    def remember(self, name: str, key_type: str, blob: bytes, path: Path) -> None:
        """Append a host's key to ``path``, unless somebody else has just done so.

        Safe beside other processes: one whole line, appended under a lock. Raises OSError.
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(number, "r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            before = file.read() or b""
            known = KnownHostsFile(before.decode(errors="replace"), str(path)).lookup(name)
            if any(key.blob == blob for key in known.keys):
                return
            start = "\n" if before and not before.endswith(b"\n") else ""
            file.write(f"{start}{name} {key_type} {base64.b64encode(blob).decode()}\n".encode())


def fingerprint(blob: bytes) -> str:
    """``SHA256:…`` as ssh-keygen prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
