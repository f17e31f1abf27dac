"""Ansible Vault's AES256 format, versions 1.1 and 1.2: encrypted text and secrets in, plain bytes out."""

from __future__ import annotations

import contextlib
import hmac
import os
from binascii import hexlify, unhexlify
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import ClassVar

from opsrunner.errors import InputError
from opsrunner.redacted import Redacted

#: How every encrypted text begins.
HEADER = "$ANSIBLE_VAULT"
#: The label of a secret, or of a text, that was given none.
DEFAULT_LABEL = "default"
REMEDY = "give the password: --vault-password-file FILE, --vault-id LABEL@FILE, -J, or the setting vault_password_file"

_VERSIONS = (b"1.1", b"1.2")
_CIPHER = b"AES256"
_ITERATIONS = 10_000
_KEY_BYTES = 32
_COUNTER_BYTES = 16
#: Signs of a line of an encrypted text.
_LINE = 80


#: What a VaultError says of a text that is sound, and that no secret opens.
CLOSED = "an encrypted text"


class VaultError(InputError):
    """An encrypted text that cannot be opened. It says nothing of the secrets that were tried."""


class Secret(Redacted, frozen=True):
    """A password, and the label (vault id) that it was given with."""

    HIDDEN: ClassVar = frozenset(("password",))

    label: str
    password: bytes


class Envelope(Redacted, frozen=True):
    """The parts of one encrypted text."""

    HIDDEN: ClassVar = frozenset(("salt", "digest", "ciphertext"))

    label: str
    salt: bytes
    digest: bytes
    ciphertext: bytes


def is_encrypted(text: str) -> bool:
    """Whether ``text`` says that it is encrypted."""
    return text.startswith(HEADER)


def parse(text: str) -> Envelope:
    """The parts of an encrypted text. Raises VaultError where it is none, or of a format that is not known."""
    if not is_encrypted(text):
        raise VaultError("not an encrypted text", why=f"it does not begin with {HEADER}")
    try:
        lines = text.encode("ascii").splitlines()
    except UnicodeEncodeError:
        raise VaultError("a damaged encrypted text", why="it holds other signs than ASCII") from None
    parts = [part.strip() for part in lines[0].split(b";")]
    if len(parts) < 3 or parts[0] != HEADER.encode():
        raise VaultError("a damaged encrypted text", why=f"its first line is not {HEADER};1.1;AES256")
    _check_format(parts[1], parts[2])
    label = parts[3].decode("ascii") if len(parts) > 3 else ""
    try:
        # Hexadecimal twice over: the whole, and each of its three lines.
        salt, digest, ciphertext = (unhexlify(one) for one in unhexlify(b"".join(lines[1:])).split(b"\n", 2))
    except ValueError:
        raise VaultError(
            "a damaged encrypted text", why="it is cut, or not hexadecimal", remedy="take it from ansible-vault anew"
        ) from None
    return Envelope(label or DEFAULT_LABEL, salt, digest, ciphertext)


def _check_format(version: bytes, cipher: bytes) -> None:
    found = None
    if version not in _VERSIONS:
        found = f"version {version.decode()!r}"
    elif cipher != _CIPHER:
        found = f"the cipher {cipher.decode()!r}"
    if found:
        raise VaultError(
            f"an encrypted text of {found}", why="1.1 and 1.2 with AES256 are known", remedy="ansible-vault rekey it"
        )


def encrypt(data: bytes, password: bytes, *, label: str = DEFAULT_LABEL, salt: bytes | None = None) -> str:
    """``data`` encrypted; ``salt`` is for who wants the same text twice."""
    from cryptography.hazmat.primitives import padding
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    salt = os.urandom(_KEY_BYTES) if salt is None else salt
    key, digest_key, counter = _keys(password, salt)
    padder = padding.PKCS7(algorithms.AES.block_size).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor()
    ciphertext = encryptor.update(padder.update(data) + padder.finalize()) + encryptor.finalize()
    digest = hmac.digest(digest_key, ciphertext, "sha256")
    body = hexlify(b"\n".join(map(hexlify, (salt, digest, ciphertext)))).decode()
    header = f"{HEADER};1.1;AES256" if label == DEFAULT_LABEL else f"{HEADER};1.2;AES256;{label}"
    return "\n".join([header, *(body[at : at + _LINE] for at in range(0, len(body), _LINE)), ""])


