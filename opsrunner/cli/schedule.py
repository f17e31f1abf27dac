"""``opsrunner schedule``: look at schedules, and start one by hand."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from opsrunner.cli import context
from opsrunner.cli.groups import Group
from opsrunner.cli.options import listing_options, newest_option, output_options, vault_options
from opsrunner.cli.painting import paint
from opsrunner.cli.schedule_changes import add, pause, remove, resume
from opsrunner.errors import BrokerUnavailable, InputError

if TYPE_CHECKING:
    from opsrunner.ledger.records import RunRecord
    from opsrunner.ledger.store import Store
    from opsrunner.schedule.load import Contents
    from opsrunner.schedule.model import Schedule
    from opsrunner.schedule.overview import Standing


@click.group("schedule", cls=Group, epilog="Examples: opsrunner schedule list · opsrunner schedule run nightly-restart")
def command() -> None:
    """Look at the schedules of schedules.yml, and start one by hand; add, pause and take away others at run time."""


for changing in (add, remove, pause, resume):
    command.add_command(changing)


@command.command("list", epilog="Examples: opsrunner schedule list · opsrunner schedule list --json")
@listing_options
def list_schedules(output: str) -> int:
    """Every schedule: when, its next three times, what came last, and what is in its way."""
    from opsrunner.schedule.beats import leaders
    from opsrunner.schedule.lines import planned_lines, standing_document, standing_lines

    try:
        store = context.open_store(context.open_ledger())
    except BrokerUnavailable as error:
        return _list_without_ledger(error)
    try:
        contents = _contents()
    except InputError as error:
        return _tell_broken(store, error)
    found = [standing for _, standing in sorted(_standings(store, contents).items())]
    waiting = _planned(store)
    if not found and not waiting and not Path(context.settings().schedules).exists():
        raise _nothing()
    beats = leaders(store.redis)
    for beat in beats:
        if beat.fault:
            context.warn(f"beat {beat.name} goes by what it read before, its file is broken:\n{beat.fault}")
    if output == "json":
        click.echo(json.dumps([standing_document(standing) for standing in found], indent=2))
    else:
        for standing in found:
            paint(standing_lines(standing))
        paint(planned_lines(waiting))
    unknown = {one.name for one in contents.schedules} - {name for beat in beats for name in beat.names}
    if found and not beats:
        context.warn("no beat runs: nothing is started until there is one (opsrunner beat)")
    elif unknown:
        context.warn(f"no beat goes by {', '.join(sorted(unknown))}: none has read this file")
    return 0


@command.command("next", epilog="Examples: opsrunner schedule next · opsrunner schedule next nightly-restart -n 10")
@click.argument("name", required=False)
@click.option(
    "-n", "--count", type=click.IntRange(min=1), default=3, show_default=True, metavar="N", help="The next N times."
)
def next_due(name: str | None, count: int) -> None:
    """The next times of one schedule, or of each."""
    from opsrunner.schedule.load import find
    from opsrunner.schedule.times import clock_text, next_times

    now = datetime.datetime.now(datetime.UTC)
    found = _every_schedule()
    for schedule in (find(found, name),) if name else found:
        times = next_times(schedule, now, count)
        for due in times:
            click.echo(f"{schedule.name}  {clock_text(schedule, due.timestamp())}")
        if not times:
            why = f"it is due {schedule.when}" if schedule.after else "all of them are over"
            click.echo(f"{schedule.name} has no times to come: {why}", err=True)


@command.command("show", epilog="Example: opsrunner schedule show nightly-restart")
@click.argument("name")
def show(name: str) -> None:
    """One schedule: how it was written, how it stands, and its newest history."""
    from opsrunner.schedule.lines import history_lines, standing_lines
    from opsrunner.schedule.overview import described

    standing = _standing(name, 10)
    paint(standing_lines(standing))
    for key, value in described(standing.schedule):
        click.echo(f"  {key}: {value}")
    paint((f"  {line}", style) for line, style in history_lines(standing))


@command.command("history", epilog="Example: opsrunner schedule history nightly-restart -n 50")
@click.argument("name")
@newest_option(20)
@listing_options
def history(name: str, limit: int, output: str) -> None:
    """What became of each due time, newest first: started and how it ended, skipped, missed, refused, and why."""
    from opsrunner.schedule.lines import entry_document, history_lines

    standing = _standing(name, limit)
    if output == "json":
        click.echo(json.dumps([entry_document(standing, entry) for entry in standing.history], indent=2))
    elif standing.history:
        paint(history_lines(standing))
    else:
        click.echo(f"nothing became due yet; opsrunner schedule next {name} shows when", err=True)


@command.command("diff", epilog="Example: opsrunner schedule diff nightly-restart")
@click.argument("name")
def diff(name: str) -> None:
    """The last run against the one before: new failures, recovered hosts, changed output."""
    from opsrunner.cli.runs import runs_of_schedule
    from opsrunner.ledger.records import ENDED
    from opsrunner.output.compare import compare, comparison_lines

    ledger = context.open_ledger()
    # What was missed or refused had no hosts: there is nothing to compare.
    ended = [run for run in runs_of_schedule(ledger, name, 1000) if run.status in ENDED and run.plays]
    if len(ended) < 2:
        _standing(name, 1)
        raise InputError(f"{len(ended)} of the runs of schedule {name} have ended", why="two are compared")
    after, before = ended[:2]
    found = compare(before, ledger.outcomes(before.id), after, ledger.outcomes(after.id))
    paint(comparison_lines(before, after, found))


@command.command("run", epilog="Example: opsrunner schedule run nightly-restart --detach")
@click.argument("name")
@vault_options
@click.option("--detach", is_flag=True, help="Start the run, print its id, and leave.")
@output_options
def run_schedule(name: str, detach: bool, output: str | None) -> int:
    """Start a schedule's run now, by hand."""
    from opsrunner.cli.start import attach
    from opsrunner.schedule.load import find
    from opsrunner.schedule.start import start_now

    schedule = find(_every_schedule(), name)
    run_id, warnings = start_now(schedule, context.settings(), user=context.operator())
    for warning in warnings:
        context.warn(warning)
    if detach:
        click.echo(run_id)
        return 0
    return attach(context.open_ledger(), run_id, output, 0)


