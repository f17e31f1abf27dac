"""Plan → chords: what a run does next, decided from the ledger and sent to the workers.

:func:`advance` may be called by anybody at any time, twice or at once: it looks at where the run
stands and moves it on at most once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import LockError

from opsrunner import modules
from opsrunner.engine import nodes
from opsrunner.engine.close import close_run
from opsrunner.engine.context import RunContext
from opsrunner.engine.node import Node
from opsrunner.engine.verdict import Front, after_stage, leader_done
from opsrunner.ledger import keys
from opsrunner.ledger.encoding import encode_event
from opsrunner.ledger.records import ENDED, Outcome
from opsrunner.plan import flow
from opsrunner.plan.model import Play

#: Seconds a stage's shards are remembered.
SHARDS_KEPT = 7 * 86400
#: Hosts named in a notice.
NAMED_HOSTS = 10
#: Seconds after which another node may take over moving a run on.
LOCK_LEASE = 30.0

#: Sends one chord: (run id, cursor, epoch, queues in the order of the shards).
Send = Callable[[str, str, int, Sequence[str]], None]


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a run stands: play, batch, and the index of the stage's step (``through``: all of them)."""

    play: int
    batch: int
    index: int
    through: bool = False

    def __str__(self) -> str:
        return f"{self.play}.{self.batch}.{'t' if self.through else ''}{self.index}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        play, batch, index = text.split(".")
        return cls(int(play), int(batch), int(index.removeprefix("t")), index.startswith("t"))


def advance(node: Node, run_id: str, send: Send) -> None:
    """Move the run on as far as it can go now. Raises redis' errors when the ledger is away."""
    lock = node.redis.lock(f"{keys.run(run_id)}:lock", timeout=LOCK_LEASE, blocking_timeout=5.0, sleep=0.02)
    if not lock.acquire():
        return  # somebody is at it; the steward looks again
    try:
        try:
            context = node.context(run_id)
        except LookupError:
            node.redis.srem(keys.OPEN, run_id)
            return
        RunProgress(node, context, send).advance()
    finally:
        try:
            lock.release()
        except LockError:
            pass  # it ran out while we worked; every move is guarded by the cursor as well


