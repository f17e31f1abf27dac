"""One line per thing, no control codes: for pipes, logs and CI."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from opsrunner.ledger.records import Event, Outcome, RunRecord
from opsrunner.output import wording
from opsrunner.output.fold import group_by_text
from opsrunner.output.follow import Stats
from opsrunner.output.harmless import harmless
from opsrunner.output.progress import Progress, StepProgress

#: Hosts at work up to which their live output is shown without -v.
LIVE_HOSTS = 8
#: Seconds between two lines that name who is waited for.
REMIND = 30.0


class Plain:
    """Also the base of the terminal's view: what is said is the same, only how differs."""

    def __init__(
        self,
        stream: TextIO,
        *,
        verbosity: int = 0,
        fold: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stream = stream
        self.verbosity = verbosity
        self.fold = fold
        self.monotonic = monotonic
        self.progress: Progress | None = None
        self.run: RunRecord | None = None
        self._reminded = monotonic()
        self._printed_live: set[tuple[int, str]] = set()

    # ------------------------------------------------------------------ writing
    def say(self, line: str, style: str = "") -> None:
        """One line; ``style`` is a status or ``heading``, for views that have colours."""
        self.stream.write(line + "\n")

    def flush(self) -> None:
        self.stream.flush()

    # ------------------------------------------------------------------ Renderer
    def begin(self, run: RunRecord) -> None:
        self.run = run
        self.progress = Progress(run, self.monotonic)
        if run.kind == "playbook":
            self.say(
                wording.heading((f"run {run.id}", run.title, f"{run.hosts} hosts", "check mode" * run.check)), "heading"
            )
        self.flush()

    def event(self, event: Event) -> None:
        assert self.progress
        if event.kind in ("batch_started", "run_finished"):
            self.finish_open()
        finished = self.progress.take(event)
        self.tell(event)
        if event.kind == "outcome" and event.outcome:
            self.outcome(event.outcome)
        if finished:
            self.step_done(finished)
        self.flush()

    def tick(self, now: float) -> None:
        assert self.progress
        if now - self._reminded < REMIND:
            return
        late = self.progress.late()
        for step, hosts, seconds in late:
            self.say(
                f"  waiting for {wording.folded(hosts)} ({seconds:.0f} s) in {harmless(step.outline.name)!r}", "waiting"
            )
        if late:
            self._reminded = now
            self.flush()

    def end(self, run: RunRecord, stats: Stats) -> None:
        self.finish_open()
        if run.kind == "playbook":
            self.say("recap", "heading")
            for hosts, counts in wording.recap(stats):
                bad = any(counts[name] for name in ("failures", "unreachable", "lost", "cancelled"))
                self.say(f"  {hosts}  {wording.recap_counts(counts)}", "failed" if bad else "ok")
        if run.kind == "playbook" or run.exit_code:
            for line in wording.ending(run):
                self.say(line, "failed" if run.exit_code else "ok")
        self.flush()

    def abandon(self) -> None:
        self.flush()

    # ------------------------------------------------------------------ what is told
    def tell(self, event: Event) -> None:
        data = event.data
        assert self.run
        if event.kind == "play_started" and self.run.kind == "playbook":
            self.say(wording.heading((f"play {harmless(data['name'])}", f"{data['hosts']} hosts")), "heading")
        elif event.kind == "batch_started" and data["batches"] > 1:
            self.say(f" batch {data['batch'] + 1} of {data['batches']}: {wording.folded(data['hosts'])}", "heading")
        elif event.kind == "notice":
            self.say(f"  {data.get('level', 'info')}: {harmless(data['text'])}", "waiting")
        elif event.kind == "output":
            self.live(data["step"], data["host"], data["text"])

    def live(self, step: int, host: str, text: str) -> None:
        assert self.progress
        running = sum(len(one.running) for one in self.progress.open.values())
        if running > LIVE_HOSTS and not self.verbosity:
            return
        self._printed_live.add((step, host))
        for line in harmless(text).splitlines():
            self.say(f"  {host} | {line}", "live")

    def outcome(self, outcome: Outcome) -> None:
        """A host is through: its failure is told at once unless many may fail the same way."""
        assert self.run and self.progress
        if self.run.kind == "exec" and not self.fold:
            self.host_output(outcome)
        elif outcome.status in wording.BAD and len(self.progress.batch_hosts) <= LIVE_HOSTS:
            step = self.progress.steps[outcome.step]
            if self.run.kind == "playbook":
                self.failure([outcome], f" in {harmless(step.name)!r}")

    def step_done(self, step: StepProgress) -> None:
        assert self.run and self.progress
        if self.run.kind == "exec":
            self.exec_done(step)
            return
        name = harmless(step.outline.name)
        kind = "handler " if step.outline.handler else ""
        summary = wording.step_summary(step)
        if len(summary) == 1:
            self.say(f"  {kind}{name}: {summary[0][0]} {summary[0][1]}", summary[0][0])
        else:
            self.say(f"  {kind}{name}:", "step")
            for status, hosts in summary:
                self.say(f"    {status} {hosts}", status)
        if len(self.progress.batch_hosts) > LIVE_HOSTS:
            self.failure(step.outcomes.values(), "")
        if self.verbosity or step.outline.module.rpartition(".")[2] == "debug":
            self.outputs(step)

    def failure(self, outcomes: object, where: str) -> None:
        for status, hosts, reason in wording.failures(outcomes):  # type: ignore[arg-type]
            self.say(f"  {status} {hosts}{where}", status)
            for line in wording.indented(reason, "      "):
                self.say(line, "detail")

    def outputs(self, step: StepProgress) -> None:
        shown = (
            (host, wording.output_text(one)) for host, one in step.outcomes.items() if one.status not in wording.BAD
        )
        for hosts, text in group_by_text(shown):
            if text:
                self.say(f"    {wording.folded(hosts)}:", "step")
                for line in wording.indented(text, "      "):
                    self.say(line, "detail")

    # ------------------------------------------------------------------ exec
    def exec_done(self, step: StepProgress) -> None:
        if not self.fold:
            return
        good = [outcome for outcome in step.outcomes.values() if outcome.status not in wording.BAD]
        for hosts, text in group_by_text((outcome.host, wording.output_text(outcome)) for outcome in good):
            self.say(f"── {wording.folded(hosts)} ──", "heading")
            for line in text.splitlines():
                self.say(line)
        bad = [outcome for outcome in step.outcomes.values() if outcome.status in wording.BAD]
        for hosts, text in group_by_text((outcome.host, wording.exec_failure(outcome)) for outcome in bad):
            head, _, rest = text.partition("\n")
            self.say(f"── {wording.folded(hosts)} ── {head}", "failed")
            for line in rest.splitlines():
                self.say(line)

    def host_output(self, outcome: Outcome) -> None:
        bad = outcome.status in wording.BAD
        text = wording.exec_failure(outcome) if bad else wording.output_text(outcome)
        for line in text.splitlines() or [""]:
            self.say(f"{outcome.host}: {line}", outcome.status if bad else "")

    def finish_open(self) -> None:
        if self.progress:
            for step in self.progress.finish_open():
                self.step_done(step)
