"""Where a host stands in a play, and where it goes from there: blocks, rescues, handlers. Pure.

A play's steps are one flat list (block, rescue, always; handlers after each section). A host's
:class:`Position` names the next step it takes part in. Steps that it jumps over (a rescue nobody
needed, a handler nobody notified) are never waited for.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from opsrunner.plan.model import Play, Step


class Position(Struct, frozen=True):
    """``next`` is an index into ``play.steps``; ``len(play.steps)`` means the end of the play."""

    next: int = 0
    #: Blocks whose rescue part the host has entered.
    rescuing: frozenset[int] = frozenset()
    #: Blocks whose failure goes on outward once their always part is through.
    pending: frozenset[int] = frozenset()
    #: Blocks of included tasks that the host has brought in.
    entered: frozenset[int] = frozenset()
    #: Places of the handlers that wait to be run.
    notified: frozenset[str] = frozenset()
    #: The failure nobody rescued: only handlers may follow, and only with force_handlers.
    failed: bool = False

    def encode(self) -> str:
        """A short text for the ledger; most positions are a bare number."""
        if not (self.rescuing or self.pending or self.notified or self.entered or self.failed):
            return str(self.next)
        blocks = [sorted(one) for one in (self.rescuing, self.pending, self.entered)]
        return json.dumps([self.next, *blocks, sorted(self.notified), int(self.failed)], separators=(",", ":"))

    @classmethod
    @functools.lru_cache(maxsize=1024)
    def decode(cls, text: str) -> Position:
        """What :meth:`encode` gave; most hosts of a batch stand at few positions."""
        if not text.startswith("["):
            return cls(int(text))
        index, rescuing, pending, entered, notified, failed = json.loads(text)
        return cls(
            index, frozenset(rescuing), frozenset(pending), frozenset(entered), frozenset(notified), bool(failed)
        )


def start(play: Play) -> Position:
    """The position of a host that has just entered the play."""
    return _settle(play, Position(), 0)


def ended(play: Play, position: Position) -> bool:
    """Whether there is nothing more for the host to do in this play."""
    return position.next >= len(play.steps)


def notified_by(play: Play, names: Iterable[str]) -> frozenset[str]:
    """Places of the handlers that ``names`` (of handlers, or topics they listen to) stand for."""
    wanted = set(names)
    if not wanted:
        return frozenset()  # as of most steps
    return frozenset(
        step.place for step in play.steps if step.handler and wanted.intersection((*step.known_as, *step.listen))
    )


def unknown_handlers(play: Play, names: Iterable[str]) -> list[str]:
    """Those of ``names`` that no handler answers to."""
    names = list(names)
    if not names:
        return []
    known = {name for step in play.steps if step.handler for name in (*step.known_as, *step.listen)}
    return [name for name in names if name not in known]


def succeed(
    play: Play, position: Position, notified: frozenset[str] = frozenset(), entered: frozenset[int] = frozenset()
) -> Position:
    """After a good (or ignored) outcome of ``position.next``, which notified handlers and brought in blocks."""
    step = play.steps[position.next]
    if notified or entered or step.handler:
        waiting = (position.notified - {step.place} if step.handler else position.notified) | notified
        position = replace(position, notified=waiting, entered=position.entered | entered)
    return _settle(play, position, position.next + 1)


def go_to(play: Play, position: Position, index: int) -> Position:
    """The same host at step ``index``, or at the first one from there on that it takes part in."""
    return _settle(play, position, index)


def fail(play: Play, position: Position, *, at: int | None = None) -> tuple[Position, bool]:
    """After a failure of step ``at`` (default: the next one): the new position, and whether a rescue follows."""
    index = position.next if at is None else at
    step = play.steps[index]
    if step.handler:
        position = replace(position, notified=position.notified - {step.place})
    return _propagate(play, position, step.path, index)


def _propagate(play: Play, position: Position, path: tuple[tuple[int, str], ...], index: int) -> tuple[Position, bool]:
    """Carry a failure outward from ``path`` until a rescue or an always part takes it."""
    for depth in range(len(path) - 1, -1, -1):
        block, part = path[depth]
        # This failure takes the place of any that an inner always part was still holding.
        held = position.pending.intersection(outer for outer, _ in path[:depth])
        if part == "block":
            rescue = _first(play, block, "rescue")
            if rescue is not None:
                entered = replace(position, rescuing=position.rescuing | {block}, pending=held)
                return _settle(play, entered, rescue), True
        if part != "always":
            always = _first(play, block, "always")
            if always is not None:
                # A failure that an outer rescue will meet is a rescued one all the same.
                outer = any(
                    outer_part == "block" and _first(play, outer_block, "rescue") is not None
                    for outer_block, outer_part in path[:depth]
                )
                return _settle(play, replace(position, pending=held | {block}), always), outer
    failed = replace(position, failed=True, pending=frozenset())
    # Who fails in a handler runs no further ones, forced or not.
    if not play.force_handlers or (play.steps[index].handler and play.steps[index].section == "handlers"):
        return replace(failed, next=len(play.steps)), False
    return _settle(play, failed, index + 1), False


def _settle(play: Play, position: Position, index: int) -> Position:
    """Move on from ``index`` to the first step that the host takes part in."""
    steps = play.steps
    while index < len(steps):
        step = steps[index]
        left = position.pending.difference(block for block, _ in step.path) if position.pending else None
        if left:
            return _leave(play, position, index, left)
        if _takes_part(step, position):
            break
        index += 1
    if position.pending and index >= len(steps):
        return _leave(play, position, index, position.pending)
    # Not `replace`: every host comes here at every step, and it costs thrice as much.
    at = position
    return Position(min(index, len(steps)), at.rescuing, at.pending, at.entered, at.notified, at.failed)


def _leave(play: Play, position: Position, index: int, left: frozenset[int]) -> Position:
    """The always part of a failed block is through: its failure goes on outward."""
    innermost = max(left, key=lambda block: len(_path_of(play, block)))
    path = _path_of(play, innermost)
    moved, _ = _propagate(play, replace(position, pending=position.pending - {innermost}), path, index - 1)
    return moved


def _takes_part(step: Step, position: Position) -> bool:
    if step.handler and step.place not in position.notified:
        return False
    # Who failed takes part in forced handlers only: those behind a section, not those of a flush within one.
    if position.failed and step.section != "handlers":
        return False
    return all(
        block in position.rescuing if part == "rescue" else block in position.entered
        for block, part in step.path
        if part in ("rescue", "included")
    )


def _first(play: Play, block: int, part: str) -> int | None:
    """Index of the first step of that part of that block, nested ones included."""
    for index, step in enumerate(play.steps):
        if (block, part) in step.path:
            return index
    return None


def _path_of(play: Play, block: int) -> tuple[tuple[int, str], ...]:
    """The blocks that ``block`` itself stands in."""
    for step in play.steps:
        for depth, (number, _) in enumerate(step.path):
            if number == block:
                return step.path[:depth]
    return ()
