"""From a compiled plan to a run that is shown: what ``run`` and ``exec`` have in common."""

from __future__ import annotations

import datetime
import os
import secrets
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click

from opsrunner.cli import context
from opsrunner.cli.options import asked_password, budget, comma_separated, due_time, seconds
from opsrunner.errors import LedgerLost, NoWorker, OpsrunnerError, RunInterrupted
from opsrunner.plan.model import Options, Plan

if TYPE_CHECKING:
    from opsrunner.ledger.following import Ledger
    from opsrunner.ledger.records import Event, RunRecord
    from opsrunner.ledger.store import Store
    from opsrunner.notify.model import Notifier
    from opsrunner.output.follow import Renderer

Answer = TypeVar("Answer")
#: Seconds within which a run ends whose last output was shown.
ABOUT_TO_END = 1.0


def options_from(given: Mapping[str, Any]) -> Options:
    """The command line's options as the plan keeps them; asks for the passwords that were asked to be asked for."""
    interactive = sys.stdin.isatty() and not any(given.get(name) for name in ("detach", "at", "delay"))
    if given.get("step") and not interactive:
        raise click.UsageError("--step asks before each task at the terminal where the run is followed: there is none.")
    return Options(
        check=bool(given.get("check")),
        diff=bool(given.get("diff")),
        verbosity=int(given.get("verbose") or 0),
        forks=given.get("forks") or context.settings().forks,
        tags=tuple(given.get("tags") or ()),
        skip_tags=tuple(given.get("skip_tags") or ()),
        force_handlers=bool(given.get("force_handlers")),
        start_at_task=given.get("start_at_task"),
        limit=given.get("limit"),
        interactive=interactive,
        step=bool(given.get("step")),
        selections=context.selections(given.get("pattern"), given.get("limit")),
        shuffle_seed=secrets.randbits(32),
        remote_user=given.get("remote_user"),
        private_key=given.get("private_key"),
        connection_timeout=given.get("connect_timeout"),
        become=given.get("become") or None,
        become_user=given.get("become_user"),
        become_method=given.get("become_method"),
        locked=given.get("locked") or "wait",
        lock_timeout=seconds(given["lock_timeout"]) if given.get("lock_timeout") else None,
        park=seconds(given["park"]) if given.get("park") else None,
        max_failed=budget(given.get("max_failed"), "--max-failed"),
        max_unreachable=budget(given.get("max_unreachable"), "--max-unreachable"),
        **asked_passwords(given),
    )


def asked_passwords(given: Mapping[str, Any]) -> dict[str, Any]:
    """The passwords that were asked to be asked for, by their names in the options."""
    wanted = (("ask_pass", "connection_password", "SSH"), ("ask_become_pass", "become_password", "BECOME"))
    return {name: asked_password(title) for flag, name, title in wanted if given.get(flag)}


def wait_for_workers(given: Mapping[str, Any]) -> float:
    """Seconds that a zone may be without a worker: as asked for, else while the embedded one comes up."""
    if given.get("wait_for_workers"):
        return seconds(given["wait_for_workers"])
    return 30.0 if context.settings().broker_url is None else 0.0


def chosen_notifiers(given: Mapping[str, Any]) -> Sequence[Notifier]:
    """Who is told of the run, as typed or as set; nothing is imported where nobody is. Raises InputError."""
    names = comma_separated(given["notify"]) if given.get("notify") else None
    if names is None and not context.settings().notify:
        return ()
    from opsrunner.notify.choice import chosen

    return chosen(context.settings(), names, os.environ)


def start(plan: Plan, files: Mapping[str, bytes], given: Mapping[str, Any], *, fold: bool = True) -> int:
    """Submit the plan and show the run to its end; gives the exit code.

    ^C leaves the run going and says how to come back to it. Raises NoWorker, BrokerUnavailable.
    """
    from opsrunner.engine.submit import require_workers, submit

    notifiers = chosen_notifiers(given)
    ledger = context.open_ledger(worker=True)
    store = context.open_store(ledger)
    due = due_time(given.get("at"), given.get("delay"), store.now())
    if due is not None:
        return _plan_ahead(store, plan, files, given, notifiers, due)
    if given.get("start_deadline"):
        raise click.UsageError("--start-deadline goes with --at or --in.")
    require_workers(ledger.redis, plan, wait=wait_for_workers(given))
    run_id = submit(store, plan, files, user=context.operator(), notifiers=notifiers)
    if given.get("detach"):
        click.echo(run_id)
        return 0
    return attach(ledger, run_id, given.get("output"), int(given.get("verbose") or 0), fold=fold)


