"""The end of a run: every host × step accounted for, status and exit code from the ledger's states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsrunner.engine.context import RunContext
from opsrunner.ledger import keys
from opsrunner.ledger.encoding import decode_terminal, encode_event
from opsrunner.ledger.records import (
    EXIT_CANCELLED,
    EXIT_FAILED,
    GOOD,
    count,
    empty_stats,
    exit_code,
    uncounted,
)

if TYPE_CHECKING:
    from opsrunner.engine.node import Node

DAY = 86400


def close_run(node: Node, context: RunContext, cursor: str, *, cancelled: bool = False, stopped: str = "") -> None:
    """Close the run, once; a second call, or one that finds it elsewhere, changes nothing."""
    run_id = context.run_id
    counts, open_claims = accounts(node, context)
    if open_claims:
        # Never reached as long as the ledger's transitions hold; said aloud rather than closed over.
        text = f"{len(open_claims)} host-steps without an outcome: {', '.join(open_claims[:5])}"
        node.store.publish(run_id, "notice", encode_event(text=text, level="warning"))
    code = exit_code({"": counts}) or (EXIT_FAILED if stopped else 0)
    if not code and counts["cancelled"]:
        code = EXIT_CANCELLED
    if cancelled:
        by = node.redis.hget(keys.run(run_id), "cancelled_by") or b""
        status, code, reason = "cancelled", EXIT_CANCELLED, f"cancelled by {by.decode()}"
    elif stopped:
        status, reason = "stopped", stopped
    else:
        status, reason = ("failed" if code else "succeeded"), ""
    if node.store.close(run_id, cursor, status, code, reason):
        numbers = [step.number for play in context.plan.plays for step in play.steps]
        hosts = {host for play in context.plan.plays for host in play.hosts}
        node.store.expire_run(run_id, numbers, hosts, int(node.settings.retention_days) * DAY)


def close_unopened(node: Node, run_id: str) -> bool:
    """End a cancelled run whose plan cannot be opened, as long as no host is at work on it."""
    cursor, cancel, by = (
        (value or b"").decode() for value in node.redis.hmget(keys.run(run_id), "cursor", "cancel", "cancelled_by")
    )
    reason = f"cancelled by {by}; its plan could not be opened"
    if cancel != "1" or not node.store.close(run_id, cursor, "cancelled", EXIT_CANCELLED, reason):
        return False
    record = node.reader.run(run_id)
    if record is not None:
        node.store.expire_record(record, int(node.settings.retention_days) * DAY)
    return True


def accounts(node: Node, context: RunContext) -> tuple[dict[str, int], list[str]]:
    """How often each outcome came, all hosts together, and ``host at step N`` for every claim that has none."""
    counts = empty_stats()
    missing: list[str] = []
    steering = uncounted(context.plan.plays)
    for number in (step.number for play in context.plan.plays for step in play.steps):
        states = node.redis.hgetall(keys.steps(context.run_id, number))
        # Few words tell all of them: each is read once, however many hosts it came of.
        alike: dict[tuple[bytes, ...], list[bytes]] = {}
        for host, state in states.items():
            alike.setdefault(tuple(state.split(b"|", 3)[:3]), []).append(host)
        for hosts in alike.values():
            outcome = decode_terminal(number, hosts[0].decode(), states[hosts[0]].decode(), {})
            if outcome is None:
                missing += [f"{host.decode()} at step {number}" for host in hosts]
            elif not (number in steering and outcome.status in GOOD):
                count(counts, outcome.status, outcome.mark, len(hosts))
    return counts, missing
