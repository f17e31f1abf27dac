"""Password hashes as ``/etc/shadow`` holds them: MD5, SHA-256, SHA-512 (crypt) and bcrypt.

Made by hashlib and by bcrypt, which paramiko needs anyway: neither libcrypt nor passlib must be there.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Callable, Iterator
from random import Random, SystemRandom
from typing import Any, Final, NamedTuple

from opsrunner.templating import bounds
from opsrunner.templating.plugins import text

_ALPHABET: Final = "./" + string.digits + string.ascii_uppercase + string.ascii_lowercase
#: The alphabet's order of bcrypt.
_BCRYPT_ALPHABET: Final = "./" + string.ascii_letters + string.digits
_BCRYPT_IDENTS: Final = ("2a", "2b", "2y")
#: The rounds that a hash does not tell.
_UNTOLD_ROUNDS: Final = 5000


class Scheme(NamedTuple):
    """What one kind of hash takes."""

    salt_size: int
    rounds: int | None
    min_rounds: int = 1000
    max_rounds: int = 999_999_999


SCHEMES: Final = {
    "md5_crypt": Scheme(8, None),
    "sha256_crypt": Scheme(16, 535_000),
    "sha512_crypt": Scheme(16, 656_000),
    "bcrypt": Scheme(22, 12, 4, 31),
}
#: The names by which the filter ``password_hash`` knows them, too.
SHORT_NAMES: Final = {"md5": "md5_crypt", "sha256": "sha256_crypt", "sha512": "sha512_crypt", "blowfish": "bcrypt"}


def password_hash(
    password: Any,
    scheme: str,
    *,
    salt: Any = None,
    salt_size: Any = None,
    rounds: Any = None,
    ident: Any = None,
    random: Random | None = None,
) -> str:
    """The hash of ``password``, with a salt made by ``random`` where none is given. Raises ValueError and TypeError."""
    kind = SCHEMES.get(scheme)
    if kind is None:
        raise ValueError(f"{scheme!r} is not in the list of supported algorithms: {', '.join(SCHEMES)}")
    if not isinstance(password, (str, bytes)):
        raise TypeError(f"a password is a text, not {type(password).__name__}")
    secret = password if isinstance(password, bytes) else password.encode()
    if b"\0" in secret:
        raise ValueError("a password holds no NUL")
    salt = _salt(salt, salt_size, kind, scheme, random or SystemRandom())
    rounds = _rounds(rounds, kind, scheme)
    if scheme == "bcrypt":
        return _bcrypt(secret, salt, rounds or 12, str(ident or "2b"))
    if scheme == "md5_crypt":
        return f"$1${salt}${_md5_crypt(secret, salt.encode())}"
    number, make = ("5", _sha256_crypt) if scheme == "sha256_crypt" else ("6", _sha512_crypt)
    told = "" if rounds == _UNTOLD_ROUNDS else f"rounds={rounds}$"
    return f"${number}${told}{salt}${make(secret, salt.encode(), rounds or _UNTOLD_ROUNDS)}"


def random_salt(size: int = 8, random: Random | None = None) -> str:
    """A salt of so many signs."""
    chance = random or SystemRandom()
    return "".join(chance.choice(_ALPHABET) for _ in range(size))


def _salt(given: Any, size: Any, kind: Scheme, scheme: str, random: Random) -> str:
    if size is not None and not isinstance(size, int):
        raise TypeError("salt_size must be an integer")
    exact = kind.salt_size if scheme == "bcrypt" else 0
    if size and not exact <= size <= kind.salt_size:
        raise ValueError(f"salt_size {size} is not within what {scheme} takes: {kind.salt_size} at most")
    salt = text(given) if given else random_salt(size or kind.salt_size, random)
    if not exact <= len(salt) <= kind.salt_size or not re.fullmatch(r"[./0-9A-Za-z]*", salt):
        length = f"{exact}" if exact else f"at most {kind.salt_size}"
        raise ValueError(f"a salt of {scheme} has {length} signs out of ./0-9A-Za-z")
    return salt


def _rounds(given: Any, kind: Scheme, scheme: str) -> int | None:
    if not given:
        return kind.rounds
    if kind.rounds is None:
        raise TypeError(f"{scheme} takes no rounds")
    if not isinstance(given, int):
        raise TypeError("rounds must be an integer")
    if not kind.min_rounds <= given <= kind.max_rounds:
        raise ValueError(f"rounds must be between {kind.min_rounds} and {kind.max_rounds}")
    return given


def _bcrypt(secret: bytes, salt: str, rounds: int, ident: str) -> str:
    import bcrypt

    if ident not in _BCRYPT_IDENTS:
        raise ValueError(f"ident {ident!r} is not one of {', '.join(_BCRYPT_IDENTS)}")
    if len(secret) > 72:
        raise ValueError("bcrypt takes 72 bytes of a password at most")
    # Of the last sign only two bits count: bcrypt wants the others to be 0.
    last = _BCRYPT_ALPHABET[_BCRYPT_ALPHABET.index(salt[-1]) & 0b110000]
    return bcrypt.hashpw(secret, f"${ident}${rounds:02d}${salt[:-1]}{last}".encode()).decode()


def _encoded(groups: Iterator[tuple[int, int]]) -> str:
    """Numbers, each with how many signs of six bits it gives, the lowest bits first."""
    return "".join(_ALPHABET[number >> (6 * place) & 0x3F] for number, signs in groups for place in range(signs))


def _repeated(block: bytes, length: int) -> bytes:
    return (block * (length // len(block) + 1))[:length]


def _rearranged(digest: bytes, triples: list[tuple[int, ...]]) -> str:
    """The digest's bytes in groups, each read as one number."""
    grouped = (bytes(digest[index] for index in triple) for triple in triples)
    return _encoded((int.from_bytes(group, "big"), {3: 4, 2: 3, 1: 2}[len(group)]) for group in grouped)


