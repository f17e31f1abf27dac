"""Who a late play is for: decided when the run gets there, once, and stored as the plan of the run from then on.

What is decided follows from the plan, what steps have added to the inventory, and the cursor: a worker that takes over
comes to the same. All readers of the plan, and of its outline, see the play as if it had been so from the beginning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsrunner.engine import locks
from opsrunner.engine.close import close_run
from opsrunner.engine.context import RunContext
from opsrunner.engine.cursor import walk
from opsrunner.engine.submit import outline
from opsrunner.engine.walk import Progress, Stand
from opsrunner.errors import InputError
from opsrunner.ledger.transitions import Decision
from opsrunner.plan import flow
from opsrunner.plan.codec import encode
from opsrunner.plan.contrast import listed
from opsrunner.plan.late import decided
from opsrunner.plan.model import Plan, Play

if TYPE_CHECKING:
    from opsrunner.engine.node import Node

#: Hosts named in a notice.
NAMED_HOSTS = 10


def decide(node: Node, context: RunContext, cursor: str, play: Play) -> bool:
    """Decide the play's hosts; False when the run cannot go on. Whoever comes second finds another plan."""
    context.see_additions()
    try:
        plan = decided(context.plan, play, context.inventory, context.templar, walk(cursor))
    except InputError as error:
        close_run(node, context, cursor, stopped=f"{play.place}: {error}")
        return False
    now = plan.plays[play.number]
    new = now.hosts if play.is_undecided else now.hosts[len(play.hosts) :]
    node.store.decide(context.run_id, cursor, _decision(node, context, plan, play, new))
    if new and locks.takes_locks(plan):
        node.store.lock(context.run_id, cursor, new)
    return True


def _decision(node: Node, context: RunContext, plan: Plan, play: Play, new: tuple[str, ...]) -> Decision:
    """With where the run stands by the numbers that its batches have now."""
    now = plan.plays[play.number]
    reached = Progress.read(node.reader, context.run_id).reached
    behind = sum(len(one.batches) for one in plan.plays[: play.number]) + len(play.batches)
    stands: dict[str, str] = {}
    if reached >= behind:
        reached += len(now.batches) - len(play.batches)
        stands = dict.fromkeys(new, Stand(play.number, flow.start(now)).encode())
    who = listed(new, NAMED_HOSTS) or "no host"
    text = f"play {play.number + 1} {play.name!r} is for {who}" if new or play.is_undecided else ""
    return Decision(context.lap, encode(plan), outline(plan), reached, stands, text)
