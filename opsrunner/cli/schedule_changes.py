"""``opsrunner schedule add|rm|pause|resume``: schedules at run time, kept in Redis beside those of the file."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opsrunner.cli import context
from opsrunner.cli.options import (
    comma_separated,
    extra_vars_option,
    limit_option,
    together,
    vault_options,
)
from opsrunner.errors import InputError

if TYPE_CHECKING:
    from opsrunner.ledger.store import Store
    from opsrunner.schedule.load import Contents

#: The keys of schedules.yml as options.
timing_options = together(
    click.option("--cron", metavar="FIELDS", help="Five fields, or @daily and the like."),
    click.option("--every", metavar="TIME", help="So often: 30s, 15m, 2h, 1d."),
    click.option("--at", metavar="TIME", help="Once, at '2026-12-01 02:00'."),
    click.option("--after", metavar="NAME", help="When a run of that schedule has ended."),
    click.option("--on", type=click.Choice(["success", "failure", "end"]), help="With --after: how it ended."),
    click.option("--timezone", metavar="ZONE", help="Zone of its times; UTC by default."),
    click.option("--jitter", metavar="TIME", help="Put each start off by up to that long."),
    click.option("--start-deadline", metavar="TIME", help="Start no later than that after its time; 5m by default."),
    click.option("--overlap", type=click.Choice(["skip", "queue", "cancel_old", "allow"]), help="While a run goes on."),
    click.option("--misfire", type=click.Choice(["skip", "run_once", "catch_up"]), help="For times no beat started."),
    click.option("--misfire-limit", type=click.IntRange(min=1), metavar="N", help="With catch_up: the newest N."),
    click.option("--blackout", multiple=True, metavar="WINDOW", help="Not in that window or calendar; repeatable."),
    click.option("--max-runtime", metavar="TIME", help="Cancel a run that goes on for longer."),
    click.option("--until", metavar="TIME", help="No more from then on."),
    click.option("--count", type=click.IntRange(min=1), metavar="N", help="N runs in all."),
    click.option("--paused", is_flag=True, default=None, help="Begin paused in itself; `resume` does not undo it."),
)
playing_options = together(
    click.option("-i", "--inventory", multiple=True, metavar="PATH", help="Inventory; may be repeated."),
    limit_option,
    extra_vars_option,
    click.option("-t", "--tags", multiple=True, metavar="TAGS", help="Only steps with one of these tags."),
    click.option("--skip-tags", multiple=True, metavar="TAGS", help="No step with one of these tags."),
    click.option("-C", "--check", is_flag=True, default=None, help="Change nothing; tell what would change."),
    click.option("-D", "--diff", is_flag=True, default=None, help="Show what changes in files."),
    click.option("--notify", multiple=True, metavar="NAME[,NAME]", help="Tell these notifiers of its runs."),
    click.option("-f", "--forks", type=click.IntRange(min=1), metavar="N", help="Hosts at work at once."),
)


@click.command(
    "add",
    epilog="Examples: opsrunner schedule add patch patch.yml --cron '30 2 * * 6' --timezone Europe/Berlin -l web · "
    "opsrunner schedule add report report.yml --after patch --on end",
)
@click.argument("name")
@click.argument("playbook")
@timing_options
@playing_options
@vault_options
def add(name: str, playbook: str, **given: Any) -> None:
    """Add a schedule at run time. It is kept in Redis, sealed; its paths are meant beside the current directory,
    which every node with a beat must have.
    """
    from opsrunner.errors import raise_all
    from opsrunner.plan.extra_vars import parse_extra_vars
    from opsrunner.schedule import stored
    from opsrunner.schedule.entry import Surroundings, faults, make
    from opsrunner.schedule.start import compile_schedule

    extra_vars = parse_extra_vars(given.pop("extra_vars"), Path.cwd(), context.warn)
    for key in ("tags", "skip_tags", "notify"):
        given[key] = list(comma_separated(given[key]))
    entry = {"name": name, "playbook": playbook, **{key: value for key, value in given.items() if value}}
    if extra_vars:
        entry["vars"] = extra_vars
    contents = _contents()
    around = Surroundings(Path.cwd(), contents.calendars, contents.notifiers)
    raise_all(faults(entry, None, around))
    schedule = make(entry, around)
    if schedule.at and schedule.at <= datetime.datetime.now(datetime.UTC):
        raise InputError(f"at {given['at']!r} is over", remedy="name a time to come")
    for warning in compile_schedule(schedule, context.settings()).warnings:
        context.warn(warning)
    stored.add(_store(), entry, Path.cwd(), contents)
    click.echo(f"{name} added; opsrunner schedule next {name} shows when")


@click.command("rm", epilog="Example: opsrunner schedule rm patch")
@click.argument("name")
def remove(name: str) -> None:
    """Take away a schedule that was added at run time, and its history. Its runs stay, one that goes on goes on."""
    from opsrunner.schedule import stored

    stored.remove(_store(), name, _contents())
    click.echo(f"{name} removed")


@click.command("pause", epilog="Example: opsrunner schedule pause nightly-restart")
@click.argument("name")
def pause(name: str) -> None:
    """Start no more runs of a schedule until `resume`. Times that pass meanwhile are not made up for."""
    _pause(name, context.operator())


@click.command("resume", epilog="Example: opsrunner schedule resume nightly-restart")
@click.argument("name")
def resume(name: str) -> None:
    """Start runs of a schedule again, from its next time on."""
    _pause(name, "")


def _pause(name: str, by: str) -> None:
    from opsrunner.schedule import states, stored
    from opsrunner.schedule.load import find
    from opsrunner.schedule.times import clock_text

    store, contents = _store(), _contents()
    schedule = find([*contents.schedules, *stored.load(store, contents).schedules], name)
    now = store.now()
    before = states.write_pause(store.redis, name, f"{by} since {clock_text(schedule, now)}" if by else "", now)
    if by:
        click.echo(f"{name} is paused already, by {before}" if before else f"{name} paused")
    else:
        click.echo(f"{name} goes on" if before else f"{name} was not paused")
        if schedule.paused:
            context.warn("it stays paused: paused: true stands with it")


def _store() -> Store:
    return context.open_store(context.open_ledger())


def _contents() -> Contents:
    from opsrunner.schedule.load import contents_of

    return contents_of(context.settings())