class RunProgress:
    """One look at where a run stands, and the moves that follow from it."""

    def __init__(self, node: Node, context: RunContext, send: Send) -> None:
        self.node = node
        self.context = context
        self.store = node.store
        self.redis = node.redis
        self.run_id = context.run_id
        self.key = keys.run(context.run_id)
        self.plays = context.plan.plays
        self.send = send

    # ------------------------------------------------------------------ where it stands
    def advance(self) -> None:
        while self.step_once():
            pass

    def step_once(self) -> bool:
        """One move; whether another may follow at once."""
        raw = self.redis.hmget(self.key, "status", "cursor", "cancel", "break", "entered")
        status, cursor, cancel, broken, entered = [(value or b"").decode() for value in raw]
        if not status or status in ENDED:
            self.node.forget(self.run_id)
            return False
        if cancel == "1":
            return self.cancel(cursor)
        if status == "submitted":
            self.begin()
            return True
        if cursor == "new":
            return self.enter(cursor, 0, 0)
        at = Cursor.parse(cursor)
        play = self.plays[at.play]
        front = Front.read(self.redis, self.run_id, play.batches[at.batch])
        if not self.complete(at, play, front):
            return False
        broken = after_stage(self.node, self.context, cursor, play, at, front) or broken
        front = Front.read(self.redis, self.run_id, play.batches[at.batch])
        if front.hosts:
            return self.dispatch(cursor, at, play, front)
        return self.leave_batch(cursor, at, play, broken, int(entered or 0))

    def begin(self) -> None:
        now = self.redis.time()
        self.redis.hset(self.key, mapping={"status": "running", "started": f"{now[0]}.{now[1]:06d}"})
        self.store.publish(self.run_id, "run_started", encode_event(title=self.context.plan.title))

    def complete(self, at: Cursor, play: Play, front: Front) -> bool:
        """Whether every host of the stage has done its part (or, of a run-once step, its one host has)."""
        if at.through:
            return not front.hosts
        here = front.at(at.index)
        if not here:
            return True
        return self.runs_once(play, at.index, here[0]) and leader_done(
            self.node, self.run_id, play.steps[at.index], here
        )

    def runs_once(self, play: Play, index: int, host: str) -> bool:
        step = play.steps[index]
        if play.strategy != "linear":
            return False
        if modules.get(step.module).SPEC.once:
            return True
        if not step.run_once or isinstance(step.run_once, bool):
            return bool(step.run_once)
        return bool(self.context.templar.render(step.run_once, self.context.scope(host, play, step)))

    # ------------------------------------------------------------------ batches
    def enter(self, cursor: str, play_number: int, batch: int) -> bool:
        """Go to that batch, or the first after it with a host left; close the run when there is none."""
        ended = self.node.reader.ended(self.run_id)
        while play_number < len(self.plays):
            play = self.plays[play_number]
            if batch >= len(play.batches):
                play_number, batch = play_number + 1, 0
                continue
            hosts = [host for host in play.batches[batch] if host not in ended]
            start = flow.start(play)
            if hosts and not flow.ended(play, start):
                return self.fill(cursor, play, batch, hosts, start)
            batch += 1
        close_run(self.node, self.context)
        return False

    def fill(self, cursor: str, play: Play, batch: int, hosts: list[str], start: flow.Position) -> bool:
        if batch == 0:
            event = encode_event(play=play.number, name=play.name, hosts=len(play.hosts))
            self.store.publish(self.run_id, "play_started", event)
        self.redis.hset(self.key, "entered", len(hosts))
        event = encode_event(play=play.number, batch=batch, batches=len(play.batches), hosts=hosts)
        position = start.encode()
        # Index -1: the batch is entered and no stage of it was sent yet.
        return self.store.enter(
            self.run_id,
            cursor,
            str(Cursor(play.number, batch, -1)),
            ("batch_started", event),
            [(host, start.next, position) for host in hosts],
        )

    def leave_batch(self, cursor: str, at: Cursor, play: Play, broken: str, entered: int) -> bool:
        ended = self.node.reader.ended(self.run_id)
        hosts = play.batches[at.batch]
        if entered == len(hosts) and all(host in ended for host in hosts):
            broken = broken or "no host of the batch is left"
        last = at.play == len(self.plays) - 1 and at.batch == len(play.batches) - 1
        if broken and not last:
            close_run(self.node, self.context, stopped=broken)
            return False
        return self.enter(cursor, at.play, at.batch + 1)

    # ------------------------------------------------------------------ stages
    def dispatch(self, cursor: str, at: Cursor, play: Play, front: Front) -> bool:
        index = front.first()
        # A batch of one host meets nobody: no barrier could be observed.
        through = play.strategy == "free" or len(play.batches[at.batch]) == 1
        hosts = front.hosts if through else front.at(index)
        if not through and self.runs_once(play, index, hosts[0]):
            hosts = hosts[:1]
        new = str(Cursor(at.play, at.batch, index, through))
        event = encode_event(play=at.play, batch=at.batch, step=play.steps[index].number, hosts=hosts)
        if not self.store.move(self.run_id, cursor, new, ("step_started", event)):
            return True
        self.send_shards(new, hosts)
        return False

    def send_shards(self, cursor: str, hosts: Sequence[str]) -> bool:
        """Cut hosts into shards by their worker and send them as one chord; False when nobody serves some."""
        zone_of = self.context.zone_of
        workers = nodes.live(self.redis)
        assigned = nodes.assign(((host, zone_of.get(host, "default")) for host in hosts), workers)
        orphans = assigned.pop("", [])
        if orphans:
            more = " …" if len(orphans) > NAMED_HOSTS else ""
            text = f"no live worker for {', '.join(orphans[:NAMED_HOSTS])}{more}: waiting for one"
            self.store.tell_once(self.run_id, "zones", text)
        if not assigned:
            return False
        forks = self.context.plan.options.forks
        share = max(1, forks // len(assigned)) if forks else 0
        shards: list[tuple[str, dict[str, Any]]] = []
        for queue, mine in sorted(assigned.items()):
            # A worker's share of the forks is kept by the shard, so with forks there is one shard a worker.
            size = len(mine) if share else self.node.settings.shard_size
            for begin in range(0, len(mine), size):
                shards.append((queue, {"hosts": mine[begin : begin + size], "forks": share}))
        epoch = int(self.redis.hincrby(self.key, "epoch", 1))
        name = keys.shards(self.run_id, epoch)
        pipeline = self.redis.pipeline(transaction=True)
        pipeline.hset(name, mapping={str(i): json.dumps(shard) for i, (_, shard) in enumerate(shards)})
        pipeline.expire(name, SHARDS_KEPT)
        now = self.redis.time()
        pipeline.hset(self.key, mapping={"dispatched": now[0], "stage_workers": json.dumps(sorted(assigned))})
        pipeline.execute()
        self.send(self.run_id, cursor, epoch, [queue for queue, _ in shards])
        return not orphans

    # ------------------------------------------------------------------ cancel
    def cancel(self, cursor: str) -> bool:
        """Withdraw every host that has sent nothing; close once nothing runs any more."""
        running = False
        if cursor != "new":
            at = Cursor.parse(cursor)
            play = self.plays[at.play]
            front = Front.read(self.redis, self.run_id, play.batches[at.batch])
            for host in front.hosts:
                index = front.index_of[host]
                now = self.node.now()
                outcome = Outcome(
                    play.steps[index].number,
                    host,
                    "cancelled",
                    {"msg": "cancelled before it was sent", "changed": False},
                    started=now,
                    ended=now,
                    worker=self.node.name,
                )
                running = not self.store.withdraw(self.run_id, index, outcome) or running
        if not running:
            close_run(self.node, self.context, cancelled=True)
        return False
