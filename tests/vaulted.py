"""Texts in the format of ansible-vault, made without it; differential tests compare the two."""

from __future__ import annotations

import hashlib
import hmac
import textwrap

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

PASSWORD = "correct horse"


def encrypted(text: str | bytes, password: str = PASSWORD, *, label: str = "", salt: bytes = b"s" * 32) -> str:
    """``text`` as ``ansible-vault encrypt`` writes it."""
    data = text.encode() if isinstance(text, str) else text
    keys = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 10_000, 80)
    missing = 16 - len(data) % 16
    encryptor = Cipher(algorithms.AES(keys[:32]), modes.CTR(keys[64:])).encryptor()
    ciphertext = encryptor.update(data + bytes([missing]) * missing) + encryptor.finalize()
    digest = hmac.digest(keys[32:64], ciphertext, "sha256")
    body = b"\n".join(part.hex().encode() for part in (salt, digest, ciphertext)).hex()
    header = f"$ANSIBLE_VAULT;1.2;AES256;{label}" if label else "$ANSIBLE_VAULT;1.1;AES256"
    return "\n".join([header, *(body[at : at + 80] for at in range(0, len(body), 80)), ""])


def inline(text: str, password: str = PASSWORD, *, label: str = "", tag: str = "!vault", indent: int = 10) -> str:
    """The same as a value in YAML: ``!vault |`` and the lines below it."""
    return f"{tag} |\n{textwrap.indent(encrypted(text, password, label=label), ' ' * indent)}"
