"""``opsrunner logs RUN``: what the hosts printed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import groupby

import click

from opsrunner.cli import context
from opsrunner.cli.options import run_hosts_option
from opsrunner.cli.painting import paint
from opsrunner.cli.run_hosts import run_hosts
from opsrunner.cli.show import at_work
from opsrunner.errors import InputError
from opsrunner.ledger.following import Ledger
from opsrunner.ledger.records import Event, Outcome, RunRecord, StepOutline
from opsrunner.output import exec_blocks, wording
from opsrunner.output.fold import group_by_text
from opsrunner.output.harmless import harmless, harmless_line
from opsrunner.output.live import LiveLines
from opsrunner.output.step_lines import Said


@click.command(
    "logs",
    epilog="Examples: opsrunner logs last · opsrunner logs last --host 'web[01-03]' --step 4 · "
    "opsrunner logs last --follow",
)
@click.argument("run")
@run_hosts_option
@click.option("--step", type=click.IntRange(min=0), metavar="N", help="Only the step of this number; `show` tells it.")
@click.option("--follow", "-f", is_flag=True, help="Line by line as it comes, until the run has ended.")
@click.option("--fold/--no-fold", default=True, help="Show equal outputs once, with the hosts folded.")
def command(run: str, named: tuple[str, ...], step: int | None, follow: bool, fold: bool) -> None:
    """Show what the hosts printed: whole, step by step, equal outputs once.

    Of a step that still runs, or was lost, it shows what had come so far.
    """
    ledger = context.open_ledger()
    record = ledger.find(run)
    hosts = set(run_hosts(record, named)) or None
    steps = _steps(record, step)
    if follow:
        following = Following(hosts, steps)
        for event in ledger.follow(record.id):
            if event is not None:
                paint(following.lines(event))
        return
    paint(log_lines(ledger, record, hosts, steps, fold=fold))


def _steps(run: RunRecord, number: int | None) -> dict[int, StepOutline]:
    """The steps asked for by their numbers. Raises InputError for one that the run does not have."""
    steps = {step.number: step for play in run.plays for step in play.steps}
    if number is None:
        return steps
    if number not in steps:
        raise InputError(
            f"no step {number} in run {run.id}",
            why=f"its steps are {min(steps)} to {max(steps)}" if steps else "it has none",
            remedy=f"opsrunner show {run.id} tells their numbers",
        )
    return {number: steps[number]}


def log_lines(
    ledger: Ledger, run: RunRecord, hosts: Collection[str] | None, steps: dict[int, StepOutline], *, fold: bool
) -> Iterator[Said]:
    """Each step that somebody took part in under its heading; a single step needs none."""
    working = at_work(ledger, run)
    only = next(iter(steps)) if len(steps) == 1 else None
    one_host = next(iter(hosts)) if hosts is not None and len(hosts) == 1 else None
    outcomes = ledger.outcomes(run.id, step=only, host=one_host)
    by_step = {number: list(group) for number, group in groupby(outcomes, key=lambda one: one.step)}
    for number, outline in steps.items():
        told = [one for one in by_step.pop(number, []) if one.status != "skipped"]
        told = [one for one in told if hosts is None or one.host in hosts]
        busy = [host for host in working.get(number, []) if hosts is None or host in hosts]
        if not told and not busy:
            continue
        if len(steps) > 1:
            yield wording.heading((f"step {number}", outline.name)), "heading"
        yield from _outcome_lines(told, fold=fold)
        lost = [one.host for one in told if one.status == "lost" and not _printed(one)]
        yield from _live_lines(ledger, run, number, lost, "lost, printed before", fold=fold)
        yield from _live_lines(ledger, run, number, busy, "at work, printed so far", fold=fold)


def _printed(outcome: Outcome) -> bool:
    return bool(outcome.result.get("stdout") or outcome.result.get("stderr"))


def _outcome_lines(outcomes: Collection[Outcome], *, fold: bool) -> Iterable[Said]:
    if fold:
        return exec_blocks.folded(outcomes)
    return (line for outcome in outcomes for line in exec_blocks.unfolded(outcome))


def _live_lines(
    ledger: Ledger, run: RunRecord, step: int, hosts: Collection[str], what: str, *, fold: bool
) -> Iterator[Said]:
    printed = ledger.live_outputs(run.id, step, hosts)
    each = (([host], _shown(text)) for host, text in printed.items())
    for group, text in group_by_text(printed.items(), _shown) if fold else each:
        yield f"── {wording.folded(group)} ── {what}{'' if text else ': nothing'}", "waiting"
        for line in wording.indented(text, "" if fold else f"{harmless_line(group[0])}: "):
            yield line, ""


def _shown(text: str) -> str:
    return harmless(text).rstrip("\n")


class Following:
    """Turns a run's events into lines led by the host's name, each line of output once."""

    def __init__(self, hosts: Collection[str] | None, steps: Collection[int]) -> None:
        self._hosts = hosts
        self._steps = steps
        self._live = LiveLines()

    def lines(self, event: Event) -> Iterator[Said]:
        """What there is to print of one event."""
        data = event.data
        if not event.id:
            yield data["text"], "waiting"
        if event.kind not in ("output", "outcome") or data["step"] not in self._steps:
            return
        if self._hosts is not None and data["host"] not in self._hosts:
            return
        host = harmless_line(data["host"])
        if event.kind == "output":
            stream = data.get("stream", "stdout")
            for line in self._live.take(data["step"], data["host"], stream, data["text"], show=True):
                yield f"{host}: {line}", ""
        elif event.outcome:
            for line in self._live.finish(event.outcome):
                yield f"{host}: {line}", ""
            yield from exec_blocks.unfolded(event.outcome, shown=self._live.complete(event.outcome))
