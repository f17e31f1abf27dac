"""The Celery tasks, thin: everything they do is done elsewhere, everything they know is in the ledger."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Sequence
from typing import Any

from celery import Celery, chord, group
from kombu.exceptions import OperationalError
from redis.exceptions import ResponseError

from opsrunner.engine.carry import Task, hand_back
from opsrunner.engine.cursor import Cursor
from opsrunner.engine.dispatch import advance
from opsrunner.engine.node import Node
from opsrunner.engine.queues import SHARED
from opsrunner.engine.shard import Shard
from opsrunner.engine.shards import Send, Shards
from opsrunner.engine.termination import UnkillableRequest
from opsrunner.errors import InputError
from opsrunner.ledger import keys
from opsrunner.ledger.client import Refused, patiently, refusal
from opsrunner.ledger.store import AWAY
from opsrunner.ledger.transitions import Claim
from opsrunner.plan.flow import Position
from opsrunner.plan.model import Step

log = logging.getLogger("opsrunner.worker")

RUN_SHARD = "opsrunner.run_shard"
FINISH_STAGE = "opsrunner.finish_stage"
#: Priority of a run's own messages: what has begun comes before what asks for a run.
BEGUN = 9
#: Seconds between two looks at whether the worker was told to leave.
LOOK = 0.25


class Sender:
    """Sends a stage as a chord: one run_shard per shard, each to its worker's queue, then finish_stage.

    Raises one of AWAY while the broker takes nothing; what was not sent then the steward sends again.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app

    def __call__(self, run_id: str, cursor: str, epoch: int, queues: Any) -> None:
        shards = [
            self._app.signature(
                RUN_SHARD,
                args=(run_id, cursor, epoch, number),
                queue=queue,
                priority=BEGUN,
                argsrepr=f"{in_words(run_id, cursor)}, shard {number + 1} of {len(queues)}",
            )
            for number, queue in enumerate(queues)
        ]
        body = self._app.signature(
            FINISH_STAGE,
            args=(run_id, cursor),
            queue=SHARED,
            priority=BEGUN,
            immutable=True,
            argsrepr=in_words(run_id, cursor),
        )
        try:
            chord(group(shards, app=self._app), body, app=self._app).apply_async()
        except OperationalError as error:
            raise Refused(f"the broker takes no message: {error}") from None
        except ResponseError as error:
            raise refusal(error) or error from None


def in_words(run_id: str, cursor: str) -> str:
    """What events (`celery events`, Flower) show as a task's arguments; plays, batches and steps count from 1."""
    at = Cursor.parse(cursor)
    step = "all steps" if at.through else f"step {at.index + 1}"
    return f"run {run_id}, play {at.play + 1}, batch {at.batch + 1}, {step}"


def run_shard(node: Node, send: Send, run_id: str, cursor: str, epoch: int, number: int) -> dict[str, int]:
    """Drive one shard's hosts through one stage, side by side. Never raises for what a host did."""
    pipeline = node.redis.pipeline(transaction=False)
    pipeline.hget(keys.shards(run_id, epoch), str(number))
    pipeline.hmget(keys.run(run_id), "cursor", "lap")
    stored, (now_at, lap) = pipeline.execute()
    if stored is None:
        return {"unknown shard": 1}
    record = json.loads(stored)
    hosts: list[str] = record["hosts"]
    # A message of an earlier stage or lap would open the run as it was, in the place of the one that is at work;
    # another stage's hosts may be more than a run-once step is for.
    if now_at != cursor.encode() or record["cursor"] != cursor or int(lap or 0) != record["lap"]:
        return {"stage was left": len(hosts)}
    if node.is_leaving():
        return {"worker is leaving": len(hosts)}
    try:
        context = node.context(run_id, record["lap"])
    except LookupError:
        return {"run is gone": len(hosts)}
    context.begin_stage(cursor)
    at = Cursor.parse(cursor)
    play = context.plan.plays[at.play]
    task = Task(context, play, at.batch, cursor, f"{node.boot}.{uuid.uuid4().hex[:12]}", at.through)
    claims = {host: claim for host, claim in _claim(node, task, at, hosts).items() if claim.verdict == "go"}
    shard = Shard(node, task, claims, limit=record["limit"])
    shard.begin()
    while not shard.wait(LOOK) and not node.is_leaving():
        pass
    if node.is_leaving():
        _hand_over(node, task, shard, send)
    return shard.summary()


