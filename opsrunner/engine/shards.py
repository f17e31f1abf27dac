"""Hosts of a stage → shards → one chord: each host to its worker, as far as its lock is ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from opsrunner.engine import nodes
from opsrunner.engine.context import RunContext
from opsrunner.engine.cursor import Cursor
from opsrunner.engine.gate import throttle_of
from opsrunner.engine.locks import free_hosts
from opsrunner.engine.node import Node
from opsrunner.errors import InputError
from opsrunner.ledger import keys
from opsrunner.plan.model import Play

#: Seconds a stage's shards are remembered.
SHARDS_KEPT = 7 * 86400
#: Hosts named in a notice.
NAMED_HOSTS = 10

#: Sends one chord: (run id, cursor, epoch, queues in the order of the shards).
Send = Callable[[str, str, int, Sequence[str]], None]


class Shards:
    """Sends hosts of one run to the workers."""

    def __init__(self, node: Node, context: RunContext, send: Send) -> None:
        self._node = node
        self._context = context
        self._send = send

    def send(self, cursor: str, hosts: Sequence[str]) -> None:
        """Send those hosts of the stage that no other run holds; the others are noted as waiting.

        Harmless when a host was sent before: whoever comes second finds its claim.
        """
        hosts = free_hosts(self._node, self._context, cursor, hosts)
        if not hosts:
            return
        zone_of, node = self._context.zone_of, self._node
        # That we leave may not have been told yet.
        workers = [one for one in nodes.live(node.redis) if one.boot != node.boot or not node.is_leaving()]
        assigned = nodes.assign(((host, zone_of.get(host, "default")) for host in hosts), workers)
        orphans = assigned.pop("", [])
        if orphans:
            more = " …" if len(orphans) > NAMED_HOSTS else ""
            text = f"no live worker for {', '.join(orphans[:NAMED_HOSTS])}{more}: waiting for one"
            self._node.store.tell_once(self._context.run_id, "zones", text)
        if assigned:
            self._send_assigned(cursor, assigned)

    def _send_assigned(self, cursor: str, assigned: dict[str, list[str]]) -> None:
        limit = self._limit(cursor, next(iter(assigned.values()))[0])
        shards: list[tuple[str, dict[str, Any]]] = []
        for queue, mine in sorted(assigned.items()):
            # Threads that only wait for a slot of a budget would keep other runs' hosts from theirs.
            size = len(mine) if limit else self._node.settings.shard_size
            for begin in range(0, len(mine), size):
                hosts = mine[begin : begin + size]
                shard = {"cursor": cursor, "hosts": hosts, "limit": limit, "lap": self._context.lap}
                shards.append((queue, shard))
        run_id, redis = self._context.run_id, self._node.redis
        epoch = int(redis.hincrby(keys.run(run_id), "epoch", 1))
        name = keys.shards(run_id, epoch)
        pipeline = redis.pipeline(transaction=True)
        pipeline.hset(name, mapping={str(i): json.dumps(shard) for i, (_, shard) in enumerate(shards)})
        pipeline.expire(name, SHARDS_KEPT)
        fields = {"dispatched": self._node.store.now(), "stage_workers": json.dumps(sorted(assigned))}
        pipeline.hset(keys.run(run_id), mapping=fields)
        pipeline.execute()
        self._send(run_id, cursor, epoch, [queue for queue, _ in shards])

    def _limit(self, cursor: str, host: str) -> int:
        """Hosts of one shard at work at once, 0 for all. That all shards together keep to it is the ledger's."""
        context, at = self._context, Cursor.parse(cursor)
        limits = [context.plan.options.forks or 0, self._node.zone_forks or 0]
        if not at.through:
            play: Play = context.plan.plays[at.play]
            step = play.steps[at.index]
            try:
                limits.append(throttle_of(context, step, context.scope(host, play, step, batch=at.batch)))
            except InputError:
                pass  # each host says so at the step
        return min((limit for limit in limits if limit), default=0)
