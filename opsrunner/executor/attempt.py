"""One host × step while it is carried out."""

from __future__ import annotations

from random import Random
from typing import Any

from msgspec import Struct

from opsrunner.errors import RemoteCancelled, RemoteError, RemoteTimeout
from opsrunner.executor import asynchronous
from opsrunner.executor.ending import Ending
from opsrunner.executor.identity import become_of, environment_of
from opsrunner.executor.keywords import async_seconds
from opsrunner.executor.prepared import Prepared
from opsrunner.executor.results import (
    FAILURES,
    failure,
    loop_result,
    remote_failure,
    status_of,
)
from opsrunner.executor.surroundings import StepResult, Surroundings
from opsrunner.ledger.records import Result
from opsrunner.modules.arguments import validate
from opsrunner.modules.contract import JOBS, Context, JobOrder, ModuleFailure
from opsrunner.plan.loops import items_of, position
from opsrunner.plan.model import Step
from opsrunner.remote import Become, Remote
from opsrunner.templating import Scope, Templar, TemplateFailure, UndefinedVariable, is_constant

#: What comes of a step to which the operator says no.
LEFT_OUT: Result = {"changed": False, "skipped": True, "skip_reason": "left out by the operator"}
#: What a step may end with in the middle: that is its result.
_ENDS = (*FAILURES, RemoteError)
#: Seconds between two looks for an operator's answer.
ANSWER_LOOK = 0.2


def run_step(step: Step, host: str, scope: Scope, templar: Templar, around: Surroundings) -> StepResult:
    """Carry out one step on one host. Raises only Fenced and Stopped."""
    attempt = _Attempt(step, host, scope, templar, around)
    try:
        result = LEFT_OUT if around.left_out else attempt.run()
    except _ENDS as error:
        return attempt.told(error)
    return attempt.conclude(result, status_of(result))


def begin_step(step: Step, host: str, scope: Scope, templar: Templar, around: Surroundings) -> Begun | StepResult:
    """Carry out a step that :class:`Prepared` says sends something first up to there; or to its end, without that."""
    attempt = _Attempt(step, host, scope, templar, around)
    try:
        begun = LEFT_OUT if around.left_out else attempt.begin()
    except _ENDS as error:
        return attempt.told(error)
    return Begun(attempt, begun) if isinstance(begun, _Work) else attempt.conclude(begun, status_of(begun))


class Begun:
    """One host × step of which only that is left which the host is to do."""

    __slots__ = ("_attempt", "_work")

    def __init__(self, attempt: _Attempt, work: _Work) -> None:
        self._attempt = attempt
        self._work = work

    def connect(self) -> StepResult | None:
        """Make sure that the host can be reached; what the step came to where it cannot."""
        try:
            self._work.context.remote.connect()
        except RemoteError as error:
            return self._attempt.told(error)
        return None

    def complete(self) -> StepResult:
        """Let the host do it. Raises only Fenced and Stopped."""
        attempt = self._attempt
        try:
            result = attempt.judge(attempt.work(self._work), attempt.scope)
        except _ENDS as error:
            return attempt.told(error)
        return attempt.conclude(result, status_of(result))


class _Work(Struct):
    """What a module is to do for one item: all of it is rendered."""

    context: Context
    #: As a job: for how many seconds at most (0: it is none), and how often it is looked at.
    seconds: int
    poll: float


def reach(step: Step, host: str, scope: Scope, templar: Templar, around: Surroundings) -> tuple[Remote, Become | None]:
    """The host that the step's commands go to, and as whom they run. Raises InputError and ModuleFailure."""
    attempt = _Attempt(step, host, scope, templar, around)
    remote, target_scope = attempt.remote(scope)
    return remote, become_of(step, scope, target_scope, templar, around.options)


