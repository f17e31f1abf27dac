"""What one round is: a playbook and some faults, all of it told by a seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tests.chaos.books import Play, Step
from tests.chaos.injector import KINDS, LINK_KINDS, Fault, draw
from tests.chaos.networks import Namespaces

CANCEL = "cancel"
#: The share of rounds in which somebody cancels the run: not more, as it hides what would have come.
CANCELLED = 0.1
#: The share of rounds whose run is resumed after its end.
RESUMED = 0.3


@dataclass(frozen=True)
class Form:
    """What is run; ``rivals`` runs at once, which wait for each other's hosts."""

    plays: tuple[Play, ...]
    words: tuple[str, ...] = ()
    rivals: int = 1


def steps(prefix: str, count: int, *, handler: bool = False, safe: int = -1, guard: bool = False) -> tuple[Step, ...]:
    tasks = tuple(Step(f"{prefix}{number}", safe=number == safe, guard=guard) for number in range(count))
    return (*tasks, Step(f"{prefix}handler", handler=True, guard=guard)) if handler else tasks


FORMS: dict[str, Form] = {
    "linear": Form((Play(steps("s", 4)),)),
    "free": Form((Play(steps("s", 4, handler=True), "strategy: free"),)),
    "serial": Form((Play(steps("s", 2, handler=True), "serial: 15"),)),
    "two plays": Form((Play(steps("first", 2)), Play(steps("second", 2, handler=True), "serial: [5, 25]"))),
    "rerun safe": Form((Play(steps("s", 3, safe=1)),)),
    "guarded": Form((Play(steps("s", 3, handler=True, guard=True)),)),
    "guarded and free": Form((Play(steps("s", 3, guard=True), "strategy: free"),)),
    "forks": Form((Play(steps("s", 3)),), ("--forks", "16")),
    "parked": Form((Play(steps("s", 3)),), ("--park", "60s")),
    "rivals": Form((Play(steps("s", 2)),), rivals=2),
}


@dataclass(frozen=True)
class Scenario:
    """``lease`` and ``heartbeat`` in seconds; ``faults`` in the order in which they begin."""

    seed: int
    mode: str
    form: str
    lease: float
    heartbeat: float
    appendfsync: str
    faults: tuple[Fault, ...]
    #: Whether the run is resumed after its end.
    resumed: bool

    def __str__(self) -> str:
        faults = "; ".join(str(fault) for fault in self.faults)
        return (
            f"seed {self.seed}, {self.mode}, {self.form}{', resumed' * self.resumed}, lease {self.lease:g} s, "
            f"heartbeat {self.heartbeat:g} s, appendfsync {self.appendfsync}: {faults}"
        )


def scenario(seed: int, mode: str, *, least: int = 1, most: int = 4, longest: float = 30.0) -> Scenario:
    """From ``least`` to ``most`` faults, of which none lasts longer than ``longest`` seconds."""
    chance = Random(seed)
    form = chance.choice(sorted(FORMS))
    lease, heartbeat = chance.choice(((10.0, 2.0), (4.0, 1.0)))
    kinds = [name for name in KINDS if name != CANCEL and (mode == Namespaces.mode or name not in LINK_KINDS)]
    faults = draw(chance, kinds, chance.randint(least, most), longest=longest)
    if chance.random() < CANCELLED:
        faults = (*faults, *draw(chance, [CANCEL], 1, longest=longest))
    appendfsync = chance.choice(("always", "everysec"))
    return Scenario(seed, mode, form, lease, heartbeat, appendfsync, faults, resumed=chance.random() < RESUMED)