def _md5_crypt(secret: bytes, salt: bytes) -> str:
    inner = hashlib.md5(secret + salt + secret).digest()
    first = secret + b"$1$" + salt + (_repeated(inner, len(secret)) if secret else b"")
    length = len(secret)
    while length:
        first += b"\0" if length & 1 else secret[:1]
        length >>= 1
    digest = hashlib.md5(first).digest()
    for number in range(1000):
        before, behind = (secret, digest) if number & 1 else (digest, secret)
        middle = (salt if number % 3 else b"") + (secret if number % 7 else b"")
        digest = hashlib.md5(before + middle + behind).digest()
    return _rearranged(digest, [(0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5), (11,)])


def _sha256_crypt(secret: bytes, salt: bytes, rounds: int) -> str:
    digest = _sha_crypt(secret, salt, rounds, hashlib.sha256)
    triples: list[tuple[int, ...]] = []
    triple = (0, 10, 20)
    for _ in range(10):
        triples.append(triple)
        triple = ((triple[2] + 1) % 30, (triple[0] + 1) % 30, (triple[1] + 1) % 30)
    return _rearranged(digest, [*triples, (31, 30)])


def _sha512_crypt(secret: bytes, salt: bytes, rounds: int) -> str:
    digest = _sha_crypt(secret, salt, rounds, hashlib.sha512)
    triples: list[tuple[int, ...]] = []
    triple = (0, 21, 42)
    for _ in range(21):
        triples.append(triple)
        triple = (triple[1] + 1, triple[2] + 1, triple[0] + 1)
    return _rearranged(digest, [*triples, (63,)])


def _sha_crypt(secret: bytes, salt: bytes, rounds: int, algorithm: Callable[[bytes], Any]) -> bytes:
    """Ulrich Drepper's scheme (https://www.akkadia.org/drepper/SHA-crypt.txt)."""
    inner = algorithm(secret + salt + secret).digest()
    first = secret + salt + _repeated(inner, len(secret))
    length = len(secret)
    while length:
        first += inner if length & 1 else secret
        length >>= 1
    digest: bytes = algorithm(first).digest()
    secrets = _repeated(algorithm(secret * len(secret)).digest(), len(secret))
    salts = _repeated(algorithm(salt * (16 + digest[0])).digest(), len(salt))
    # What stands around the digest comes again every 42 rounds.
    around = []
    for number in range(42):
        middle = (salts if number % 3 else b"") + (secrets if number % 7 else b"")
        around.append((secrets + middle, b"") if number & 1 else (b"", middle + secrets))
    for start in range(0, rounds, 42):
        bounds.spend()
        for before, behind in around[: rounds - start]:
            digest = algorithm(before + digest + behind).digest()
    return digest
