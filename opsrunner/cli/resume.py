"""``opsrunner resume RUN``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from opsrunner.cli import context
from opsrunner.cli.options import (
    ask_become_pass_option,
    ask_pass_option,
    asked_variable,
    following_options,
    vault_options,
)
from opsrunner.errors import InputError, UsageError

if TYPE_CHECKING:
    from opsrunner.engine.resume import Resumption
    from opsrunner.inventory import Inventory
    from opsrunner.ledger.records import RunRecord
    from opsrunner.ledger.store import Store
    from opsrunner.plan.model import Compiled, Plan

#: Differences shown before it says "and N more".
_SHOWN = 20
#: Files and steps named in one line.
_NAMED = 5


@click.command(
    "resume",
    epilog="Examples: opsrunner resume last · opsrunner resume 261121-0412 --hosts 'web:!web3' --rerun-lost · "
    "opsrunner resume last --step 'Restart nginx' --changed-ok",
)
@click.argument("run")
@click.option("--hosts", metavar="PATTERN", help="Only these of the run's hosts.")
@click.option("--step", metavar="STEP", help="Go on at this step: its number as `show` tells it, or its name.")
@click.option("--rerun-lost", is_flag=True, help="Run lost steps again: what became of them is not known.")
@click.option("--changed-ok", is_flag=True, help="Go on with playbook and inventory as they are now.")
@click.option("--stored", is_flag=True, help="Go on with the plan as it was stored, whatever the files say now.")
@ask_pass_option
@ask_become_pass_option
@vault_options
@following_options
@click.option("--fold/--no-fold", default=True, help="Show equal outputs once, with the hosts folded.")
def command(run: str, **given: Any) -> int:
    """Go on with a run that has ended: each host at its first step without a good outcome.

    Where the playbook or the inventory has changed since, it shows how and refuses, unless told --changed-ok.
    """
    from opsrunner.cli.start import asked_passwords, attach, wait_for_workers
    from opsrunner.engine.additions import inventory_of
    from opsrunner.engine.resume import look, resume
    from opsrunner.engine.selections import selections
    from opsrunner.engine.submit import require_workers

    if given["changed_ok"] and given["stored"]:
        raise UsageError("--changed-ok and --stored exclude each other")
    ledger = context.open_ledger(worker=True)
    store = context.open_store(ledger)
    record = ledger.find_ended(run)
    if record.due is not None and record.started is None:
        raise InputError(f"run {record.id} never began", why=record.reason, remedy="start a new run")
    stored = stored_plan(store, record)
    step = None if given["step"] is None else step_number(record, given["step"])
    current = None if given["stored"] else compare(record, stored, changed_ok=given["changed_ok"])
    plan, files = (current.plan, current.files) if current else (stored, {})
    passwords = asked_passwords(given)
    if passwords:
        plan = replace(plan, options=replace(plan.options, **passwords))
    chosen = selections([given["hosts"]], lambda: ledger)
    inventory = inventory_of(store, record.id, plan)
    hosts = None if given["hosts"] is None else hosts_of(plan, inventory, given["hosts"], chosen)
    resumption = look(ledger, plan, record, hosts=hosts, step=step, rerun_lost=given["rerun_lost"])
    for line in announcement(plan, resumption):
        click.echo(line, err=True)
    if not resumption.goes_on and not any(play.is_undecided for play in plan.plays):
        click.echo(f"nothing to resume in {record.id}", err=True)
        return record.exit_code or 0
    require_workers(ledger.redis, only_for(plan, resumption.goes_on), wait=wait_for_workers(given))
    after = ledger.newest_event(record.id)
    resume(store, record.id, plan, resumption, files=files, by=context.operator(), revised=plan is not stored)
    if given["detach"]:
        click.echo(record.id)
        return 0
    return attach(ledger, record.id, given["output"], given["verbose"], fold=given["fold"], after=after)


def stored_plan(store: Store, record: RunRecord) -> Plan:
    """The plan that the run was begun with. Raises InputError (gone, another key) and PlanFormatError."""
    from opsrunner.plan.codec import decode

    data = store.load_plan(record.id)
    if data is None:
        began = record.plays or record.started is not None
        raise InputError(
            f"run {record.id} has no plan to go on with",
            why="it is kept for a while only (retention_days)" if began else record.reason or "it never began",
            remedy="start a new run",
        )
    return decode(data)


def step_number(record: RunRecord, text: str) -> int:
    """The step of that number or exact name. Raises InputError for none and for several."""
    import difflib

    from opsrunner.output.harmless import harmless_line
    from opsrunner.plan.contrast import listed, ranges

    steps = [step for play in record.plays for step in play.steps]
    numbers = [step.number for step in steps]
    if text.isdecimal() and int(text) in numbers:
        return int(text)
    named = [step.number for step in steps if step.name == text]
    if len(named) > 1:
        raise InputError(f"{len(named)} steps are named {text!r}", remedy=f"give the number: {listed(named, _NAMED)}")
    if named:
        return named[0]
    near = difflib.get_close_matches(text, [step.name for step in steps], 1)
    raise InputError(
        f"no step {text!r} in run {record.id}",
        why=f"its steps are {ranges(numbers)}",
        remedy=f"did you mean {harmless_line(near[0])!r}?" if near else f"opsrunner show {record.id} -v lists them",
    )


def hosts_of(plan: Plan, inventory: Inventory, pattern: str, chosen: Mapping[str, Sequence[str]]) -> list[str]:
    """The run's hosts that a pattern names. Raises InputError for a name that is none, and where none is left."""
    from opsrunner.inventory import match

    found = set(match(inventory, pattern, selections=chosen))
    hosts = [host for host in dict.fromkeys(host for play in plan.plays for host in play.hosts) if host in found]
    if not hosts:
        raise InputError(f"--hosts {pattern!r} names none of the run's hosts")
    return hosts


