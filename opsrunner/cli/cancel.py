"""``opsrunner cancel RUN``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from opsrunner.cli import context
from opsrunner.cli.options import run_hosts_option, seconds
from opsrunner.cli.run_hosts import run_hosts
from opsrunner.errors import InputError
from opsrunner.ledger.records import ENDED, RunRecord

if TYPE_CHECKING:
    from opsrunner.ledger.following import Ledger


@click.command(
    "cancel",
    epilog="Examples: opsrunner cancel last · opsrunner cancel 261121-0412 --host web3 · "
    "opsrunner cancel last --step 4 --wait 1m",
)
@click.argument("run")
@run_hosts_option
@click.option("--step", type=click.IntRange(min=0), metavar="N", help="Only the step of this number; `show` tells it.")
@click.option("--wait", default="30s", show_default=True, metavar="TIME", help="Wait that long for it to end.")
def command(run: str, named: tuple[str, ...], step: int | None, wait: str) -> int:
    """Stop a run, or only some hosts of it, or one step: nothing more is sent there, and what runs gets TERM,
    then KILL. The other hosts go on.

    Each host's outcome says whether it was killed, had ended, or could not be killed.
    """
    ledger = context.open_ledger(worker=True)
    record = ledger.find(run)
    if record.status in ENDED:
        click.echo(f"{record.id} has ended already: {record.status}")
        return 0
    if record.status == "scheduled":
        if named or step is not None:
            raise InputError(f"run {record.id} waits for its time", remedy="cancel it whole")
        store = context.open_store(ledger)
        if store.call_off(record.id, context.operator()):
            store.expire_record(record, int(context.settings().retention_days * 86400))
            click.echo(f"{record.id} cancelled")
            return 0
    # A slip must not leave something running that the operator takes for cancelled.
    hosts = tuple(run_hosts(record, named))
    _check_step(record, step)
    after = ledger.newest_event(record.id)
    context.open_store(ledger).request_cancel(record.id, context.operator(), hosts, step)
    partial = bool(hosts) or step is not None
    done = _wait(ledger, record.id, after, hosts, step, seconds(wait))
    for outcome in ledger.outcomes(record.id, step=step):
        if outcome.status == "cancelled" and (not hosts or outcome.host in hosts):
            click.echo(f"{outcome.host}: {outcome.result.get('msg', 'cancelled')}")
    if not done:
        what = "what was cancelled" if partial else record.id
        click.echo(f"{what} is asked to stop and has not ended yet: opsrunner watch {record.id}", err=True)
        return 1
    if not partial:
        click.echo(f"{record.id} {ledger.find(record.id).status}")
    return 0


def _check_step(record: RunRecord, step: int | None) -> None:
    if step is not None and step not in {one.number for play in record.plays for one in play.steps}:
        raise InputError(f"no step {step} in run {record.id}", remedy=f"opsrunner show {record.id} -v lists them")


def _wait(ledger: Ledger, run_id: str, after: str, hosts: tuple[str, ...], step: int | None, patience: float) -> bool:
    """Whether the run has ended, or nothing of what was cancelled runs any more, within ``patience`` seconds."""
    deadline = time.monotonic() + patience
    for event in ledger.follow(run_id, after=after, complete=False):
        if event and not event.id:  # it tells of Redis, not of the run
            click.echo(event.data["text"], err=True)
            continue
        if (hosts or step is not None) and not _at_work(ledger, run_id, hosts, step):
            return True
        if time.monotonic() >= deadline:
            break
    return ledger.find(run_id).status in ENDED


def _at_work(ledger: Ledger, run_id: str, hosts: tuple[str, ...], step: int | None) -> bool:
    """Whether one of these hosts is at work (at that step), or still counts as going on."""
    record = ledger.find(run_id)
    ended = ledger.ended(run_id)
    if step is None:
        return any(host not in ended for host in hosts)
    states = ledger.states(run_id, step)
    members = hosts or tuple(host for play in record.plays for host in play.hosts)
    return any(not states.get(host, "T").startswith("T") for host in members)
