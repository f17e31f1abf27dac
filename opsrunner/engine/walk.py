"""Which hosts enter which batch: all of them once, and those that are let in again where they stood."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from msgspec import Struct

from opsrunner.ledger import keys
from opsrunner.ledger.reader import Reader
from opsrunner.ledger.transitions import Readmission
from opsrunner.plan import flow
from opsrunner.plan.flow import Position
from opsrunner.plan.model import Plan, Play

#: In the place of a position: the host has gone on from where it stood.
WENT_ON = ">"


class Stand(Struct, frozen=True):
    """Where a host went wrong, or (``position`` None) the play it was let into again."""

    play: int
    position: Position | None

    @classmethod
    def decode(cls, text: str) -> Stand:
        play, _, position = text.partition("|")
        return cls(int(play), None if position == WENT_ON else Position.decode(position or "0"))

    def encode(self) -> str:
        return f"{self.play}|{WENT_ON if self.position is None else self.position.encode()}"


class Fill(Struct, frozen=True):
    """A batch that has something to do: its number in the whole plan, and its hosts with their positions."""

    play: Play
    batch: int
    number: int
    hosts: Mapping[str, Position]


class Progress(Struct, frozen=True):
    """How far a run has come: the highest batch that was entered, and who stands where."""

    reached: int
    stood: Mapping[str, Stand]

    @classmethod
    def read(cls, reader: Reader, run_id: str) -> Progress:
        pipeline = reader.redis.pipeline(transaction=True)
        pipeline.hget(keys.run(run_id), "reached")
        pipeline.hgetall(keys.stood(run_id))
        reached, stood = pipeline.execute()
        stands = {host.decode(): Stand.decode(text.decode()) for host, text in stood.items()}
        return cls(int(reached) if reached is not None else -1, stands)


def fills(plan: Plan, progress: Progress, ended: Collection[str], *, after: int = -1) -> Iterator[Fill]:
    """The batches beyond number ``after`` that have something left to do, in the plan's order."""
    number = -1
    for play in plan.plays:
        start = flow.start(play)
        for batch, members in enumerate(play.batches):
            number += 1
            if number <= after:
                continue
            hosts = {}
            for host in members:
                position = None if host in ended else _entry(play, number, host, start, progress)
                if position is not None and not flow.ended(play, position):
                    hosts[host] = position
            if hosts:
                yield Fill(play, batch, number, hosts)


def _entry(play: Play, number: int, host: str, start: Position, progress: Progress) -> Position | None:
    """Where the host enters that batch, None when it has been through it."""
    stand = progress.stood.get(host)
    if stand is None:
        return start if number > progress.reached else None
    if stand.play < play.number:
        return start
    return stand.position if stand.play == play.number else None


def readmission(
    reader: Reader, plan: Plan, run_id: str, host: str, stand: Stand | None = None, *, ask_guard: bool = False
) -> Readmission | None:
    """Lets a host in where it stood (or at ``stand``): every outcome from there on is forgotten.

    With ``ask_guard`` the step it stands at is no new attempt: the host is asked what came of the old one.
    None when nothing is known of where it stood.
    """
    stand = stand or Progress.read(reader, run_id).stood.get(host)
    if stand is None or stand.position is None:
        return None
    play = plan.plays[stand.play]
    if flow.ended(play, stand.position):
        return Readmission(host, stand.play, stand.position.encode(), {})
    first = play.steps[stand.position.next].number
    numbers = [step.number for play in plan.plays for step in play.steps if step.number >= first]
    pipeline = reader.redis.pipeline(transaction=False)
    for number in numbers:
        pipeline.hexists(keys.steps(run_id, number), host)
    known = [number for number, there in zip(numbers, pipeline.execute(), strict=True) if there]
    steps = {number: not (ask_guard and number == first) for number in known}
    return Readmission(host, stand.play, stand.position.encode(), steps)
