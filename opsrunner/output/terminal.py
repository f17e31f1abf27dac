"""The live view: what plain says, in colour, above a line that tells how far the run is and whom it waits for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from opsrunner.ledger.records import Event, RunRecord
from opsrunner.output import wording
from opsrunner.output.follow import Stats
from opsrunner.output.harmless import harmless
from opsrunner.output.plain import Plain
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
}
#: Width of the bar in characters.
BAR = 20


class Terminal(Plain):
    """Redraws at most four times a second; everything above the last lines scrolls as usual."""

    def __init__(
        self,
        stream: TextIO,
        *,
        verbosity: int = 0,
        fold: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
        console: Console | None = None,
    ) -> None:
        super().__init__(stream, verbosity=verbosity, fold=fold, monotonic=monotonic)
        self.console = console or Console(file=stream, highlight=False)
        self._live = Live(
            console=self.console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._refreshed = 0.0
        self._lines: list[Text] = []

    def say(self, line: str, style: str = "") -> None:
        self._lines.append(Text(line, style=_STYLES.get(style, "")))

    def flush(self) -> None:
        """Print what was said in one go: drawing anew for each line would be slow."""
        if self._lines:
            self.console.print(Text("\n").join(self._lines), soft_wrap=True)
            self._lines = []

    def begin(self, run: RunRecord) -> None:
        self._live.start()
        super().begin(run)

    def event(self, event: Event) -> None:
        super().event(event)
        self._refresh()

    def tick(self, now: float) -> None:
        self._refresh(force=True)

    def end(self, run: RunRecord, stats: Stats) -> None:
        self._live.update(Text(""), refresh=True)
        self._live.stop()
        super().end(run, stats)

    def abandon(self) -> None:
        self._live.stop()
        super().abandon()

    # ------------------------------------------------------------------ the last lines
    def _refresh(self, *, force: bool = False) -> None:
        now = self.monotonic()
        if not force and now - self._refreshed < 0.25:
            return
        self._refreshed = now
        self._live.update(self.status(), refresh=True)

    def status(self) -> Text:
        """One line per open step (three at most), then one per group of hosts that is silent for long."""
        assert self.progress
        width = max(20, self.console.width - 1)
        lines = [self._step_line(step, width) for step in list(self.progress.open.values())[:3]]
        for step, hosts, seconds in self.progress.late()[:3]:
            name = harmless(step.outline.name)
            text = f"waiting for {wording.folded(hosts)} ({seconds:.0f} s) in {name!r}"
            lines.append(Text(_cut(text, width), style=_STYLES["waiting"]))
        return Text("\n").join(lines)

    def _step_line(self, step: StepProgress, width: int) -> Text:
        done, total = len(step.outcomes), len(step.hosts)
        filled = BAR * done // max(1, total)
        counts = " ".join(f"{status} {number}" for status, number in step.counts().items())
        text = f"{'━' * filled}{'╌' * (BAR - filled)} {done}/{total} {harmless(step.outline.name)}  {counts}"
        return Text(_cut(text, width))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
