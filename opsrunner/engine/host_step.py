"""One host × step while a worker has it: what the executor is given, when its start is stored, what came of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from opsrunner import executor
from opsrunner.engine import stepping
from opsrunner.engine.concluding import conclude
from opsrunner.engine.gate import Gate
from opsrunner.engine.questions import StepQuestions
from opsrunner.executor import Begun, Fenced, StepResult, Stopped, Surroundings
from opsrunner.ledger.transitions import Claim, Finish
from opsrunner.plan.flow import Position
from opsrunner.remote import Remote
from opsrunner.templating import Scope

if TYPE_CHECKING:
    from opsrunner.engine.carry import Bench, Task
    from opsrunner.engine.context import RunContext
    from opsrunner.plan.model import Step

log = logging.getLogger("opsrunner.worker")

#: Times a step that may be repeated is sent again after its answer was lost.
REPEATS = 2


class Concluded(Struct):
    """What came of one host × step, before it is stored."""

    finish: Finish
    #: Where the host goes on in this batch, None when it does not.
    following: Position | None
    #: The variables that the step gave the host.
    values: Mapping[str, Any]


class HostStep:
    """Carried out by :meth:`complete`; :meth:`begin_ahead` does what comes before the start in a job of its own."""

    def __init__(self, bench: Bench, task: Task, host: str, position: Position, claim: Claim) -> None:
        context, play = task.context, task.play
        self.bench = bench
        self.task = task
        self.host = host
        self.position = position
        self.step = step = play.steps[position.next]
        #: Which version of the host's variables the step knows.
        self._version = claim.version
        context.values(host, claim.version)
        if task.through:
            context.see_additions()
        self._prepared = context.prepared(step)
        self._scope = scope = context.scope(host, play, step, batch=task.batch)
        self._live = bench.live_output(context.run_id, step.number, host)
        stop = context.stops.begin(host, step.number)
        lasting = context.reaching.lasting(host, step, play.number)
        self.gate = Gate(bench, task, step, host, scope, stop, claim.attempt, lasting=lasting)
        self._around = Surroundings(
            files=context.files.of(step),
            # Not our own methods: what holds each other waits for Python's garbage collector, which looks at all of it.
            reach=partial(_reached, bench, task, self.gate),
            scope_of=lambda target: context.scope(target, play, step, batch=task.batch),
            default_timeout=bench.step_timeout,
            stop=stop,
            on_output=self._live.add,
            options=context.plan.options,
            facts_of=context.latest_facts,
            attempt=self.gate.attempt,
            questions=_questions(bench, context, step),
            left_out=stepping.is_left_out(bench.store, context, task.cursor),
            inventory=context.inventory,
            prepared=self._prepared,
            lasting=lasting,
            problem=context.problem_of_files(host, play, step, batch=task.batch),
        )
        self._began = bench.now()
        self._begun: Begun | None = None
        self._result: StepResult | None = None

    def begin_ahead(self, answered: Callable[[Any], None]) -> bool:
        """Come up to the start and hand that in; False where it must be waited for, or there is none.

        ``answered`` is told the ledger's answer on a thread that must not be kept waiting; see :meth:`started`.
        Raises Fenced and Stopped.
        """
        ahead = self.bench.ahead
        if not self._prepared.sends_first or self.gate.is_limited or not ahead.take():
            return False
        handed_in = False
        try:
            self._attempt(self._come_up)
            handed_in = self._result is None and not self.gate.guarded and self.gate.start_ahead(answered)
        except BaseException:
            self._end()
            raise
        finally:
            if not handed_in:
                ahead.give()
        return handed_in

    def started(self, answer: Any) -> None:
        """What the ledger said to the start. Raises Fenced, Stopped and redis' error."""
        try:
            self.gate.take(answer)
        except BaseException:
            self._end()
            raise

    def complete(self) -> Concluded:
        """Carry out what is left of it. Raises Fenced and Stopped."""
        if self._result is None:
            self._attempt(self._carry_out)
        self._end()
        result, self._result = self._result, None  # its megabytes go as soon as they are handed in
        assert result is not None
        finish, following, values = conclude(
            self.task, self.host, self.position, result, self._began, self.bench, self.step
        )
        return Concluded(finish, following, values)

    def learn(self, concluded: Concluded, answer: Any) -> None:
        """Take in what the ledger says to the outcome. Raises Fenced."""
        verdict, sequence = answer
        if verdict in (b"fenced", b"late"):
            raise Fenced
        context = self.task.context
        context.learn(int(sequence))
        if concluded.values:
            context.remember(self.host, self._version + 1, concluded.values)
        for owner, _, _ in concluded.finish.given:
            context.forget(owner)

    # ------------------------------------------------------------------ its parts
    def _come_up(self) -> None:
        found = executor.begin_step(self.step, self.host, self._scope, self.task.context.templar, self._around)
        if isinstance(found, StepResult):
            self._result = found
            return
        self._begun = found
        if not self.gate.guarded:
            self._result = found.connect()

    def _carry_out(self) -> None:
        """Run the step; once more after a lost answer, where repeating it does no harm. A guard has asked already."""
        safe = self._prepared.repeatable
        for repeat in range(REPEATS + 1):
            if self._begun is not None:
                result = self._begun.complete()
                self._begun = None
            else:
                result = executor.run_step(self.step, self.host, self._scope, self.task.context.templar, self._around)
            if result.status != "lost" or not safe or self.gate.guarded or repeat == REPEATS:
                break
        self._result = result

    def _attempt(self, part: Callable[[], None]) -> None:
        try:
            part()
        except (Fenced, Stopped):
            self._end()
            raise
        except Exception as error:  # a defect of ours: it must end as this host's failure, not as a host that hangs
            log.exception("step %s on %s", self.step.name, self.host)
            message = f"unexpected {type(error).__name__} in opsrunner: the worker's log has the traceback"
            told = {"msg": message, "failed": True, "changed": False}
            self._result = StepResult("failed", told, full=told)

    def _end(self) -> None:
        self.task.context.stops.end(self.host, self.step.number)
        self._live.close()


def _reached(bench: Bench, task: Task, gate: Gate, step: Step, target: str, target_scope: Scope) -> Remote:
    return gate.fenced(bench.remote(task.context, task.play.number, step, target, target_scope), target_scope)


def _questions(bench: Bench, context: RunContext, step: Step) -> StepQuestions | None:
    return StepQuestions(bench.store, context.run_id, step.number) if context.plan.options.interactive else None
