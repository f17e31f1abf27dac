"""The end of a run: every host × step accounted for, status and exit code from the ledger's counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsrunner.engine.context import RunContext
from opsrunner.ledger import keys
from opsrunner.ledger.encoding import encode_event
from opsrunner.ledger.records import EXIT_CANCELLED, EXIT_FAILED, EXIT_LOST, EXIT_UNREACHABLE

if TYPE_CHECKING:
    from opsrunner.engine.node import Node

DAY = 86400


def close_run(node: Node, context: RunContext, *, cancelled: bool = False, stopped: str = "") -> None:
    """Close the run, once; a second call changes nothing."""
    run_id = context.run_id
    open_claims = unaccounted(node, context)
    if open_claims:
        # Never reached as long as the ledger's transitions hold; said aloud rather than closed over.
        text = f"{len(open_claims)} host-steps without an outcome: {', '.join(open_claims[:5])}"
        node.store.publish(run_id, "notice", encode_event(text=text, level="warning"))
    raw = node.redis.hmget(keys.run(run_id), "failures", "unreachable", "lost", "cancelled_by")
    failures, unreachable, lost = (int(value or 0) for value in raw[:3])
    code = (EXIT_FAILED if failures else 0) | (EXIT_UNREACHABLE if unreachable else 0) | (EXIT_LOST if lost else 0)
    code = code or (EXIT_FAILED if stopped else 0)
    if cancelled:
        status, code, reason = "cancelled", EXIT_CANCELLED, f"cancelled by {(raw[3] or b'').decode()}"
    elif stopped:
        status, reason = "stopped", stopped
    else:
        status, reason = ("failed" if code else "succeeded"), ""
    if node.store.close(run_id, status, code, reason):
        steps = [step.number for play in context.plan.plays for step in play.steps]
        hosts = {host for play in context.plan.plays for host in play.hosts}
        node.store.expire_run(run_id, steps, hosts, int(node.settings.retention_days) * DAY)
    node.forget(run_id)


def unaccounted(node: Node, context: RunContext) -> list[str]:
    """``host at step N`` for every claim that has no outcome."""
    found: list[str] = []
    pipeline = node.redis.pipeline(transaction=False)
    numbers = [step.number for play in context.plan.plays for step in play.steps]
    for number in numbers:
        pipeline.hgetall(keys.steps(context.run_id, number))
    for number, states in zip(numbers, pipeline.execute(), strict=True):
        found += [f"{host.decode()} at step {number}" for host, state in states.items() if not state.startswith(b"T|")]
    return found
