"""A ledger that has gone back in time, or lost its memory, is not acted on: the run is held for an operator.

Redis may come back from an older copy (a fail-over to a replica that lagged, a file that was not written yet).
What it says of a host then is older than what was sent to it. Every start and every outcome counts up the run's
sequence number; a worker that was told a higher one than the ledger now knows holds the run.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from opsrunner.engine.context import RunContext
from opsrunner.engine.cursor import Cursor
from opsrunner.engine.node import Node
from opsrunner.engine.verdict import Front
from opsrunner.ledger import keys
from opsrunner.ledger.records import EXIT_LOST, Outcome
from opsrunner.ledger.store import record_refused

log = logging.getLogger("opsrunner.worker")

BACK_IN_TIME = "Redis came back with an older state: what was sent since then is not known"
VANISHED = "Redis lost its memory while the run was going on: what its hosts had done is not known any more"
DAY = 86400


def hold(node: Node, context: RunContext) -> bool:
    """End the run as ``held``; hosts in the front are lost where they stand. False when it moves meanwhile."""
    cursor = (node.redis.hget(keys.run(context.run_id), "cursor") or b"").decode()
    held = node.store.hold(context.run_id, cursor, context.known, BACK_IN_TIME, _lost(node, context, Cursor.of(cursor)))
    if held:
        log.error("run %s is held: %s", context.run_id, BACK_IN_TIME)
    return held


def _lost(node: Node, context: RunContext, at: Cursor | None) -> Iterator[tuple[int, Outcome]]:
    """Every host of the front with the index of its step."""
    if at is None:
        return
    play = context.plan.plays[at.play]
    front = Front(node.redis, context.run_id, play.batches[at.batch])
    now = node.now()
    for host in front.hosts:
        index = front.index_of[host]
        number = play.steps[index].number
        yield index, Outcome(number, host, "lost", {"msg": BACK_IN_TIME, "changed": False}, None, now, now, node.name)


def record_vanished(node: Node, context: RunContext) -> None:
    """Leave a record of a run that the ledger has forgotten, so that it is seen where runs are looked for."""
    log.error("run %s is gone: %s", context.run_id, VANISHED)
    plan = context.plan
    header = {"title": plan.title, "kind": plan.kind, "user": "", "check": int(plan.options.check)}
    seconds = int(node.settings.retention_days) * DAY
    record_refused(node.redis, context.run_id, header, EXIT_LOST, VANISHED, seconds, status="held")
