"""Where a run stands. No two cursors of a run are alike: with each new walk through its batches they carry its number.

So a transition that was sent from an earlier walk, however late it comes, finds another cursor and changes nothing.
"""

from __future__ import annotations

from msgspec import Struct

#: The cursor of a run that has entered no batch yet, or walks its batches once more.
NEW = "new"
#: The cursor of a run that waits for its parked hosts.
PARKED = "parked"


class Cursor(Struct, frozen=True):
    """Play, batch, and the index of the stage's step (``through``: all of them); -1 before the first stage."""

    play: int
    batch: int
    index: int
    through: bool = False
    walk: int = 0

    def __str__(self) -> str:
        return in_walk(f"{self.play}.{self.batch}.{'t' if self.through else ''}{self.index}", self.walk)

    @classmethod
    def parse(cls, text: str) -> Cursor:
        play, batch, index = place(text).split(".")
        return cls(int(play), int(batch), int(index.removeprefix("t")), index.startswith("t"), walk(text))

    @classmethod
    def of(cls, text: str) -> Cursor | None:
        """The cursor, None for a run that stands in no batch."""
        return None if place(text) in ("", NEW, PARKED) else cls.parse(text)


def in_walk(place: str, walk: int) -> str:
    """The cursor at that place in that walk (the first is 0)."""
    return f"{place}/{walk}" if walk else place


def place(cursor: str) -> str:
    return cursor.partition("/")[0]


def walk(cursor: str) -> int:
    return int(cursor.partition("/")[2] or 0)
