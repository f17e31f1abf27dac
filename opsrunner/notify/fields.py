"""The keys of one mapping of a file, taken one by one; every fault is kept with its place."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from opsrunner import yamlsource
from opsrunner.errors import InputError, Place, did_you_mean
from opsrunner.notify.model import Secret
from opsrunner.tagged import Encrypted

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
#: Key → what a mapping there looks like.
MAPPINGS = {
    "mail": "mail: {to: ADDRESS, from: ADDRESS, host: SERVER}",
    "webhook": "webhook: {url: {env: VARIABLE}}",
    "signature": "signature: {key: {file: PATH}, header: X-Hub-Signature-256}",
}
#: Seconds of the longest time that is taken.
LONGEST = 30 * 86400


class Fields:
    """``what`` is what the mapping is, in words: "a notifier". ``folder`` is what files are meant beside.

    ``plain_secrets``: the file lies encrypted on disk, so a password may stand in it as it is. ``hidden`` gathers where
    secrets stand as they are: no error may quote them.
    """

    def __init__(
        self,
        mapping: yamlsource.Mapping,
        what: str,
        folder: Path,
        faults: list[InputError],
        hidden: list[Place],
        *,
        plain_secrets: bool,
    ) -> None:
        self.mapping = mapping
        self.what = what
        self.folder = folder
        self.faults = faults
        self.hidden = hidden
        self.plain_secrets = plain_secrets

    def at(self, key: str) -> Place:
        return self.mapping.value_places.get(key, self.mapping.place)

    def fault(self, what: str, key: str = "", *, why: str | None = None, remedy: str | None = None) -> None:
        self.faults.append(InputError(what, place=self.at(key), why=why, remedy=remedy))

    def refuse_unknown(self, known: Iterable[str]) -> None:
        for key in self.mapping:
            if key not in known:
                what = f"unknown key {key!r} of {self.what}"
                self.faults.append(InputError(what, place=self.mapping.key_places[key], remedy=nearest(key, known)))

    def under(self, key: str, what: str) -> Fields | None:
        """The mapping at ``key``; None without one."""
        value = self.mapping.get(key)
        if isinstance(value, yamlsource.Mapping):
            return Fields(value, what, self.folder, self.faults, self.hidden, plain_secrets=self.plain_secrets)
        if key in self.mapping:
            self.fault(f"{key} is a mapping", key, remedy=MAPPINGS.get(key))
        return None

    def text(self, key: str, *, required: bool = False, default: str = "") -> str:
        """A text in one line."""
        if key not in self.mapping:
            if required:
                self.fault(f"{self.what} needs {key}:")
            return default
        value = self.mapping[key]
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            self.fault(f"{key} is a text in one line", key)
            return default
        return value

    def one_of(self, key: str, known: Iterable[str], default: str) -> str:
        value = self.mapping.get(key, default)
        if value in known:
            return str(value)
        self.fault(f"{key} {shortly(value)} is not known", key, remedy=nearest(value, known))
        return default

    def truth(self, key: str, default: bool) -> bool:
        value = self.mapping.get(key, default)
        if isinstance(value, bool):
            return value
        self.fault(f"{key} is true or false", key)
        return default

    def port(self, default: int) -> int:
        value = self.mapping.get("port", default)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536:
            return value
        self.fault("port is a number from 1 to 65535", "port")
        return default

    def seconds(self, key: str, default: float) -> float:
        """A time such as ``30s`` or ``2h``, in seconds."""
        if key not in self.mapping:
            return default
        found = duration(self.mapping[key])
        if found is None:
            self.fault(f"{key} is a time such as 30s, 10m, 2h or 1d, at most 30d", key)
        return found or default

    def texts(self, key: str) -> list[tuple[str, Place]]:
        """A text or a list of texts, each with its place."""
        value = self.mapping.get(key)
        if isinstance(value, str):
            return [(value, self.at(key))]
        if isinstance(value, yamlsource.Sequence) and value and all(isinstance(one, str) for one in value):
            return list(zip(value, value.item_places, strict=True))
        self.fault(f"{key} is a text or a list of texts", key)
        return []

    def secret(self, key: str, *, check: Callable[[str], str | None] | None = None) -> Secret | None:
        """A secret that stands in the file only where ``check`` is given, which says what is wrong with one there."""
        value = self.mapping.get(key)
        if value is None:
            if key in self.mapping:
                self.fault(f"{key} is empty", key)
            return None
        place = self.at(key)
        if isinstance(value, Encrypted):
            return Secret("vault", value, place)
        if isinstance(value, str) and value:
            self.hidden.append(place)
            return self._plain(key, value, check)
        if isinstance(value, dict) and len(value) == 1:
            ((kind, source),) = value.items()
            if kind == "env" and isinstance(source, str) and source:
                return Secret("env", source, place)
            if kind == "file" and isinstance(source, str) and source:
                return Secret("file", str(self.folder / os.path.expanduser(source)), place)  # noqa: PTH111 -- leaves ~nobody as it is
        self.fault(f"{key} is none of the forms of a secret", key, remedy="{file: PATH}, {env: VARIABLE} or !vault")
        return None

    def _plain(self, key: str, value: str, check: Callable[[str], str | None] | None) -> Secret | None:
        if check is None and not self.plain_secrets:
            remedy = "{file: PATH}, {env: VARIABLE} or !vault; or encrypt the whole file with ansible-vault"
            self.fault(f"{key} in plain text", key, why="everybody who reads the file would know it", remedy=remedy)
            return None
        why = check(value) if check else None
        if why:
            # The value is not told: part of it may be a secret.
            self.fault(f"{key} is no good", key, why=why)
            return None
        return Secret("text", value, self.at(key))

    def secrets(self, key: str, *, plain: bool) -> dict[str, Secret]:
        """A mapping of names to secrets; with ``plain`` they may stand in the file as they are."""
        under = self.under(key, key)
        if under is None:
            return {}
        found: dict[str, Secret] = {}
        for name in under.mapping:
            if not isinstance(name, str):
                under.faults.append(InputError(f"{name!r} is no name", place=under.mapping.key_places[name]))
                continue
            secret = under.secret(name, check=(lambda text: None) if plain else None)
            if secret is not None:
                found[name] = secret
        return found


def nearest(name: Any, known: Iterable[str]) -> str:
    """What to do about an unknown name."""
    names = list(known)
    return did_you_mean(name, names, f"known are {', '.join(names) or 'none'}")


def shortly(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def duration(value: Any) -> float | None:
    """``15m`` in seconds, None when it is no such time."""
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", value) if isinstance(value, str) else None
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    return float(seconds) if 0 < seconds <= LONGEST else None