def _keys(password: bytes, salt: bytes) -> tuple[bytes, bytes, bytes]:
    """The key, that of the digest, and where the counter begins."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

    derived = PBKDF2HMAC(hashes.SHA256(), 2 * _KEY_BYTES + _COUNTER_BYTES, salt, _ITERATIONS).derive(password)
    return derived[:_KEY_BYTES], derived[_KEY_BYTES : 2 * _KEY_BYTES], derived[2 * _KEY_BYTES :]


def decrypt(envelope: Envelope, password: bytes) -> bytes | None:
    """What was encrypted; None when that is not the password, or the text was changed since."""
    # Imported here: most commands open nothing, and every one of them would start later.
    from cryptography.hazmat.primitives import padding
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    key, digest_key, counter = _keys(password, envelope.salt)
    if not hmac.compare_digest(hmac.digest(digest_key, envelope.ciphertext, "sha256"), envelope.digest):
        return None
    decryptor = Cipher(algorithms.AES(key), modes.CTR(counter)).decryptor()
    unpadder = padding.PKCS7(algorithms.AES.block_size).unpadder()
    try:
        padded = decryptor.update(envelope.ciphertext) + decryptor.finalize()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        raise VaultError("a damaged encrypted text", why="its padding is wrong") from None


class Vault:
    """The secrets that are at hand, and what was opened with them.

    ``more`` gives further ones; it is asked once, when the first encrypted text is met. ``absent`` says why there may
    be none at all.
    """

    def __init__(
        self,
        secrets: Sequence[Secret] = (),
        more: Callable[[], Sequence[Secret]] = tuple,
        *,
        absent: str = "no vault password was given",
    ) -> None:
        self._absent = absent
        self._secrets = tuple(secrets)
        self._more: Callable[[], Sequence[Secret]] | None = more
        self._opened: dict[str, bytes] = {}

    def open(self, text: str) -> bytes:
        """What was encrypted as ``text``: every secret is tried, those of its label first. Raises VaultError."""
        known = self._opened.get(text)
        if known is None:
            known = self._opened[text] = self._decrypted(parse(text))
        return known

    def _decrypted(self, envelope: Envelope) -> bytes:
        secrets = sorted(self._all(), key=lambda secret: secret.label != envelope.label)
        for secret in secrets:
            plaintext = decrypt(envelope, secret.password)
            if plaintext is not None:
                return plaintext
        label = "" if envelope.label == DEFAULT_LABEL else f" (its label is {envelope.label})"
        if not secrets:
            raise VaultError(CLOSED, why=f"{self._absent}{label}", remedy=REMEDY)
        tried = "the vault password that was" if len(secrets) == 1 else f"none of the {len(secrets)} vault passwords"
        verb = "given does not open it" if len(secrets) == 1 else "given opens it"
        raise VaultError(CLOSED, why=f"{tried} {verb}{label}, or it was changed", remedy=REMEDY)

    def _all(self) -> tuple[Secret, ...]:
        if self._more:
            self._secrets += tuple(self._more())
            self._more = None
        return self._secrets


#: What opens encrypted texts while somebody reads files: see :func:`using`.
_current: ContextVar[Vault | None] = ContextVar("vault", default=None)


@contextlib.contextmanager
def using(vault: Vault) -> Iterator[None]:
    """Open encrypted texts with ``vault`` inside."""
    token = _current.set(vault)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> Vault:
    """What :func:`using` was given, else a vault without secrets, as on workers."""
    return _current.get() or Vault(absent="no vault password is at hand here: workers have none")
