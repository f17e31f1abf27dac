"""``--step``: the operator is asked before each task. The run stands meanwhile, and nobody is kept busy by it."""

from __future__ import annotations

from opsrunner.engine.context import RunContext
from opsrunner.ledger import keys
from opsrunner.ledger.client import patiently
from opsrunner.ledger.encoding import encode_event
from opsrunner.ledger.store import Store
from opsrunner.plan import steering
from opsrunner.plan.model import Play, Step

_YES = frozenset(("y", "yes"))
_CONTINUE = frozenset(("c", "continue"))


def steps_through(context: RunContext, play: Play) -> bool:
    """Whether each task of the play is asked for; under ``free`` there is no moment to ask, in Ansible as here."""
    return context.plan.options.step and play.strategy != "free"


def allowed(store: Store, context: RunContext, stage: str, step: Step) -> bool:
    """Whether the operator has decided on that stage; asked once, and looked for again by whoever moves the run on."""
    key = keys.run(context.run_id)
    if steering.action_of(step) or store.redis.hget(key, "stepping") == b"off":
        return True
    question = _question(stage)
    answer = store.answer(context.run_id, question)
    if answer is not None:
        if answer.strip().lower() in _CONTINUE:
            store.redis.hset(key, "stepping", "off")
        return True
    if store.redis.hget(key, "asked") != question.encode():
        store.redis.hset(key, "asked", question)
        text = f"Perform task: {step.name} (N)o/(y)es/(c)ontinue:"
        store.publish(context.run_id, "question", encode_event(question=question, text=text, echo=True))
    return False


def is_left_out(store: Store, context: RunContext, stage: str) -> bool:
    """Whether the operator said no to that stage. Waits while Redis is away."""
    if not context.plan.options.step:
        return False
    answer = patiently(lambda: store.answer(context.run_id, _question(stage)))
    return answer is not None and answer.strip().lower() not in _YES | _CONTINUE


def _question(stage: str) -> str:
    return f"stage {stage}"
