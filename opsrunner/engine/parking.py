"""`--park`: hosts that were out of reach are kept, and finished when they answer again."""

from __future__ import annotations

from opsrunner.engine.context import RunContext
from opsrunner.engine.cursor import PARKED, in_walk, walk
from opsrunner.engine.node import Node
from opsrunner.engine.walk import readmission
from opsrunner.ledger import keys
from opsrunner.ledger.encoding import encode_event
from opsrunner.plan.contrast import listed

#: Seconds until parked hosts are tried again: at first, and at most.
RETRY_FIRST, RETRY_MOST = 5.0, 300.0
#: Hosts named in a notice.
NAMED_HOSTS = 5


def parked(node: Node, context: RunContext) -> list[str]:
    """The hosts that wait for being reachable again."""
    if not context.plan.options.park:
        return []
    return sorted(host for host, why in node.reader.ended(context.run_id).items() if why == "unreachable")


def park(node: Node, context: RunContext, cursor: str) -> bool:
    """Keep the run open for its parked hosts; False when there are none or their time is over."""
    hosts = parked(node, context)
    key = keys.run(context.run_id)
    now = node.store.now()
    until, retries = node.redis.hmget(key, "parked_until", "retries")
    end = float(until) if until else now + float(context.plan.options.park or 0)
    if not hosts or now >= end:
        return False
    wait = min(RETRY_MOST, RETRY_FIRST * 2 ** int(retries or 0), end - now)
    node.redis.hset(key, mapping={"parked_until": end, "retry_at": now + wait})
    text = f"parked: {listed(hosts, NAMED_HOSTS)}; tried again in {wait:.0f} s, given up in {end - now:.0f} s"
    waits = in_walk(PARKED, walk(cursor))
    node.store.move(context.run_id, cursor, waits, ("notice", encode_event(text=text, level="warning")))
    return True


def wake(node: Node, context: RunContext, cursor: str) -> bool:
    """Let parked hosts try again once it is time to; whether the run may go on now."""
    key = keys.run(context.run_id)
    due = node.redis.hget(key, "retry_at")
    if due and node.store.now() < float(due):
        return False
    readmissions = [readmission(node.reader, context.plan, context.run_id, host) for host in parked(node, context)]
    return node.store.unpark(context.run_id, cursor, [one for one in readmissions if one is not None])
