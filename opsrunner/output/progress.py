"""What a run looks like at this moment, gathered from its events; shared by the renderers that write for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from opsrunner.ledger.records import Event, Outcome, PlayOutline, RunRecord, StepOutline

#: Seconds without news of a host until the view names it.
NAMED_AFTER = 10.0


@dataclass(slots=True)
class StepProgress:
    """One step of one batch: who takes part, who is at work since when, what came of the others."""

    outline: StepOutline
    play: int
    batch: int
    hosts: list[str]
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


def shown_status(outcome: Outcome) -> str:
    """``failed (ignored)`` and the like."""
    return f"{outcome.status} ({outcome.mark})" if outcome.mark else outcome.status


class Progress:
    """Feeds on events. ``on_step_done`` is called once for every finished step of a batch."""

    def __init__(self, run: RunRecord, monotonic: Callable[[], float]) -> None:
        self.run = run
        self.monotonic = monotonic
        self.plays: dict[int, PlayOutline] = {play.number: play for play in run.plays}
        self.steps: dict[int, StepOutline] = {step.number: step for play in run.plays for step in play.steps}
        self.play_of: dict[int, int] = {step.number: play.number for play in run.plays for step in play.steps}
        self.batch = 0
        self.batches = 1
        self.batch_hosts: Sequence[str] = ()
        #: Steps that have begun and are not done, by number.
        self.open: dict[int, StepProgress] = {}
        self.done = 0
        self.through = False

    def take(self, event: Event) -> StepProgress | None:
        """Take an event in; gives the step that it finished, if it did."""
        data = event.data
        if event.kind == "batch_started":
            self.batch, self.batches = data["batch"], data["batches"]
            self.batch_hosts = data["hosts"]
        elif event.kind == "step_started":
            play = self.plays[data["play"]]
            # Hosts that go through all their steps by themselves are counted as they come.
            self.through = play.strategy != "linear" or len(self.batch_hosts) == 1
            if not self.through:
                self._begin(data["step"], data["hosts"])
        elif event.kind == "host_started":
            self._step(data["step"], data["host"]).running[data["host"]] = self.monotonic()
        elif event.kind == "outcome" and event.outcome:
            return self._finish(event.outcome)
        return None

    def _begin(self, number: int, hosts: Sequence[str]) -> StepProgress:
        step = StepProgress(self.steps[number], self.play_of[number], self.batch, list(hosts), self.monotonic())
        self.open[number] = step
        return step

    def _step(self, number: int, host: str) -> StepProgress:
        step = self.open.get(number) or self._begin(number, [host])
        if host not in step.outcomes and host not in step.hosts:
            step.hosts.append(host)
        return step

    def _finish(self, outcome: Outcome) -> StepProgress | None:
        step = self._step(outcome.step, outcome.host)
        step.running.pop(outcome.host, None)
        step.outcomes[outcome.host] = outcome
        self.done += 1
        if len(step.outcomes) >= len(step.hosts) and not self.through:
            return self.open.pop(outcome.step, None)
        return None

    def finish_open(self) -> list[StepProgress]:
        """Everything still open, at the end of a batch that hosts went through by themselves, or of the run."""
        left = [step for _, step in sorted(self.open.items())]
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
