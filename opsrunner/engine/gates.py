"""The gate of a play: its steps are sent to a batch that has been through its tasks for as long as the gate dwells."""

from __future__ import annotations

from opsrunner.engine.context import RunContext
from opsrunner.engine.cursor import Cursor
from opsrunner.engine.node import Node
from opsrunner.ledger import keys
from opsrunner.ledger.encoding import encode_event
from opsrunner.plan.model import Play


def opened(node: Node, context: RunContext, cursor: str, play: Play) -> bool:
    """Whether the gate's steps may be sent. Nobody waits in it: the steward looks again, whoever died meanwhile.

    A batch whose hosts are let in again (``resume``) stands at another cursor, and waits anew.
    """
    at = Cursor.parse(cursor)
    within = at.index >= 0 and play.steps[at.index].section == "gate"
    if within or not play.dwell or context.plan.options.check:  # under --check nothing was changed
        return True
    key, now = keys.run(context.run_id), node.store.now()
    stood, _, due = (node.redis.hget(key, "dwell") or b"").decode().partition(" ")
    if stood == cursor:
        return now >= float(due)
    node.redis.hset(key, "dwell", f"{cursor} {now + play.dwell}")
    text = f"gate after batch {at.batch + 1} of {len(play.batches)}: waiting {play.dwell:g} s"
    node.store.publish(context.run_id, "notice", encode_event(text=text, level="info"))
    return False
