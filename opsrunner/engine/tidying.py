"""What guarded steps left on their hosts when a worker died between storing the outcome and tidying."""

from __future__ import annotations

import logging
import time
from functools import partial

from opsrunner import executor
from opsrunner.attempt import cleanup_line
from opsrunner.engine.context import RunContext
from opsrunner.engine.guard import TIDY_TIMEOUT, attempt_name
from opsrunner.engine.node import Node
from opsrunner.errors import OpsrunnerError
from opsrunner.executor import Surroundings
from opsrunner.ledger import keys
from opsrunner.ledger.encoding import decode_terminal
from opsrunner.modules.contract import ModuleFailure
from opsrunner.plan.model import Play, Step
from opsrunner.remote import Command

#: Seconds after each try to reach a host; after the last one its directories stay.
PAUSES = (1.0, 5.0, 15.0, 0.0)

log = logging.getLogger("opsrunner.worker")


def tidy_up(node: Node, context: RunContext) -> None:
    """Remove the attempts of an ended run from the hosts that this worker serves; lost ones are kept for ``resume``.

    Each is taken by one worker, in its host threads. Repeatable.
    """
    steps = {step.number: (play, step) for play in context.plan.plays for step in play.steps}
    for member in node.redis.smembers(keys.guarded(context.run_id)):
        number, _, host = member.decode().partition("|")
        state = node.redis.hget(keys.steps(context.run_id, int(number)), host)
        outcome = state and decode_terminal(int(number), host, state.decode(), {})
        if not outcome or outcome.status == "lost" or not node.record.serves(context.zone_of.get(host, "default")):
            continue
        if node.redis.srem(keys.guarded(context.run_id), member):
            node.threads.begin((partial(_tidy, node, context, *steps[int(number)], host),))


def _tidy(node: Node, context: RunContext, play: Play, step: Step, host: str) -> None:
    around = Surroundings(
        files=context.files.of(step),
        reach=lambda step, target, scope: node.remote(context, play.number, step, target, scope),
        scope_of=lambda target: context.scope(target, play, step),
        options=context.plan.options,
    )
    attempts = int(node.redis.hget(keys.attempts(context.run_id), f"{step.number}|{host}") or 0) + 1
    names = [attempt_name(context.run_id, step.number, host, attempt) for attempt in range(attempts)]
    for pause in PAUSES:
        try:
            remote, become = executor.reach(step, host, context.scope(host, play, step), context.templar, around)
            remote.exec(Command(cleanup_line(*names), become=become, timeout=TIDY_TIMEOUT))
            return
        except (OpsrunnerError, ModuleFailure) as error:
            log.warning("%s of run %s is still on %s: %s", names[0], context.run_id, host, error)
            time.sleep(pause)