class _Attempt(Ending):
    """The state of one host × step while it is carried out."""

    def __init__(self, step: Step, host: str, scope: Scope, templar: Templar, around: Surroundings) -> None:
        self.prepared = around.prepared or Prepared(step, around.options)
        super().__init__(step, host, scope, templar, around, self.prepared.module)
        self.remotes: dict[tuple[str, str], Remote] = {}
        #: Jobs that were begun.
        self.jobs = 0
        #: Questions that were asked.
        self.questions = 0

    # ------------------------------------------------------------------ shape of the step
    def prepare(self) -> None:
        known = self.prepared.no_log
        self.no_log = self.flag(self.step.no_log) if known is None else known
        if self.around.problem is not None:
            raise self.around.problem

    def begin(self) -> _Work | Result:
        """What the module is to do, or what the step came to without it."""
        self.prepare()
        if not self.holds(self.step.when, self.scope):
            return self.skipped(self.failing_condition(self.scope))
        begun = self.begin_module(self.scope)
        return begun if isinstance(begun, _Work) else self.judge(begun, self.scope)

    def run(self) -> Result:
        self.prepare()
        if self.step.loop is None:
            result = self.run_item(self.scope)
        else:
            result = self.run_loop()
        return result

    def run_loop(self) -> Result:
        loop = self.step.loop
        assert loop is not None
        try:
            items = self.items()
        except UndefinedVariable:
            # As in Ansible: a condition that is false without the items spares their rendering.
            if self.skipped_without_items():
                return self.skipped(self.failing_condition(self.scope))
            raise
        if not items:
            return {"changed": False, "skipped": True, "skipped_reason": "No items in the list", "results": []}
        pause = self.number("loop_control's pause", loop.pause, self.scope, 0.0)
        extended, with_all = self.flag(loop.extended), self.flag(loop.extended_allitems)
        self.loop_length = len(items)
        #: What the items so far registered, and the facts they set.
        seen: dict[str, Any] = {}
        for index, item in enumerate(items):
            if index and pause:
                self.sleep(pause)
            extra: dict[str, Any] = {loop.variable: item, "ansible_loop_var": loop.variable}
            if loop.index_variable:
                extra |= {loop.index_variable: index, "ansible_index_var": loop.index_variable}
            if extended:
                extra["ansible_loop"] = position(items, index, with_all=with_all)
            scope = self.scope.child({**seen, **extra})
            result = self.run_loop_item(extra, scope)
            self.done.append(result)
            self.targets.append(self.target)
            seen |= self.told_by(result)
            if loop.break_when and self.holds(loop.break_when, scope.child(seen)):
                break
        whole = loop_result(self.done)
        if loop.variable in self.scope:
            whole["warnings"] = [f"The loop variable {loop.variable!r} is already in use: name another with loop_var."]
        return whole

    def run_loop_item(self, extra: dict[str, Any], scope: Scope) -> Result:
        loop = self.step.loop
        assert loop is not None
        try:
            result = self.run_item(scope)
        except FAILURES as error:
            result = failure(error)
        # What loop_control says is seen with the result, as Ansible registers it for that.
        seen = scope.child({self.step.register: result}) if self.step.register else scope
        result |= extra
        if loop.label is not None:
            try:
                result["_ansible_item_label"] = self.templar.render(loop.label, seen)
            except UndefinedVariable as error:
                result |= {"failed": True, "msg": f"Failed to template loop_control.label: {error.message}"}
        if result.get("failed") and self.flag(self.step.ignore_errors, scope):
            result["_ansible_ignored"] = True
        return result

    def items(self) -> list[Any]:
        loop = self.step.loop
        assert loop is not None
        # A repeated or resumed step chooses as it did before.
        seed = f"{self.scope.get('opsrunner_run_id')}.{self.step.number}.{self.host}"
        return items_of(loop, self.step.module, self.templar, self.scope, Random(seed))

    def skipped_without_items(self) -> bool:
        try:
            return not self.holds(self.step.when, self.scope)
        except TemplateFailure:
            return False

    # ------------------------------------------------------------------ one item
    def run_item(self, scope: Scope) -> Result:
        if not self.holds(self.step.when, scope):
            return self.skipped(self.failing_condition(scope))
        # What the step itself defines is looked up anew for every item.
        if self.step.until or self.step.retries is not None:
            return self.run_until(scope)
        return self.judge(self.run_module(scope), scope)

    def run_until(self, scope: Scope) -> Result:
        retries = int(self.number("retries", self.step.retries, scope, 3))
        delay = max(0.0, self.number("delay", self.step.delay, scope, 5))
        if retries <= 0:
            return self.judge(self.run_module(scope), scope)
        attempts = retries + 1
        result: Result = {}
        for attempt in range(1, attempts + 1):
            result = self.judge(self.run_module(scope), scope)
            result["attempts"] = attempt
            inner = self.with_result(scope, result)
            if self.step.until:
                if self.holds(self.step.until, inner):
                    return result
            elif not result.get("failed"):
                return result
            if attempt < attempts:
                self.sleep(delay)
        result["attempts"] = attempts - 1
        result["failed"] = True
        return result

    def run_module(self, scope: Scope) -> Result:
        begun = self.begin_module(scope)
        return self.work(begun) if isinstance(begun, _Work) else begun

    def begin_module(self, scope: Scope) -> _Work | Result:
        """What the module is to do, or its result where it does nothing."""
        spec = self.module.SPEC
        step = self.step
        prepared = self.prepared
        check = self.flag(step.check_mode, scope) if prepared.check is None else prepared.check
        if check and spec.check_mode == "skip":
            return {"skipped": True, "changed": False, "msg": f"{step.module} does nothing in check mode"}
        seconds = async_seconds(step, scope, self.templar)
        poll = self.number("poll", step.poll, scope, asynchronous.POLL)
        if why := asynchronous.refusal(step.module, self.module, seconds, poll):
            raise ModuleFailure(why)
        arguments = prepared.arguments
        if arguments is None:
            arguments = validate(step.module, spec, self.arguments(scope))
        context = self.context(arguments, scope, check, patience=seconds if poll else 0)
        return _Work(context, seconds, poll)

    def work(self, work: _Work) -> Result:
        """Have the module do it."""
        try:
            if work.seconds:
                order = self.order(work.seconds)
                result = asynchronous.carry_out(self.module, work.context, order, poll=work.poll)
            else:
                result = dict(self.module.run(work.context))
            # A module that read what lay encrypted says itself that nobody is to see it.
            self.no_log = bool(result.pop("_ansible_no_log", False)) or self.no_log
            return result
        except ModuleFailure as error:
            return failure(error)
        except RemoteTimeout as error:
            if isinstance(error, RemoteCancelled):
                raise
            return remote_failure(error)[0]

    def order(self, seconds: int) -> JobOrder:
        """The step's next job."""
        self.jobs += 1
        return JobOrder(asynchronous.job_name(self.around.attempt(), self.jobs - 1), seconds)

    def arguments(self, scope: Scope) -> dict[str, Any]:
        if self.step.literal or all(map(is_constant, self.step.arguments.values())):
            return dict(self.step.arguments)
        unrendered = self.module.SPEC.unrendered
        given = {key: value for key, value in self.step.arguments.items() if key not in unrendered}
        rendered = dict(self.templar.render(given, scope))
        rendered.update({key: self.step.arguments[key] for key in unrendered if key in self.step.arguments})
        return rendered

    def context(self, arguments: dict[str, Any], scope: Scope, check: bool, *, patience: float = 0) -> Context:
        """``patience``: seconds that the step may take where ``timeout`` says nothing, 0 for the setting's."""
        step, around, templar = self.step, self.around, self.templar
        remote, target_scope = self.remote(scope)
        timeout = self.number("timeout", step.timeout, scope, 0)
        become, jobs = self.found_out(scope, target_scope)
        diff = self.prepared.diff
        return Context(
            host=self.host,
            arguments=arguments,
            remote=remote,
            files=around.files,
            render=lambda value: templar.render(value, scope),
            render_text=lambda text, **rules: templar.render_text(text, scope, **rules),
            condition=lambda value: templar.condition(value, scope),
            evaluate=lambda expression: templar.evaluate(expression, scope),
            shown=lambda expression: templar.shown(expression, scope),
            environment=environment_of(step, scope, templar),
            become=become,
            timeout=timeout or patience or around.default_timeout,
            check=check,
            diff=self.flag(step.diff, scope) if diff is None else diff,
            verbosity=around.options.verbosity,
            stop=around.stop,
            on_output=None if self.no_log else around.on_output,
            sleep=self.sleep,
            ask=self.ask,
            monotonic=around.monotonic,
            add=self.additions.add,
            jobs=jobs,
        )

    # ------------------------------------------------------------------ where and as whom
    def remote(self, scope: Scope) -> tuple[Remote, Scope]:
        """The host that the command goes to, and the scope its connection variables come from."""
        delegate = self.templar.render(self.step.delegate_to, scope)
        target = str(delegate) if delegate else self.host
        self.target = target
        target_scope = self.around.scope_of(target) if target != self.host else scope
        connection = str(self.templar.render(self.step.connection, scope))
        known = self.remotes.get((target, connection))
        if known is None:
            known = self.remotes[target, connection] = self.around.reach(self.step, target, target_scope)
        return known, target_scope

    def found_out(self, scope: Scope, target_scope: Scope) -> tuple[Become | None, str]:
        """As whom the step's commands run on the host that they go to, and where its jobs are."""
        lasting, keywords = self.around.lasting, self.prepared.become
        shared = lasting is not None and keywords is not None and scope is target_scope is self.scope
        found: tuple[Become | None, str] | None = lasting.get(keywords) if lasting and shared else None
        if found is None:
            as_whom = become_of(self.step, scope, target_scope, self.templar, self.around.options)
            found = as_whom, str(target_scope.get("ansible_async_dir") or JOBS)
            if lasting is not None and shared:
                lasting[keywords] = found
        return found

    def ask(self, text: str, echo: bool) -> str | None:
        """What the operator answers; None where nobody can be asked."""
        asked = self.around.questions
        if asked is None:
            return None
        self.questions += 1
        answer = asked.answer(self.questions)  # an earlier try of the step may have asked
        if answer is None:
            asked.put(self.questions, text, echo=echo)
        while answer is None:
            self.sleep(ANSWER_LOOK)
            answer = asked.answer(self.questions)
        return answer

    def sleep(self, seconds: float) -> None:
        if self.around.stop.wait(max(0.0, seconds)):
            raise RemoteCancelled("cancelled while waiting", host=self.host, fate="nothing was running")