def _hand_over(node: Node, task: Task, shard: Shard, send: Send) -> None:
    """Give back what was not begun and send it to other workers at once; then what is left when the rest is through."""
    back = shard.take_back()
    for host, claim in back.items():
        hand_back(node, task, host, Position.decode(claim.position))
    _send_on(node, task, list(back), send)
    shard.wait()
    _send_on(node, task, shard.begun, send)


def _send_on(node: Node, task: Task, hosts: Sequence[str], send: Send) -> None:
    """Send those of the hosts that still have something to do in this stage."""
    at, run_id = Cursor.parse(task.cursor), task.context.run_id
    try:
        scores = node.redis.zmscore(keys.front(run_id), hosts) if hosts else []
        here = {None: False, at.index: True}
        left = [host for host, score in zip(hosts, scores, strict=True) if here.get(score, at.through)]
        if left:
            Shards(node, task.context, send).send(task.cursor, left)
    except AWAY:
        return  # the steward does


def _claim(node: Node, task: Task, at: Cursor, hosts: list[str]) -> dict[str, Claim]:
    """Claim the stage's step for all hosts in one round trip; hosts of a through stage stand at their own steps."""
    if not at.through:
        step = task.play.steps[at.index]
        return _claim_step(node, task, step, at.index, hosts)
    positions = node.redis.hmget(keys.positions(task.context.run_id), hosts)
    by_index: dict[int, list[str]] = {}
    for host, position in zip(hosts, positions, strict=True):
        if position:
            by_index.setdefault(Position.decode(position.decode()).next, []).append(host)
    claims: dict[str, Claim] = {}
    for index, some in by_index.items():
        if task.play.steps[index].section != "gate":  # which is a stage of its own
            claims |= _claim_step(node, task, task.play.steps[index], index, some)
    return claims


def _claim_step(node: Node, task: Task, step: Step, index: int, hosts: list[str]) -> dict[str, Claim]:
    context = task.context
    # A claim whose answer was lost stands; given up, it would belong to nobody for as long as this worker lives.
    return patiently(
        lambda: node.store.claim(
            context.run_id, task.cursor, step.number, index, task.token, node.boot, hosts, known=context.known
        )
    )


def register(app: Celery, node_of: Any) -> None:
    """Register the tasks on ``app``; ``node_of()`` gives this process's Node."""

    @app.task(name=RUN_SHARD, Request=UnkillableRequest)  # type: ignore[untyped-decorator]
    def _run_shard(*message: Any, **named: Any) -> dict[str, int]:
        if not _is_ours(RUN_SHARD, message, named, (str, str, int, int)):
            return {"not ours": 1}
        run_id, cursor, epoch, number = message
        try:
            return run_shard(node_of(), Sender(app), run_id, cursor, epoch, number)
        except AWAY:
            return {"ledger away": 1}  # the steward sends again what was not claimed
        except InputError as error:  # this node has another key: it must not break the chord
            node_of().store.tell_once(run_id, node_of().name, f"{node_of().name}: {error}")
            return {"cannot be opened": 1}

    @app.task(name=FINISH_STAGE, Request=UnkillableRequest)  # type: ignore[untyped-decorator]
    def _finish_stage(*message: Any, **named: Any) -> None:
        if not _is_ours(FINISH_STAGE, message, named, (str, str)):
            return
        try:
            advance(node_of(), message[0], Sender(app))
        except (*AWAY, InputError):
            return  # the steward finishes the stage from the ledger, or says why it cannot


def _is_ours(task: str, message: tuple[Any, ...], named: dict[str, Any], kinds: tuple[type, ...]) -> bool:
    """Whether the message carries what ours do; whoever reaches the broker can write others."""
    if not named and len(message) == len(kinds) and all(map(isinstance, message, kinds)):
        return True
    log.error("dropped a message %s that is none of ours: %.200r", task, named or message)
    return False
