"""One host through one stage: claim, carry out, record. Runs in a worker's host threads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from msgspec import Struct

from opsrunner.engine.context import RunContext
from opsrunner.engine.gate import Ahead
from opsrunner.engine.host_step import Concluded, HostStep
from opsrunner.engine.live import LiveOutput
from opsrunner.engine.threads import HostThreads
from opsrunner.executor import Fenced, Stopped
from opsrunner.ledger.client import patiently
from opsrunner.ledger.records import Status
from opsrunner.ledger.store import Store
from opsrunner.ledger.transitions import Claim
from opsrunner.ledger.writer import Writer
from opsrunner.plan.flow import Position
from opsrunner.plan.model import Play, Step
from opsrunner.remote import Remote
from opsrunner.templating import Scope


class Bench(Protocol):
    """What carrying a host needs of its worker process."""

    name: str
    boot: str
    store: Store
    writer: Writer
    threads: HostThreads
    ahead: Ahead
    step_timeout: float
    output_limit: int
    zone_forks: int | None
    guard_patience: float

    def is_leaving(self) -> bool: ...
    def lease_stands(self) -> bool: ...
    def remote(self, context: RunContext, play: int, step: Step, target: str, scope: Scope) -> Remote: ...
    def now(self) -> float: ...
    def live_output(self, run_id: str, step: int, host: str) -> LiveOutput: ...


class Task(Struct, frozen=True):
    """One shard's words: which stage of which run, under which token."""

    context: RunContext
    play: Play
    batch: int
    cursor: str
    token: str
    #: Go on to the host's next step without waiting for other hosts.
    through: bool


#: Told of the last status of a host, None when it was not ours, or of the error that kept it from being stored.
Settled = Callable[[Status | Exception | None], None]


def carry(bench: Bench, task: Task, host: str, claim: Claim, settled: Settled) -> None:
    """Take one claimed host through the stage.

    ``settled`` is called once, as soon as its last outcome is stored: on a thread that must not be kept waiting.
    """
    status: Status | None = None
    while claim.verdict == "go":
        position = Position.decode(claim.position)
        try:
            work = HostStep(bench, task, host, position, claim)
            if not task.through and work.begin_ahead(partial(_started, bench, work, settled)):
                return
            concluded = _concluded(bench, work, settled)
            if concluded is None:
                return
        except (Fenced, Stopped):
            # Whatever the reason, nothing was sent under this claim: it must not stand as long as we live.
            hand_back(bench, task, host, position)
            break
        status, following = concluded.finish.outcome.status, concluded.following
        if not task.through or following is None or bench.is_leaving():
            break
        step = task.play.steps[following.next]
        if step.section == "gate":
            break  # the whole batch meets there
        claim = _claim_next(bench, task, host, step, following)
    settled(status)


def _started(bench: Bench, work: HostStep, settled: Settled, answer: Any) -> None:
    """The ledger has answered a start that was handed in; whatever follows is not for this thread."""
    bench.threads.begin_first(partial(_go_on, bench, work, settled, answer))


def _go_on(bench: Bench, work: HostStep, settled: Settled, answer: Any) -> None:
    bench.ahead.give()
    try:
        work.started(answer)
        concluded = _concluded(bench, work, settled)
        if concluded is not None:
            settled(concluded.finish.outcome.status)
    except (Fenced, Stopped):
        hand_back(bench, work.task, work.host, work.position)
        settled(None)
    except Exception as error:  # the shard tells of it
        settled(error)


def _concluded(bench: Bench, work: HostStep, settled: Settled) -> Concluded | None:
    """Carry out what is left of it and store what came of it. Raises Fenced, Stopped and redis' error.

    None where nothing here depends on the ledger's answer: the outcome is handed in, and the thread goes on to the
    next host.
    """
    concluded = work.complete()
    arguments = concluded.finish.arguments()
    if not work.task.through and not work.gate.guarded:
        bench.writer.hand_in(arguments, partial(_stored, work, concluded, settled))
        return None
    work.learn(concluded, bench.writer.call(arguments))
    work.gate.tidy(concluded.finish.outcome)
    return concluded


def _stored(work: HostStep, concluded: Concluded, settled: Settled, answer: Any) -> None:
    try:
        if isinstance(answer, Exception):
            raise answer
        work.learn(concluded, answer)
    except Fenced:
        settled(None)
    except Exception as error:  # the shard tells of it
        settled(error)
    else:
        settled(concluded.finish.outcome.status)


def hand_back(bench: Bench, task: Task, host: str, position: Position) -> None:
    """Give back a claim under which nothing was sent; one that is not ours any more, or was started, stays."""
    number = task.play.steps[position.next].number
    patiently(lambda: bench.store.hand_back(task.context.run_id, number, host, task.token))


def _claim_next(bench: Bench, task: Task, host: str, step: Step, position: Position) -> Claim:
    context = task.context
    return patiently(
        lambda: bench.store.claim(
            context.run_id, task.cursor, step.number, position.next, task.token, bench.boot, [host], known=context.known
        )[host]
    )