# ---------------------------------------------------------------------- what there is
def _contents() -> Contents:
    """What the file holds, nothing where there is none. Raises InputError."""
    from opsrunner.schedule.load import contents_of

    return contents_of(context.settings())


def _nothing() -> InputError:
    path = context.settings().schedules
    return InputError(f"no {path} here", remedy="write one, set OPSRUNNER_SCHEDULES, or opsrunner schedule add")


def _every_schedule() -> tuple[Schedule, ...]:
    from opsrunner.schedule import stored

    contents = _contents()
    try:
        added = stored.load(context.open_store(context.open_ledger()), contents)
    except BrokerUnavailable as error:
        if not contents.schedules:
            raise
        context.warn(f"only those of the file: {error}")
        return contents.schedules
    if not contents.schedules and not added.schedules and not Path(context.settings().schedules).exists():
        raise _nothing()
    return (*contents.schedules, *added.schedules)


def _standings(store: Store, contents: Contents, count: int = 1) -> dict[str, Standing]:
    from opsrunner.schedule import overview

    found, faults = overview.standings(store, contents, count)
    for name, fault in faults.items():
        context.warn(f"schedule {name}, added at run time, does not count: {fault}")
    return found


def _standing(name: str, count: int) -> Standing:
    from opsrunner.schedule.load import find

    found = _standings(context.open_store(context.open_ledger()), _contents(), count)
    return found[find([standing.schedule for standing in found.values()], name).name]


def _planned(store: Store) -> list[RunRecord]:
    ledger = context.open_ledger()
    return [run for run_id in store.planned() if (run := ledger.run(run_id))]


def _tell_broken(store: Store, error: InputError) -> int:
    """The file is broken: what a beat that runs goes by all the same."""
    from opsrunner.schedule.beats import leaders

    for line in error.lines():
        click.echo(line, err=True)
    for beat in leaders(store.redis):
        if beat.fault:
            names = ", ".join(beat.names) or "none"
            click.echo(f"beat {beat.name} goes by the schedules that it read before: {names}", err=True)
    return error.exit_code


def _list_without_ledger(error: BrokerUnavailable) -> int:
    """Redis is away: when they are due can be told all the same."""
    from opsrunner.schedule.times import clock_text, next_times

    now = datetime.datetime.now(datetime.UTC)
    for schedule in _contents().schedules:
        times = " · ".join(clock_text(schedule, due.timestamp()) for due in next_times(schedule, now, 3))
        click.echo(f"{schedule.name}  {schedule.when}  {schedule.timezone}  {schedule.playbook}")
        if times:
            click.echo(f"  next     {times}")
    for line in error.lines():
        click.echo(line, err=True)
    return error.exit_code
