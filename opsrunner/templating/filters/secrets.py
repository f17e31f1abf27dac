"""Filters that hash and encrypt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from opsrunner import vault
from opsrunner.templating import password_hashes
from opsrunner.templating.plugins import octets


def password_hash(
    password: Any,
    hashtype: str = "sha512",
    salt: Any = None,
    salt_size: Any = None,
    rounds: Any = None,
    ident: Any = None,
) -> str:
    """The hash of a password as ``/etc/shadow`` holds it."""
    scheme = password_hashes.SHORT_NAMES.get(hashtype, hashtype)
    return password_hashes.password_hash(password, scheme, salt=salt, salt_size=salt_size, rounds=rounds, ident=ident)


def encrypt(
    data: Any, secret: Any, salt: Any = None, vault_id: str = "filter_default", wrap_object: Any = False
) -> str:
    """The text encrypted as ansible-vault does it."""
    _check_texts(data, secret)
    if wrap_object:
        raise ValueError("wrap_object is not supported: the text itself is given")
    return vault.encrypt(octets(data), octets(secret), label=vault_id, salt=None if salt is None else octets(salt))


def decrypt(data: Any, secret: Any, vault_id: str = "filter_default") -> str:
    """The text that was encrypted; what is not encrypted is given back."""
    _check_texts(data, secret)
    text = octets(data).decode()
    if not vault.is_encrypted(text):
        return text
    opened = vault.decrypt(vault.parse(text), octets(secret))
    if opened is None:
        raise ValueError("Unable to decrypt.")
    return opened.decode()


def _check_texts(data: Any, secret: Any) -> None:
    for what, value in (("secret", secret), ("text", data)):
        if not isinstance(value, (str, bytes)):
            raise TypeError(f"the {what} is to be a text, not {type(value).__name__}")


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "password_hash": password_hash,
    "vault": encrypt,
    "unvault": decrypt,
}
