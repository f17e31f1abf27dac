"""One line per thing, no control codes: for pipes, logs and CI."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

from opsrunner.ledger.records import Event, Mark, Outcome, RunRecord, Status
from opsrunner.output import describe, exec_blocks, wording
from opsrunner.output.accounting import account, sentence
from opsrunner.output.custom_stats import CustomStats, Tells, lines, none
from opsrunner.output.follow import Answer, Stats
from opsrunner.output.harmless import encodable, harmless_line
from opsrunner.output.live import LiveLines
from opsrunner.output.progress import Progress, StepProgress
from opsrunner.output.step_lines import Said, step_lines, tells

#: A status and its mark.
Word = tuple[Status, Mark | None]
#: Hosts at work up to which their live output is shown without -v.
LIVE_HOSTS = 8
#: Seconds between two lines that name who is waited for.
REMIND = 30.0
#: Seconds that failures are gathered before they are told: many hosts often fail the same way.
GATHER = 0.5


class Plain:
    """Also the base of the terminal's view: what is said is the same, only how differs."""

    def __init__(
        self,
        stream: TextIO,
        *,
        verbosity: int = 0,
        fold: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        earlier: Iterable[Outcome] = (),
        custom: Tells = none,
    ) -> None:
        """``earlier`` are outcomes that no event will tell of, to be accounted for with the others."""
        self.stream = stream
        self.verbosity = verbosity
        self.fold = fold
        self.monotonic = monotonic
        self._wall = wall
        self._custom = custom
        self._encoding = getattr(stream, "encoding", None)
        self._reminded: float | None = None
        self.live = LiveLines()
        #: Failures not told yet, and since when they wait.
        self._failed: list[Outcome] = []
        self._failed_since = 0.0
        #: Step → host → how it ended, to be accounted for; a step that is run again counts once.
        self._ended: dict[int, dict[str, Word]] = {}
        self._words: dict[Word, Word] = {}
        for one in earlier:
            self._remember(one)

    # ------------------------------------------------------------------ writing
    def say(self, line: str, style: str = "") -> None:
        """One line, harmless already; ``style`` is a status or ``heading``, for views that have colours."""
        self.stream.write(encodable(line, self._encoding) + "\n")

    def say_all(self, lines: Iterable[Said]) -> None:
        for line, style in lines:
            self.say(line, style)

    def flush(self) -> None:
        self.stream.flush()

    # ------------------------------------------------------------------ Renderer
    def begin(self, run: RunRecord) -> None:
        self.run = run
        self.progress = Progress(run, self.monotonic, self._wall)
        #: Steps of which what hosts gave is always told.
        self._telling = {number for number, step in self.progress.steps.items() if tells(step)}
        if run.kind == "playbook":
            self.say(
                wording.heading((f"run {run.id}", run.title, wording.hosts_of(run), "check mode" * run.check)),
                "heading",
            )
        self.flush()

    def wants(self, event: Event) -> bool:
        """What hosts gave where all went well is shown of some steps only: of many hosts that would be much to read."""
        if not event.quiet or self.verbosity or self.run.kind == "exec":
            return True
        step = event.data["step"]
        return step in self._telling or (step, event.data["host"]) in self.live.shown

    def event(self, event: Event) -> None:
        if event.kind in ("batch_started", "run_finished"):
            self.finish_open()
        finished = self.progress.take(event)
        if event.kind == "outcome":
            if event.outcome:
                self._remember(event.outcome)
                self.outcome(event.outcome)
        elif event.kind != "host_started":
            self.tell(event)
        if finished:
            self.step_done(finished)
        if self._failed and self.monotonic() - self._failed_since >= GATHER:
            self.tell_failures()
        self.flush()

    def tick(self, now: float) -> None:
        self.settle()
        late = self.progress.late()
        if not late:
            self._reminded = None
        elif self._reminded is None or now - self._reminded >= REMIND:
            self._reminded = now
            for step, hosts, seconds in late:
                self.say(waiting_line(step, hosts, seconds), "waiting")
        self.flush()

    def end(self, run: RunRecord, stats: Stats) -> None:
        self.finish_open()
        if run.kind == "playbook":
            self.say_all(recap_lines(run, self._outcomes(), stats))
            self.say_all(custom_lines(self._custom(run)))
        if run.kind == "playbook" or run.exit_code:
            self.say_all((line, "failed" if run.exit_code else "ok") for line in wording.ending(run, stats))
        self.flush()

    def aside(self, work: Callable[[], Answer]) -> Answer:
        """Say what is to be said before, and let something else use the terminal."""
        self.settle()
        self.flush()
        return work()

    def abandon(self) -> None:
        self.flush()

    # ------------------------------------------------------------------ what is counted
    def _remember(self, one: Outcome) -> None:
        """A million are kept: a host has one name in all of its steps, and all that fared alike have one word."""
        word = (one.status, one.mark)
        self._ended.setdefault(one.step, {})[sys.intern(one.host)] = self._words.setdefault(word, word)

    def _outcomes(self) -> Iterator[Outcome]:
        for step, ended in self._ended.items():
            for host, (status, mark) in ended.items():
                yield Outcome(step, host, status, mark=mark)

    # ------------------------------------------------------------------ what is told
    def settle(self) -> None:
        """Nothing comes for a moment: tell what was gathered."""
        self.tell_failures()
        for step in self.progress.passed():
            self.step_done(step)

    def tell(self, event: Event) -> None:
        data = event.data
        if event.kind == "play_started" and self.run.kind == "playbook":
            self.say(
                wording.heading((f"play {data['name']}", f"{data['hosts']} host{'s' * (data['hosts'] != 1)}")),
                "heading",
            )
        elif event.kind == "batch_started" and data["batches"] > 1:
            self.say(f" batch {data['batch'] + 1} of {data['batches']}: {wording.folded(data['hosts'])}", "heading")
        elif event.kind == "notice":
            self.say(f"  {data.get('level', 'info')}: {harmless_line(data['text'])}", "waiting")
        elif event.kind == "output":
            self.output(data["step"], data["host"], data.get("stream", "stdout"), data["text"])

    def output(self, step: int, host: str, stream: str, text: str) -> None:
        """Live output, unless it would flood; exec's is told folded at the end but for a single host."""
        few = self.run.hosts == 1 if self.run.kind == "exec" else self.progress.running() <= LIVE_HOSTS
        for line in self.live.take(step, host, stream, text, show=few or self.verbosity > 0):
            self.say_live(host, line)

    def say_live(self, host: str, line: str) -> None:
        self.say(f"  {harmless_line(host)} | {line}", "live")

    def outcome(self, outcome: Outcome) -> None:
        """A host is through with a step."""
        for line in self.live.finish(outcome):
            self.say_live(outcome.host, line)
        if self.run.kind == "exec":
            if not self.fold:
                self.say_all(exec_blocks.unfolded(outcome, shown=self.live.complete(outcome)))
        elif outcome.status in describe.BAD:
            if not self._failed:
                self._failed_since = self.monotonic()
            self._failed.append(outcome)

    def tell_failures(self, step: int | None = None) -> None:
        """Tell the failures gathered so far, of all steps or of the one that is done."""
        ready = [one for one in self._failed if step is None or one.step == step]
        self._failed = [one for one in self._failed if not (step is None or one.step == step)]
        for number in dict.fromkeys(one.step for one in ready):
            name = harmless_line(self.progress.steps[number].name)
            bad = [one for one in ready if one.step == number]
            for status, hosts, reason in wording.failures(bad, lines=self._tail()):
                self.say(f"  {status} {hosts} in {name!r}", status)
                self.say_all((line, "detail") for line in wording.indented(reason, "      "))

    def _tail(self) -> int:
        return 1_000_000 if self.verbosity else describe.TAIL

    def step_done(self, step: StepProgress) -> None:
        outcomes = list(step.outcomes.values())
        if self.run.kind == "exec":
            if self.fold:
                shown = {one.host for one in outcomes if self.live.complete(one) and self.run.hosts == 1}
                self.say_all(exec_blocks.folded(outcomes, shown))
            return
        self.tell_failures(step.outline.number)
        shown = {one.host for one in outcomes if self.live.complete(one)}
        self.say_all(step_lines(step.outline, outcomes, verbosity=self.verbosity, shown=shown))

    def finish_open(self) -> None:
        for step in self.progress.finish_open():
            self.step_done(step)
        self.tell_failures()


def waiting_line(step: StepProgress, hosts: list[str], seconds: float) -> str:
    """``waiting for web[03,17] (2) (12 s) in 'restart'``."""
    name = harmless_line(step.outline.name)
    return f"  waiting for {wording.folded(hosts)} ({seconds:.0f} s) in {name!r}"


def custom_lines(stats: CustomStats) -> Iterator[Said]:
    """What ``set_stats`` set, where there is any."""
    if stats:
        yield "custom stats", "heading"
        yield from ((f"  {line}", "") for line in lines(stats))


def recap_lines(run: RunRecord, outcomes: Iterable[Outcome], stats: Stats) -> Iterator[Said]:
    """The recap of a playbook: hosts with equal counts in one line, then what was targeted against what came."""
    yield "recap", "heading"
    for hosts, words, counts in wording.recap(stats):
        yield f"  {hosts}  {words}", "failed" if wording.is_bad(counts) else "changed" if counts["changed"] else "ok"
    yield f"accounted for: {sentence(account(run, outcomes))}", ""
