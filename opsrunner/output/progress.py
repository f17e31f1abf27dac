"""What a run looks like at this moment, gathered from its events; shared by the renderers that write for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct, field

from opsrunner.ledger.records import GOOD, Event, Outcome, PlayOutline, RunRecord, StepOutline, bare_outcome
from opsrunner.output.describe import shown_status

#: Seconds without news of a host until the view names it.
NAMED_AFTER = 10.0


class StepProgress(Struct):
    """One step of one batch: who takes part, who is at work since when, what came of the others.

    Times are seconds of the clock that :class:`Progress` was given. ``hosts`` is a dict for its
    order and its quick look-up.
    """

    outline: StepOutline
    hosts: dict[str, None]
    since: float
    running: dict[str, float] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def waiting(self) -> list[str]:
        return [host for host in self.hosts if host not in self.outcomes]

    def counts(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for outcome in self.outcomes.values():
            shown = shown_status(outcome)
            counts[shown] = counts.get(shown, 0) + 1
        return counts


class Progress:
    """Feeds on events.

    ``monotonic`` and ``wall`` are clocks in seconds: the second one tells how old an event is, so
    that a run that is looked at late does not seem to have begun just now.
    """

    def __init__(self, run: RunRecord, monotonic: Callable[[], float], wall: Callable[[], float]) -> None:
        self.monotonic = monotonic
        self.wall = wall
        self.plays: dict[int, PlayOutline] = {play.number: play for play in run.plays}
        self.steps: dict[int, StepOutline] = {step.number: step for play in run.plays for step in play.steps}
        self.play: PlayOutline | None = None
        self.batch = 0
        self.batches = 1
        self.batch_hosts: Sequence[str] = ()
        #: Steps that have begun and are not done, by number.
        self.open: dict[int, StepProgress] = {}
        #: Under ``free``: the last step that each host still under way was seen at.
        self._at: dict[str, int] = {}
        self._free = False

    def take(self, event: Event) -> StepProgress | None:
        """Take an event in; gives the step that it finished, if it did."""
        data = event.data
        if event.kind == "outcome":
            return self._finish(event.outcome or bare_outcome(event))
        if event.kind == "host_started":
            number, host = data["step"], data["host"]
            self._step(number, host, event).running[host] = self._time_of(event)
            self._see(host, number)
        elif event.kind == "step_started" and not self._free:
            hosts = dict.fromkeys(data["hosts"])
            self.open[data["step"]] = StepProgress(self.steps[data["step"]], hosts, self._time_of(event))
        elif event.kind == "batch_started":
            self.play = self.plays.get(data["play"])
            self.batch, self.batches = data["batch"], data["batches"]
            self.batch_hosts = data["hosts"]
            self._free = self.play is not None and self.play.strategy == "free"
            self._at = dict.fromkeys(data["hosts"], -1) if self._free else {}
        return None

    def running(self) -> int:
        """How many host × steps are at work."""
        return sum(len(step.running) for step in self.open.values())

    def passed(self) -> list[StepProgress]:
        """Under ``free``: steps that every host has passed, in order; they are open no more."""
        if not self._free:
            return []
        last = min(self._at.values(), default=max(self.open, default=0) + 1)
        numbers = sorted(number for number, step in self.open.items() if number < last and not step.running)
        return [self.open.pop(number) for number in numbers]

    def finish_open(self) -> list[StepProgress]:
        """Everything still open, at the end of a batch or of the run; steps without an outcome are dropped."""
        left = [step for _, step in sorted(self.open.items()) if step.outcomes]
        self.open.clear()
        return left

    def late(self) -> list[tuple[StepProgress, list[str], float]]:
        """Steps whose hosts are silent for long: the hosts, and for how many seconds."""
        now = self.monotonic()
        found = []
        for step in self.open.values():
            hosts = [host for host in step.waiting() if now - step.running.get(host, step.since) >= NAMED_AFTER]
            if hosts:
                found.append((step, hosts, now - min(step.running.get(host, step.since) for host in hosts)))
        return found

    def _time_of(self, event: Event) -> float:
        """When it happened, on our own clock."""
        return self.monotonic() - max(0.0, self.wall() - event.at)

    def _step(self, number: int, host: str, event: Event | None = None) -> StepProgress:
        step = self.open.get(number)
        if step is None:
            # A host that is alone, or under ``free``, goes on without its steps being announced.
            since = self._time_of(event) if event else self.monotonic()
            step = self.open[number] = StepProgress(self.steps[number], {}, since)
        step.hosts[host] = None
        return step

    def _see(self, host: str, number: int) -> None:
        if host in self._at:
            self._at[host] = number

    def _finish(self, outcome: Outcome) -> StepProgress | None:
        step = self._step(outcome.step, outcome.host)
        step.running.pop(outcome.host, None)
        step.outcomes[outcome.host] = outcome
        self._see(outcome.host, outcome.step)
        if self._free:
            if outcome.status not in GOOD and outcome.mark is None:
                self._at.pop(outcome.host, None)
            return None
        if len(step.outcomes) >= len(step.hosts):
            return self.open.pop(outcome.step)
        return None
