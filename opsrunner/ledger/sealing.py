"""Seals what Redis must not show: AES-256-GCM with a key that the submitter and the workers share."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from opsrunner.errors import InputError

#: First byte of everything sealed; another scheme would take another.
VERSION = b"\x01"
KEY_BYTES = 32
_NONCE_BYTES = 12


class SealError(InputError):
    """Sealed data cannot be opened, or the key cannot be used."""


class Sealer:
    """Seals and opens; the same ``purpose`` must be given both times, so that nothing can be swapped."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, data: bytes, *, purpose: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return VERSION + nonce + self._cipher.encrypt(nonce, data, purpose)

    def open(self, data: bytes, *, purpose: bytes) -> bytes:
        """Raises SealError for another key, another purpose, or data that was changed."""
        try:
            if data[:1] != VERSION:
                raise InvalidTag
            return self._cipher.decrypt(data[1 : 1 + _NONCE_BYTES], data[1 + _NONCE_BYTES :], purpose)
        except (InvalidTag, ValueError):
            raise SealError(
                "what is sealed in Redis does not open with this node's key",
                why="the key differs from the submitter's, or the data was tampered with",
                remedy="copy the submitter's key file to this node (setting key_file)",
            ) from None


def read_key(path: Path) -> bytes:
    """The key in ``path``. Raises SealError when it is missing, malformed, or readable by others."""
    try:
        text = path.read_bytes()
        mode = path.stat().st_mode
    except OSError as error:
        raise SealError(
            f"no key at {path}", why=error.strerror, remedy="make one: opsrunner keygen; copy it to every node"
        ) from None
    if mode & 0o077:
        raise SealError(f"the key {path} can be read by others", remedy=f"chmod 600 {path}")
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise SealError(f"{path} holds no key", why=f"{KEY_BYTES} bytes in base64 are wanted")
    return key


def create_key(path: Path) -> bool:
    """Make a key in ``path`` (mode 0600); False when there is one already."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
        os.link(temporary, path)  # of two that come at once, one wins and its key is whole
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True
