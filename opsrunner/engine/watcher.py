"""Looks after the runs that a worker holds in memory: cancelled, ended, or no longer what the ledger remembers."""

from __future__ import annotations

from opsrunner.engine.context import RunContext
from opsrunner.engine.hold import hold, record_vanished
from opsrunner.engine.node import Node
from opsrunner.engine.tidying import tidy_up
from opsrunner.ledger import keys
from opsrunner.ledger.records import ENDED
from opsrunner.ledger.rounds import Rounds

#: Seconds between two looks.
LOOK = 0.25


class Watcher(Rounds):
    """One thread per worker process; it sleeps while there is no run."""

    def __init__(self, node: Node) -> None:
        super().__init__("watcher", pause=LOOK)
        self._node = node

    def look(self) -> float | None:
        contexts = self._node.contexts()
        if not contexts:
            return None
        # What was known before the ledger is asked: starts are stored, and learnt of, at any moment.
        known = [context.known for context in contexts]
        pipeline = self._node.redis.pipeline(transaction=False)
        for context in contexts:
            pipeline.hmget(keys.run(context.run_id), "status", "cancel", "cancels", "seq", "lap")
        for context, number, fields in zip(contexts, known, pipeline.execute(), strict=True):
            self._look_at(context, number, *[(field or b"").decode() for field in fields])
        return LOOK

    def _look_at(
        self, context: RunContext, known: int, status: str, cancel: str, cancels: str, sequence: str, lap: str
    ) -> None:
        node = self._node
        if not status:
            context.stops.cancel_all()
            record_vanished(node, context)
            node.forget(context.run_id)
        elif int(lap or 0) > context.lap:
            return  # resumed meanwhile: it is opened anew when it is wanted
        elif status not in ENDED and int(sequence or 0) < known:
            context.stops.cancel_all()
            if hold(node, context):
                node.forget(context.run_id)
        elif cancel == "1":
            context.stops.cancel_all()
        elif cancels:
            wanted = {word.decode() for word in node.redis.smembers(keys.cancels(context.run_id))}
            context.stops.cancel(wanted)
        if status in ENDED:
            tidy_up(node, context)
            node.forget(context.run_id)
