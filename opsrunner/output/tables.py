"""Runs as lines of text: the table of ``runs`` and the page of ``show``. Pure: records in, lines out."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from msgspec.structs import replace

from opsrunner.ledger.records import Outcome, PlayOutline, RunRecord, StepOutline
from opsrunner.output import wording
from opsrunner.output.describe import TAIL
from opsrunner.output.fold import label
from opsrunner.output.follow import Stats
from opsrunner.output.harmless import harmless_line, shortened
from opsrunner.output.plain import recap_lines
from opsrunner.output.step_lines import Said, failure_lines, step_lines

#: Lines of output shown with a failure under -v.
ALL_LINES = 1_000_000
#: Characters of a run's title in the table.
TITLE_WIDTH = 50


def when(seconds: float | None, zone: datetime.tzinfo | None = None) -> str:
    """``2026-11-21 05:34:03`` in ``zone`` (None: here), "" for a time that has not come."""
    if seconds is None:
        return ""
    return datetime.datetime.fromtimestamp(seconds, zone).strftime("%Y-%m-%d %H:%M:%S")


def took(run: RunRecord, now: float) -> str:
    """How long the run took, or goes on already; "" for one that nobody has taken up yet."""
    if run.started is None:
        return ""
    return wording.duration((now if run.finished is None else run.finished) - run.started)


def runs_table(runs: Sequence[RunRecord], now: float, zone: datetime.tzinfo | None = None) -> Iterator[Said]:
    """A heading and one line per run; ``now`` is seconds since the epoch."""
    rows = [
        (
            run.id,
            when(run.created, zone),
            run.status,
            "" if run.exit_code is None else str(run.exit_code),
            str(run.hosts),
            took(run, now),
            shortened_title(run, zone),
        )
        for run in runs
    ]
    heads = ("RUN", "WHEN", "STATUS", "EXIT", "HOSTS", "TOOK", "WHAT")
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    yield _row(heads, widths), "heading"
    for run, row in zip(runs, rows, strict=True):
        yield _row(row, widths), run.status


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    shown = [
        cell.rjust(width) if number in (3, 4, 5) else cell.ljust(width)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(shown).rstrip()


def shortened_title(run: RunRecord, zone: datetime.tzinfo | None = None) -> str:
    """What was run, on one line that fits a table."""
    title = harmless_line(run.title)
    title = title if len(title) <= TITLE_WIDTH else title[: TITLE_WIDTH - 1] + "…"
    notes = ["check mode"] * run.check + ([f"schedule {harmless_line(run.schedule)}"] if run.schedule else [])
    if run.due is not None and run.status == "scheduled":
        notes.append(f"at {when(run.due, zone)}")
    return f"{title} ({', '.join(notes)})" if notes else title


def run_lines(
    run: RunRecord,
    outcomes: Iterable[Outcome],
    stats: Stats,
    at_work: Mapping[int, Collection[str]],
    *,
    now: float,
    verbosity: int = 0,
    zone: datetime.tzinfo | None = None,
) -> Iterator[Said]:
    """All of ``show``: heading, plays with their steps, recap, accounting, how it ended.

    ``outcomes`` must come in step order. ``at_work`` holds, for a run that goes on, the hosts that
    are claimed or running at each step.
    """
    yield from _heading(run, now, zone)
    bare: list[Outcome] = []
    by_step = {number: list(group) for number, group in _by_step(outcomes, bare)}
    for play in run.plays:
        yield from _play(play, by_step, at_work, verbosity)
    yield from recap_lines(run, bare, stats)
    for line in wording.ending(run, stats):
        yield line, run.status


def _by_step(outcomes: Iterable[Outcome], bare: list[Outcome]) -> Iterator[tuple[int, Iterator[Outcome]]]:
    def noted() -> Iterator[Outcome]:
        for outcome in outcomes:
            bare.append(replace(outcome, result={}))
            yield outcome

    return groupby(noted(), key=lambda outcome: outcome.step)


def _heading(run: RunRecord, now: float, zone: datetime.tzinfo | None) -> Iterator[Said]:
    yield wording.heading((f"run {run.id}", run.title, run.status, "check mode" * run.check)), "heading"
    words = [
        f"by {run.user}" if run.user else "",
        f"schedule {run.schedule}" if run.schedule else "",
        wording.hosts_of(run),
        when(run.started or run.created, zone),
        took(run, now),
    ]
    yield f"  {wording.heading(words)}", ""


def _play(
    play: PlayOutline,
    by_step: Mapping[int, list[Outcome]],
    at_work: Mapping[int, Collection[str]],
    verbosity: int,
) -> Iterator[Said]:
    batches = f"{len(play.batches)} batches" if len(play.batches) > 1 else ""
    strategy = play.strategy if play.strategy != "linear" else ""
    nobody = "hosts decided during the run" if play.undecided else "no host"
    hosts = label(play.hosts) if play.hosts else nobody
    yield wording.heading((f"play {play.name}", hosts, batches, strategy)), "heading"
    idle = []
    for step in play.steps:
        outcomes, busy = by_step.get(step.number, []), at_work.get(step.number, ())
        if not outcomes and not busy:
            idle.append(step)
            continue
        lines = list(_step(step, outcomes, verbosity))
        if busy:
            lines.append((f"    at work {wording.folded(busy)}", "waiting"))
        yield f"  {step.number:>3}{lines[0][0][1:]}", lines[0][1]
        for line, style in lines[1:]:
            yield f"    {line}", style
    if verbosity:
        for step in idle:
            yield (
                f"  {step.number:>3} {'handler ' * step.handler}{harmless_line(shortened(step.name))}: nobody",
                "detail",
            )


def _step(step: StepOutline, outcomes: Collection[Outcome], verbosity: int) -> Iterator[Said]:
    """The step's own lines, with the reason under each group of hosts that did not do well."""
    if not outcomes:
        yield f"  {harmless_line(step.name)}:", "step"
        return
    lines = list(step_lines(step, outcomes, verbosity=verbosity))
    reasons = list(failure_lines(outcomes, lines=ALL_LINES if verbosity else TAIL))
    heads = sum(style != "detail" for _, style in reasons)
    yield lines[0]
    if heads == 1 and lines[0][1] == reasons[0][1]:
        # All hosts failed alike: the first line has said who.
        reasons = reasons[1:]
    # The reasons name their hosts once more, so that the summary need not.
    told = {style for _, style in reasons} - {"detail"}
    yield from (line for line in lines[1:] if line[1] not in told)
    yield from reasons
