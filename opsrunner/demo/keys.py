"""The demo's keys and known_hosts, made without ssh-keygen."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


def make_key(path: Path) -> str:
    """Make an ed25519 key (mode 0600) unless ``path`` is there; gives the public part, ``ssh-ed25519 AAAA…``."""
    public = path.with_name(f"{path.name}.pub")
    if not path.exists() or not public.exists():
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(private)
        public.write_bytes(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b"\n")
    return public.read_text().strip()


def known_hosts(addresses: list[str], port: int, public: str) -> str:
    """The lines that pin one host key to every address."""
    return "".join(f"[{address}]:{port} {public}\n" for address in addresses)
