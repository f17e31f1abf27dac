"""The live view: what plain says, in colour, above lines that tell how far the run is and whom it waits for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from opsrunner.ledger.records import Event, Outcome, RunRecord
from opsrunner.output import wording
from opsrunner.output.custom_stats import Tells, none
from opsrunner.output.follow import Answer, Stats
from opsrunner.output.harmless import encodable, harmless_line
from opsrunner.output.plain import LIVE_HOSTS, Plain, waiting_line
from opsrunner.output.progress import StepProgress

_STYLES = {
    "heading": "bold",
    "ok": "green",
    "changed": "yellow",
    "skipped": "cyan",
    "failed": "bold red",
    "unreachable": "bold red",
    "lost": "bold magenta",
    "cancelled": "magenta",
    "failed (ignored)": "red",
    "failed (rescued)": "red",
    "unreachable (ignored)": "red",
    "waiting": "bold yellow",
    "live": "dim",
    "added": "green",
    "removed": "red",
}
#: Seconds between two drawings of the lines at the bottom.
REDRAW = 0.2
#: And at least so many times what the last drawing took: it looks at every host that a step waits for.
PAUSE = 20
#: Seconds for which lines are gathered while others have just been printed.
GATHER_LINES = 0.05
#: Width of the bar in characters, where there is room.
BAR = 20
#: Lines of each kind at the bottom: open steps, groups waited for, hosts' last lines.
STEPS, WAITS, LASTS = 3, 3, 4


class Terminal(Plain):
    """Everything above the last lines scrolls as usual; where the stream is no terminal there are none."""

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
        console: Console | None = None,
    ) -> None:
        super().__init__(
            stream, verbosity=verbosity, fold=fold, monotonic=monotonic, wall=wall, earlier=earlier, custom=custom
        )
        self.console = console or Console(file=stream, highlight=False)
        self._moves = self.console.is_terminal and not self.console.is_dumb_terminal
        self._live = Live(
            console=self.console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self._redraw_at = self._printed = float("-inf")
        self._lines: list[Text] = []

    # ------------------------------------------------------------------ writing
    def say(self, line: str, style: str = "") -> None:
        self._lines.append(Text(encodable(line, self.console.encoding), style=_STYLES.get(style, "")))

    def flush(self) -> None:
        """Print what was said in one go, unless that was done a moment ago: each time costs a millisecond."""
        if self._lines and not (self._live.is_started and self.monotonic() - self._printed < GATHER_LINES):
            self._print()

    def _print(self) -> None:
        if not self._lines:
            return
        self._printed = self.monotonic()
        if self._live.is_started:
            # The lines at the bottom are drawn anew with it, and must not tell of a step that is done.
            self._redraw()
        # Long lines are left to the terminal to wrap, so that they can be copied whole.
        self.console.print(Text("\n").join(self._lines), soft_wrap=True)
        self._lines = []

    # ------------------------------------------------------------------ Renderer
    def begin(self, run: RunRecord) -> None:
        super().begin(run)
        if self._moves:
            self._live.start()

    def event(self, event: Event) -> None:
        super().event(event)
        if self._moves and self.monotonic() >= self._redraw_at:
            for step in self.progress.passed():
                self.step_done(step)
            self._print()
            self._redraw()

    def tick(self, now: float) -> None:
        if not self._moves:
            super().tick(now)
            return
        # Who is waited for stands at the bottom, always fresh: no line of its own.
        self.settle()
        self._print()
        self._redraw()

    def end(self, run: RunRecord, stats: Stats) -> None:
        self._let_go()
        super().end(run, stats)

    def aside(self, work: Callable[[], Answer]) -> Answer:
        self.settle()
        self._let_go()
        try:
            return work()
        finally:
            if self._moves:
                self._live.start()

    def abandon(self) -> None:
        self._let_go()
        super().abandon()

    # ------------------------------------------------------------------ the last lines
    def _let_go(self) -> None:
        self._print()
        if self._live.is_started:
            self._live.update(Text(""), refresh=True)
            self._live.stop()

    def _redraw(self) -> None:
        begun = self.monotonic()
        self._live.update(self.status(), refresh=True)
        drawn = self.monotonic()
        self._redraw_at = drawn + max(REDRAW, PAUSE * (drawn - begun))

    def status(self) -> Text:
        """How far the open steps are, who is silent for long, and what the few hosts at work printed last."""
        width = max(1, self.console.width - 1)
        progress = self.progress
        lines = [self._step_line(step, width) for step in list(progress.open.values())[:STEPS]]
        for step, hosts, seconds in progress.late()[:WAITS]:
            lines.append(self._line(waiting_line(step, hosts, seconds).strip(), width, "waiting"))
        if progress.running() <= LIVE_HOSTS and self.run.hosts > 1:
            for (_, host), text in list(self.live.last.items())[-LASTS:]:
                lines.append(self._line(f"{harmless_line(host)} | {text}", width, "live"))
        return Text("\n").join(lines)

    def _line(self, text: str, width: int, style: str) -> Text:
        line = Text(encodable(text.expandtabs(), self.console.encoding), style=_STYLES.get(style, ""), no_wrap=True)
        line.truncate(width, overflow="ellipsis")
        return line

    def _step_line(self, step: StepProgress, width: int) -> Text:
        done, total = len(step.outcomes), len(step.hosts)
        length = min(BAR, width // 4)
        filled = length * done // max(1, total)
        progress = self.progress
        batch = f"batch {progress.batch + 1}/{progress.batches} · " if progress.batches > 1 else ""
        bar = f"{'━' * filled}{'╌' * (length - filled)} " if length else ""
        counts = "  ".join(f"{status} {number}" for status, number in step.counts().items())
        name = wording.heading((step.outline.name,))
        return self._line(f"{bar}{done}/{total} {batch}{name}  {counts}".rstrip(), width, "")