def only_for(plan: Plan, hosts: Mapping[str, object]) -> Plan:
    """The plan with the zones of these hosts alone: no other zone's worker is needed."""
    kept = {zone: tuple(host for host in members if host in hosts) for zone, members in plan.zones.items()}
    return replace(plan, zones={zone: members for zone, members in kept.items() if members})


def compare(record: RunRecord, stored: Plan, *, changed_ok: bool) -> Compiled | None:
    """The plan that the run's sources give now, fit for the run; None to go on with the stored one.

    Tells what changed. Raises InputError where that was not said to be fine, or where it does not fit,
    and InputErrors where the sources no longer compile.
    """
    from opsrunner.plan.read import read_again
    from opsrunner.plan.revise import changed_files, differences, revised

    if not is_here(stored):
        return None
    try:
        current = read_again(stored, script_timeout=context.settings().script_timeout, ask=asked_variable)
    except InputError:
        click.echo("playbook and inventory cannot be read as they are now; --stored goes on without them", err=True)
        raise
    for warning in current.warnings:
        context.warn(warning)
    found = differences(stored, current.plan)
    if not found:
        return None
    for line in difference_lines(found, changed_files(stored, current.plan)):
        click.echo(line, err=True)
    fit = revised(stored, current.plan)
    if not changed_ok:
        raise InputError(
            f"the playbook or the inventory has changed since run {record.id} was started",
            remedy="--changed-ok goes on with them as they are now, --stored with the plan as it was stored",
        )
    return replace(current, plan=fit)


def is_here(stored: Plan) -> bool:
    """Whether what the plan was made from is on this machine; says in a line when it is not."""
    from opsrunner.output.harmless import harmless_line
    from opsrunner.plan.read import absent

    missing = absent(stored.sources) if stored.sources else None
    if stored.sources and missing is None:
        return True
    why = (
        f"{harmless_line(missing)} is not on this machine (the run came from {harmless_line(stored.sources.machine)})"
        if stored.sources and missing
        else "the run does not tell what it was made from"
    )
    click.echo(f"{why}: not compared, going on with the plan as it was stored", err=True)
    return False


def difference_lines(found: tuple[Any, ...], files: tuple[str, ...]) -> Iterator[str]:
    """What changed, a line each, the hosts folded."""
    from opsrunner.output.harmless import harmless_line
    from opsrunner.output.wording import folded
    from opsrunner.plan.contrast import listed

    if files:
        yield harmless_line(f"changed: {listed(files, _NAMED)}")
    for one in found[:_SHOWN]:
        yield f"  {folded(one.hosts)}: {harmless_line(one.text)}" if one.hosts else f"  {harmless_line(one.text)}"
    if len(found) > _SHOWN:
        yield f"  and {len(found) - _SHOWN} more"


def announcement(plan: Plan, resumption: Resumption) -> Iterator[str]:
    """Who goes on where, in the order of the steps, then who is left and why."""
    from opsrunner.nodeset import fold_names
    from opsrunner.output.harmless import harmless_line
    from opsrunner.output.wording import folded

    names = {step.number: step.name for play in plan.plays for step in play.steps}
    going: dict[int, list[str]] = {}
    for host, (_, number) in resumption.goes_on.items():
        going.setdefault(number, []).append(host)
    for number, hosts in sorted(going.items()):
        who = "1 host goes on" if len(hosts) == 1 else f"{len(hosts)} hosts go on"
        yield harmless_line(f"{who} at step {number} {names[number]!r}: {fold_names(hosts)}")
    left: dict[str, list[str]] = {}
    for host, why in resumption.left.items():
        left.setdefault(why, []).append(host)
    for play in plan.plays:
        if play.is_undecided:
            yield harmless_line(
                f"the hosts of play {play.number + 1} {play.name!r} are decided when the run gets there"
            )
    for why, hosts in left.items():
        yield f"left as it is: {folded(hosts)}: {harmless_line(why)}"
