"""What follows from a finished stage: a run-once step speaks for its batch, one failure stops many."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from opsrunner.engine.context import RunContext
from opsrunner.engine.cursor import Cursor
from opsrunner.ledger import keys
from opsrunner.ledger.encoding import decode_terminal
from opsrunner.ledger.reader import Reader
from opsrunner.ledger.records import GOOD, Outcome
from opsrunner.ledger.store import Client
from opsrunner.ledger.transitions import Move
from opsrunner.plan import flow, steering
from opsrunner.plan.flow import Position
from opsrunner.plan.model import Play, Step

if TYPE_CHECKING:
    from opsrunner.engine.node import Node


class Front(Struct, frozen=True, dict=True):
    """The hosts of the batch that have something left to do, in the batch's order.

    Each part is read when it is first wanted: of most stages nobody asks for all of the hosts. Moves that follow from
    it are guarded by the cursor, so that hosts standing elsewhere by now do no harm.
    """

    client: Client
    run_id: str
    batch: Sequence[str]

    @cached_property
    def index_of(self) -> dict[str, int]:
        scored = self.client.zrange(keys.front(self.run_id), 0, -1, withscores=True)
        return {host.decode(): int(score) for host, score in scored}

    @cached_property
    def hosts(self) -> list[str]:
        return [host for host in self.batch if host in self.index_of]

    @cached_property
    def positions(self) -> dict[str, Position]:
        """Where each of them stands."""
        stored = self.client.hgetall(keys.positions(self.run_id))
        return {host.decode(): Position.decode(text.decode()) for host, text in stored.items()}

    def at(self, index: int) -> list[str]:
        here = {host.decode() for host in self.client.zrangebyscore(keys.front(self.run_id), index, index)}
        return [host for host in self.batch if host in here] if here else []

    def one_at(self, index: int) -> str | None:
        """Some host that stands there."""
        found = self.client.zrangebyscore(keys.front(self.run_id), index, index, start=0, num=1)
        return found[0].decode() if found else None

    def of_stage(self, play: Play, at: Cursor) -> list[str]:
        """The hosts that still have something to do in that stage: on their own they go no further than the gate."""
        if not at.through:
            return self.at(at.index)
        return [host for host in self.hosts if play.steps[self.index_of[host]].section != "gate"]

    def first(self) -> int | None:
        """The lowest index at which somebody stands, None where nobody has anything left to do."""
        lowest = self.client.zrange(keys.front(self.run_id), 0, 0, withscores=True)
        return int(lowest[0][1]) if lowest else None


def leader_done(node: Node, run_id: str, step: Step, batch: Sequence[str], here: Sequence[str]) -> bool:
    """Whether the one host of the batch for a run-once step is through (it has left the hosts that wait ``here``)."""
    return any(outcome.host not in here for outcome in _outcomes(node, run_id, step, batch))


def _outcomes(node: Node, run_id: str, step: Step, batch: Sequence[str]) -> list[Outcome]:
    """What came of the step on the hosts of that batch: other batches have their own."""
    states = node.reader.states(run_id, step.number)
    found = [decode_terminal(step.number, host, states[host], {}) for host in batch if host in states]
    return [outcome for outcome in found if outcome]


def after_stage(node: Node, context: RunContext, cursor: str, play: Play, at: Cursor, front: Front) -> str:
    """Apply what the finished stage means for hosts that did nothing wrong; gives why the run must stop, or "".

    Repeatable: a second visit finds every host moved already.
    """
    if at.index < 0 or at.through:
        return ""
    step = play.steps[at.index]
    followers = front.at(at.index)
    if not (followers or step.any_errors_fatal or steering.action_of(step) in steering.ENDS_ALL):
        return _too_many_failed(node, context, cursor, play, at)  # nobody else is touched by what came of it
    outcomes = _outcomes(node, context.run_id, step, play.batches[at.batch])
    bad = [outcome for outcome in outcomes if outcome.status not in GOOD and outcome.mark != "ignored"]
    if steering.action_of(step) in steering.ENDS_ALL and any(outcome.status == "ok" for outcome in outcomes):
        _end_all(node, context, cursor, play, front, steering.action_of(step))
        return ""
    if followers:
        _follow(node, context, cursor, play, step, front, followers, failed=bool(bad))
    elif bad and _flag(context.templar.render(step.any_errors_fatal, context.scope(bad[0].host, play, step))):
        _fail_others(node, context, cursor, play, at.index, front)
    if bad and (followers or step.any_errors_fatal) and not all(outcome.mark == "rescued" for outcome in bad):
        return _break(node, context, f"{bad[0].host} {bad[0].status} in {step.name!r}, which stops the others")
    return _too_many_failed(node, context, cursor, play, at)


def _end_all(node: Node, context: RunContext, cursor: str, play: Play, front: Front, action: str) -> None:
    """end_batch, end_play: nothing more for any host of the batch, wherever it stands."""
    before = front.positions
    moves = [
        _move(play, host, steering.end(play, before[host], action), before[host], bad=False) for host in front.hosts
    ]
    node.store.place(context.run_id, cursor, moves)


def play_is_over(reader: Reader, run_id: str, play: Play) -> bool:
    """Whether some batch of the play ended it for all (``meta: end_play``)."""
    steps = [step.number for step in play.steps if steering.action_of(step) == "end_play"]
    states = (reader.states(run_id, number).items() for number in steps)
    outcomes = (decode_terminal(0, host, state, {}) for found in states for host, state in found)
    return any(outcome is not None and outcome.status == "ok" for outcome in outcomes)


def _follow(
    node: Node,
    context: RunContext,
    cursor: str,
    play: Play,
    step: Step,
    front: Front,
    followers: Sequence[str],
    *,
    failed: bool,
) -> None:
    """Hosts that a run-once step spoke for get its variables and go where its outcome sends them."""
    node.store.share_once(context.run_id, step.number, followers)
    moves = []
    for host in followers:
        position = front.positions[host]
        moved = flow.fail(play, position)[0] if failed else flow.succeed(play, position)
        moves.append(_move(play, host, moved, position, bad=failed))
    node.store.place(context.run_id, cursor, moves)


def _fail_others(node: Node, context: RunContext, cursor: str, play: Play, index: int, front: Front) -> None:
    """any_errors_fatal: every other host of the batch is failed where it stands (its rescue and always still run)."""
    moves = []
    for host in front.hosts:
        position = front.positions[host]
        path = play.steps[position.next].path
        if position.failed or position.pending or any(part in ("rescue", "always") for _, part in path):
            continue
        moved, _ = flow.fail(play, replace(position, next=index), at=index)
        moves.append(_move(play, host, moved, position, bad=True))
    node.store.place(context.run_id, cursor, moves)


def _flag(value: object) -> bool:
    return value.strip().lower() in ("yes", "true", "on", "1") if isinstance(value, str) else bool(value)


def _break(node: Node, context: RunContext, reason: str) -> str:
    """No batch and no play follows this one."""
    node.redis.hset(keys.run(context.run_id), "break", reason)
    return reason


def _too_many_failed(node: Node, context: RunContext, cursor: str, play: Play, at: Cursor) -> str:
    limit = play.max_fail_percentage
    if limit is None:
        return ""
    failed = sum(1 for why in node.reader.ended(context.run_id).values() if why == "failed")
    share = 100.0 * failed / len(play.batches[at.batch])
    if share <= limit:
        return ""
    reason = f"{share:.0f} % of the batch failed, more than max_fail_percentage {limit:g}"
    _fail_others(node, context, cursor, play, at.index, Front(node.redis, context.run_id, play.batches[at.batch]))
    return _break(node, context, reason)


def _move(play: Play, host: str, moved: Position, before: Position, *, bad: bool) -> Move:
    ended = "stopped" if moved.failed and not before.failed else ""
    if flow.ended(play, moved):
        return Move(host, None, "", ended, bad)
    return Move(host, moved.next, moved.encode(), ended, bad)
