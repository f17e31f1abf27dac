"""Gathers everything that is wrong, each with its place and line, so that it is told at once."""

from __future__ import annotations

from opsrunner.errors import InputError, Place, raise_all
from opsrunner.yamlsource import excerpt


class Faults:
    """The faults of one compilation; ``texts`` maps a file's name in places to its text."""

    def __init__(self, texts: dict[str, str] | None = None) -> None:
        self._texts = dict(texts or {})
        self._errors: list[InputError] = []

    def __len__(self) -> int:
        return len(self._errors)

    def know(self, file: str, text: str) -> None:
        """Excerpts of ``file`` come from ``text`` from now on."""
        self._texts[file] = text

    def add(self, what: str, place: Place | None, *, why: str | None = None, remedy: str | None = None) -> None:
        line = excerpt(self._texts.get(place.file, ""), place) if place else None
        self._errors.append(InputError(what, place=place, why=why, remedy=remedy, excerpt=line))

    def take(self, error: InputError) -> None:
        """Keep an error that was raised elsewhere."""
        self._errors.append(error)

    def raise_all(self) -> None:
        """Raise nothing, one InputError or InputErrors, in the order of the file."""
        raise_all(sorted(self._errors, key=_order))


def _order(error: InputError) -> tuple[str, int, int]:
    return error.place if error.place else ("", 0, 0)
