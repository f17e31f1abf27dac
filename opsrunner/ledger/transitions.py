"""What transitions of the ledger are handed and answer, as frozen records; no I/O here (see scripts.lua)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from opsrunner.ledger import keys
from opsrunner.ledger.encoding import encode_outcome, encode_started, encode_terminal
from opsrunner.ledger.records import GOOD, Outcome, PlayOutline
from opsrunner.ledger.results import encode_result

Arguments = tuple[str | bytes | int | float, ...]


class Claim(Struct, frozen=True):
    """The answer to a claim: ``go``, ``stop``, ``moved`` (the host stands elsewhere), ``taken`` or ``locked``.

    ``attempt`` counts how often the host × step was given up and begun anew.
    """

    verdict: str
    position: str
    version: int
    attempt: int = 0


class Budget(Struct, frozen=True):
    """At most ``limit`` host-steps are in the set ``key`` at once."""

    key: str
    limit: int


class Start(Struct, frozen=True):
    """The last thing that is stored before a command is sent."""

    run_id: str
    step: int
    host: str
    token: str
    boot: str
    worker: str
    #: The highest sequence number of the run that this worker was told: a ledger that knows less went back in time.
    known: int = 0
    #: What became of the command can be asked of the host.
    guarded: bool = False
    budgets: tuple[Budget, ...] = ()

    def arguments(self) -> Arguments:
        event = encode_started(self.step, self.host, self.worker)
        flat = [part for budget in self.budgets for part in (budget.key, budget.limit)]
        guard = "g" if self.guarded else ""
        run = keys.run(self.run_id)
        return (
            "start", run, self.step, self.host, self.token, self.boot, keys.PREFIX, self.known, guard, event, *flat,
        )  # fmt: skip


class Finish(Struct, frozen=True):
    """All that the end of a host × step writes, in one transition."""

    run_id: str
    token: str
    outcome: Outcome
    #: Index of the host's next step and its encoded position; None when it leaves the batch.
    score: int | None
    position: str
    #: Why the host takes part in nothing more, "" when it does.
    ended: str = ""
    #: Variables the step gave the host: ``@step:host`` or a sealed value.
    variables: tuple[tuple[str, bytes], ...] = ()
    #: Variables the step gave other hosts: host, name, sealed value.
    given: tuple[tuple[str, str, bytes], ...] = ()
    #: The step ran once for the whole batch, and whether the others are given its variables.
    once: bool = False
    shared: bool = True
    #: What it added to the run's inventory, sealed; empty when it is nothing.
    additions: bytes = b""

    def arguments(self) -> Arguments:
        outcome = self.outcome
        names = [name for name, _ in self.variables if self.shared]
        once = json.dumps([outcome.host, names]) if self.once else ""
        flat: list[str | bytes] = []
        for name, value in self.variables:
            flat += (name, value)
        for host, name, value in self.given:
            flat += (f"{name}@{host}", value)
        return (
            "finish",
            keys.run(self.run_id),
            outcome.step,
            outcome.host,
            self.token,
            encode_terminal(outcome),
            encode_result(outcome.result),
            "" if self.score is None else self.score,
            self.position,
            encode_outcome(outcome),
            int(outcome.status not in GOOD and outcome.mark is None),
            self.ended,
            once,
            keys.PREFIX,
            self.additions,
            *flat,
        )


class Decision(Struct, frozen=True):
    """Who the late play of a run is for: the plan that says so takes the place of the stored one, once.

    ``lap`` is that of the plan it was made from, ``text`` what is to be said of it. ``reached`` takes the place of
    the run's, where batches come in before the one that was reached; ``stands`` (host → ``play|position``) lets hosts
    into these.
    """

    lap: int
    plan: bytes
    plays: Sequence[PlayOutline]
    reached: int
    stands: Mapping[str, str]
    text: str


class Readmission(Struct, frozen=True):
    """A host that goes on although it had ended: where it stands, and which of its outcomes are forgotten.

    ``position`` is an encoded Position, "" for the beginning of the play. ``steps`` maps the number of a step to
    whether it is a new attempt (False: the host's guard is asked about the old one).
    """

    host: str
    play: int
    position: str
    steps: Mapping[int, bool]

    def arguments(self) -> Arguments:
        flat = [part for step, again in self.steps.items() for part in (step, int(again))]
        return (self.host, f"{self.play}|{self.position}", len(self.steps), *flat)


class Reopening(Struct, frozen=True):
    """An ended run that is taken up again."""

    #: When it had ended, as it was read: whoever comes second finds another value.
    finished: str
    text: str
    hosts: Sequence[Readmission]
    #: Hosts that take no part although they had not ended, and those that do again.
    left: Sequence[str] = ()
    back: Sequence[str] = ()
    #: The plan that takes the place of the stored one, its outline, and its files by SHA-256.
    plan: bytes | None = None
    plays: Sequence[PlayOutline] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)


class Move(Struct, frozen=True):
    """A host that is moved by what happened elsewhere: index and position it goes to (None, "": it leaves)."""

    host: str
    score: int | None
    position: str
    #: Why it takes part in nothing more, "" when it does.
    ended: str
    #: It did not come through: `resume` takes it up where it stood.
    bad: bool