def _plan_ahead(
    store: Store,
    plan: Plan,
    files: Mapping[str, bytes],
    given: Mapping[str, Any],
    notifiers: Sequence[Notifier],
    due: float,
) -> int:
    """Store a run that a worker begins when its time has come: whoever typed it need not be there."""
    from opsrunner.engine.submit import require_workers, submit

    for option in ("output", "wait_for_workers"):
        if given.get(option):
            raise click.UsageError(f"--{option.replace('_', '-')} has no meaning for a run that begins later.")
    deadline = seconds(given.get("start_deadline") or "1h")
    try:
        require_workers(store.redis, plan)
    except NoWorker as error:
        context.warn(error.what)
    user = context.operator()
    run_id = submit(store, plan, files, user=user, due=due, start_deadline=deadline, notifiers=notifiers)
    click.echo(run_id)
    if not given.get("detach"):
        clock = datetime.datetime.fromtimestamp(due).astimezone().isoformat(sep=" ", timespec="seconds")
        click.echo(f"begins at {clock} · cancel it: opsrunner cancel {run_id}", err=True)
    return 0


def attach(
    ledger: Ledger, run_id: str, output: str | None, verbosity: int, *, fold: bool = True, after: str = "0"
) -> int:
    """Follow a run with the renderer asked for; gives the run's exit code. ^C leaves the run going and says so.

    With ``after`` (a place in its stream) only what happens from there on is shown. Redis may be away at any moment.
    """
    renderer: Renderer | None = None
    record: RunRecord | None = None
    try:
        from opsrunner.cli.answering import answering
        from opsrunner.output import make_renderer
        from opsrunner.output.follow import follow

        def prepare() -> tuple[RunRecord, Renderer]:
            earlier = () if after == "0" else ledger.outcomes(run_id, bare=True)
            return ledger.look(run_id), make_renderer(
                output, ledger, verbosity=verbosity, fold=fold, stream=sys.stdout, earlier=earlier
            )

        def conclude() -> None:
            nonlocal record
            record = ledger.look(run_id)
            view.end(record, ledger.stats(record))

        record, view = _patiently(ledger.insist(prepare))
        renderer = view
        renderer.begin(record)
        # The document is made of the ledger at the end: it needs no outcome before.
        followed = ledger.follow(run_id, after=after, complete=output != "json", wants=renderer.wants)
        follow(answering(ledger, run_id, followed, renderer), renderer)
        follow(ledger.insist(conclude), renderer)
    except (KeyboardInterrupt, OSError) as error:
        if renderer:
            with suppress(OSError):
                renderer.abandon()
        return _left(ledger, run_id, error)
    return _exit_code(record)


def _left(ledger: Ledger, run_id: str, error: KeyboardInterrupt | OSError) -> int:
    """Nobody looks any more: after ^C, or where what is shown cannot be written. Raises what is wrong with the latter.

    Who reads only the beginning (`| head`) is told where the run is, unless it has ended meanwhile.
    """
    ended = None if isinstance(error, KeyboardInterrupt) else _ended(ledger, run_id)
    if ended is None:
        click.echo(f"\nThe run goes on: opsrunner watch {run_id} · stop it: opsrunner cancel {run_id}", err=True)
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        raise error
    return RunInterrupted.exit_code if ended is None else _exit_code(ended)


def _exit_code(record: RunRecord | None) -> int:
    return OpsrunnerError.exit_code if record is None or record.exit_code is None else record.exit_code


def _ended(ledger: Ledger, run_id: str) -> RunRecord | None:
    """The run, if it has ended, or does so at once: what `exec` shows comes just before its end."""
    from opsrunner.ledger.client import AWAY
    from opsrunner.ledger.records import ENDED

    deadline = time.monotonic() + ABOUT_TO_END
    with suppress(*AWAY, LedgerLost):
        while (found := ledger.look(run_id)).status not in ENDED:
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.05)
        return found
    return None


def _patiently(insisting: Generator[Event | None, None, Answer]) -> Answer:
    """What it comes to in the end; what it tells meanwhile is told at once, as nothing shows the run yet."""
    while True:
        try:
            notice = next(insisting)
        except StopIteration as end:
            answer: Answer = end.value
            return answer
        if notice:
            context.warn(notice.data["text"])
