"""Where a run stands."""

from __future__ import annotations

from dataclasses import dataclass

#: The cursor of a run that has entered no batch yet, or walks its batches once more.
NEW = "new"
#: The cursor of a run that waits for its parked hosts.
PARKED = "parked"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Play, batch, and the index of the stage's step (``through``: all of them); -1 before the first stage."""

    play: int
    batch: int
    index: int
    through: bool = False

    def __str__(self) -> str:
        return f"{self.play}.{self.batch}.{'t' if self.through else ''}{self.index}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        play, batch, index = text.split(".")
        return cls(int(play), int(batch), int(index.removeprefix("t")), index.startswith("t"))

    @classmethod
    def of(cls, text: str) -> Cursor | None:
        """The cursor, None for a run that stands in no batch."""
        return None if text in ("", NEW, PARKED) else cls.parse(text)
