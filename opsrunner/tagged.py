"""What YAML's ``!vault`` and ``!unsafe`` make of a text: one that is encrypted, and one that is never a template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opsrunner import vault
from opsrunner.errors import InputError, Place

#: The only key of the mapping that stands for such a value in JSON of our own.
MARK = "\0tagged"


class Verbatim(str):
    """Text that stays as it is, whatever it holds."""

    __slots__ = ()


class Encrypted:
    """A text that is still encrypted. No text itself, so that neither ciphertext nor secret is ever shown as one.

    What :meth:`read` gave once is remembered and travels with a plan; a worker has no secrets.
    """

    __slots__ = ("_plaintext", "envelope", "place")

    def __init__(self, envelope: str, place: Place | None = None, plaintext: str | None = None) -> None:
        self.envelope = envelope
        self.place = place
        self._plaintext = plaintext

    def read(self) -> str:
        """The text. Raises InputError, with the place of the value, where no secret opens it."""
        if self._plaintext is None:
            try:
                data = vault.current().open(self.envelope)
            except vault.VaultError as error:
                what = "an encrypted value that cannot be opened"
                raise InputError(what, place=self.place, why=_reason(error), remedy=error.remedy) from None
            self._plaintext = data.decode("utf-8", "surrogateescape")
        return self._plaintext

    @property
    def is_open(self) -> bool:
        """Whether it was read already."""
        return self._plaintext is not None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Encrypted):
            return NotImplemented
        if self._plaintext is not None and other._plaintext is not None:
            return self._plaintext == other._plaintext
        return self.envelope == other.envelope

    #: Of two that are equal one may be open, so there is nothing to make a hash of.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "(encrypted)"

    def to_data(self) -> list[Any]:
        return [self.envelope, list(self.place) if self.place else None, self._plaintext]


def _reason(error: vault.VaultError) -> str | None:
    return error.why if error.what == vault.CLOSED else f"{error.what}: {error.why}"


def pack(value: Encrypted | Verbatim) -> dict[str, Any]:
    """``value`` for JSON of our own; :func:`unpack` reads it."""
    return {MARK: value.to_data() if isinstance(value, Encrypted) else str(value)}


def unpack(data: Any) -> Encrypted | Verbatim:
    """What :func:`pack` was given, from what stands at :data:`MARK`."""
    if isinstance(data, str):
        return Verbatim(data)
    envelope, place, plaintext = data
    return Encrypted(envelope, Place(*place) if place else None, plaintext)


def of_json(data: Mapping[str, Any], place: Place | None = None) -> Encrypted | Verbatim | None:
    """What Ansible's JSON means by a mapping with ``__ansible_vault`` or ``__ansible_unsafe``; None for others."""
    for key in ("__ansible_vault", "__ansible_unsafe"):
        text = data.get(key)
        if isinstance(text, str):
            return Encrypted(text, place) if key == "__ansible_vault" else Verbatim(text)
    return None
