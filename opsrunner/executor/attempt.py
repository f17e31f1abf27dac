"""One host × step while it is carried out."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from opsrunner import modules
from opsrunner.errors import RemoteCancelled, RemoteError, RemoteTimeout
from opsrunner.executor import asynchronous
from opsrunner.executor.facts import FACTS, FactVariables, without_facts
from opsrunner.executor.keywords import async_seconds, flag, number
from opsrunner.executor.results import (
    FAILURES,
    censored,
    failure,
    loop_result,
    remote_failure,
    status_of,
    unchanged,
    without_private,
)
from opsrunner.executor.surroundings import Additions, StepResult, Surroundings
from opsrunner.ledger.records import Mark, Result, Status, as_variable
from opsrunner.modules.arguments import validate
from opsrunner.modules.contract import INCLUDED, JOBS, Context, JobOrder, Module, ModuleFailure
from opsrunner.plan import inclusion
from opsrunner.plan.inclusion import NotForeseen
from opsrunner.plan.loops import items_of, position
from opsrunner.plan.model import Step
from opsrunner.remote import Become, Remote
from opsrunner.templating import Scope, Templar, TemplateFailure, UndefinedVariable, is_constant

#: What comes of a step to which the operator says no.
LEFT_OUT: Result = {"changed": False, "skipped": True, "skip_reason": "left out by the operator"}
#: Seconds between two looks for an operator's answer.
ANSWER_LOOK = 0.2


def run_step(step: Step, host: str, scope: Scope, templar: Templar, around: Surroundings) -> StepResult:
    """Carry out one step on one host. Raises only Fenced and Stopped."""
    attempt = _Attempt(step, host, scope, templar, around)
    try:
        result = LEFT_OUT if around.left_out else attempt.run()
        status = status_of(result)
    except FAILURES as error:
        result, status = failure(error), "failed"
    except RemoteError as error:
        result, status = remote_failure(error)
        result |= attempt.items_told(result)
    return attempt.conclude(result, status)


def reach(step: Step, host: str, scope: Scope, templar: Templar, around: Surroundings) -> tuple[Remote, Become | None]:
    """The host that the step's commands go to, and as whom they run. Raises InputError and ModuleFailure."""
    attempt = _Attempt(step, host, scope, templar, around)
    remote, target_scope = attempt.remote(scope)
    return remote, attempt.become(scope, target_scope)


class _Attempt:
    """The state of one host × step while it is carried out."""

    def __init__(self, step: Step, host: str, scope: Scope, templar: Templar, around: Surroundings) -> None:
        self.step = step
        self.host = host
        self.scope = scope
        self.templar = templar
        self.around = around
        self.module: Module = modules.get(step.module)
        # Until it is known better: what cannot be rendered must not be shown.
        self.no_log = bool(step.no_log)
        self.additions = Additions(around.inventory)
        self.remotes: dict[tuple[str, str], Remote] = {}
        #: The loop's items that are over, and how many there are.
        self.done: list[Result] = []
        #: The host that the last command went to, and that of each of those items.
        self.target = host
        self.targets: list[str] = []
        self.loop_length = 0
        #: Jobs that were begun.
        self.jobs = 0
        #: Questions that were asked.
        self.questions = 0

    # ------------------------------------------------------------------ shape of the step
    def run(self) -> Result:
        self.no_log = self.flag(self.step.no_log)
        if self.around.problem is not None:
            raise self.around.problem
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

    def items_told(self, result: Result) -> Result:
        """What a loop that ended in the middle adds to its result: what came of the items before."""
        if not self.loop_length:
            return {}
        where = f"item {len(self.done) + 1} of {self.loop_length}"
        return {"msg": f"{where}: {result['msg']}", "results": self.done}

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
        spec = self.module.SPEC
        step = self.step
        check = self.around.options.check if step.check_mode is None else self.flag(step.check_mode, scope)
        if check and spec.check_mode == "skip":
            return {"skipped": True, "changed": False, "msg": f"{step.module} does nothing in check mode"}
        seconds = async_seconds(step, scope, self.templar)
        poll = self.number("poll", step.poll, scope, asynchronous.POLL)
        if why := asynchronous.refusal(step.module, self.module, seconds, poll):
            raise ModuleFailure(why)
        arguments = self.arguments(scope)
        context = self.context(validate(step.module, spec, arguments), scope, check, patience=seconds if poll else 0)
        try:
            if seconds:
                result = asynchronous.carry_out(self.module, context, self.order(seconds), poll=poll)
            else:
                result = dict(self.module.run(context))
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
            environment=self.environment(scope),
            become=self.become(scope, target_scope),
            timeout=timeout or patience or around.default_timeout,
            check=check,
            diff=around.options.diff if step.diff is None else self.flag(step.diff, scope),
            verbosity=around.options.verbosity,
            stop=around.stop,
            on_output=None if self.no_log else around.on_output,
            sleep=self.sleep,
            ask=self.ask,
            monotonic=around.monotonic,
            add=self.additions.add,
            jobs=str(target_scope.get("ansible_async_dir") or JOBS),
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

    def become(self, scope: Scope, target_scope: Scope) -> Become | None:
        """The target's variables win over keywords, and keywords over the command line, as in Ansible."""
        step, render, options = self.step, self.templar.render, self.around.options

        def pick(variables: tuple[str, ...], keyword: Any, option: Any = None) -> Any:
            for name in variables:
                if name in target_scope:
                    return target_scope[name]
            rendered = render(keyword, scope)
            return option if rendered is None else rendered

        if not self.flag(pick(("ansible_become",), step.become, options.become), scope):
            return None
        method: Any = pick(("ansible_become_method",), step.become_method, options.become_method) or "sudo"
        if method not in ("sudo", "su", "doas"):
            raise ModuleFailure(f"become_method {method!r} is not supported; use sudo, su or doas")
        passwords = (f"ansible_{method}_pass", "ansible_become_pass", "ansible_become_password")
        password = pick(passwords, None, options.become_password)
        flags = pick((f"ansible_{method}_flags", "ansible_become_flags"), step.become_flags)
        return Become(
            method=method,
            user=str(
                pick((f"ansible_{method}_user", "ansible_become_user"), step.become_user, options.become_user) or "root"
            ),
            flags=str(flags) if flags else None,
            password=str(password) if password is not None else None,
        )

    def environment(self, scope: Scope) -> dict[str, str]:
        merged: dict[str, str] = {}
        for layer in self.step.environment:
            rendered = self.templar.render(layer, scope)
            for part in rendered if isinstance(rendered, (list, tuple)) else (rendered,):
                if not isinstance(part, Mapping):
                    raise ModuleFailure(f"environment must be a dictionary, not {type(part).__name__}")
                merged.update({str(name): str(value) for name, value in part.items()})
        return merged

    # ------------------------------------------------------------------ verdicts
    def judge(self, result: Result, scope: Scope) -> Result:
        """changed_when and failed_when, seen through the result itself."""
        step = self.step
        result.setdefault("changed", False)
        if result.get("skipped"):
            return result
        # rc alone makes a failure where the module did not say so, as in Ansible.
        if "failed" not in result and result.get("rc") not in (None, 0, "0", "None", ""):
            result["failed"] = True
        result.setdefault("failed", False)
        inner = self.with_result(scope, result)
        deciding = "changed"
        try:
            if step.changed_when is not None:
                result["changed"] = self.holds(step.changed_when, inner)
            deciding = "failed"
            if step.failed_when is not None:
                result["failed"] = result["failed_when_result"] = self.holds(step.failed_when, inner)
        except FAILURES as error:
            # What the host answered is told all the same.
            told = failure(error)["msg"]
            result |= {"failed": True, "msg": told, f"{deciding}_when_result": told}
        return result

    def with_result(self, scope: Scope, result: Result) -> Scope:
        extra = self.told_by(result)
        return scope.child(extra) if extra else scope

    def told_by(self, result: Result) -> dict[str, Any]:
        """What a result is in the variables of the step itself: that which it registers, and facts."""
        extra: dict[str, Any] = {}
        facts = result.get("ansible_facts")
        if isinstance(facts, dict):
            extra |= dict(FactVariables(facts)) if self.module.SPEC.gathers else facts
        if self.step.register:
            extra[self.step.register] = result
        return extra

    def holds(self, conditions: tuple[Any, ...], scope: Scope) -> bool:
        return all(self.templar.condition(condition, scope) for condition in conditions)

    def failing_condition(self, scope: Scope) -> Any:
        return next((one for one in self.step.when if not self.templar.condition(one, scope)), None)

    def skipped(self, condition: Any = None) -> Result:
        result: Result = {"changed": False, "skipped": True, "skip_reason": "Conditional result was False"}
        if condition is not None:
            result["false_condition"] = condition
        return result

    def flag(self, value: Any, scope: Scope | None = None) -> bool:
        """A keyword's yes or no, rendered when it is a template."""
        return flag(value, self.scope if scope is None else scope, self.templar)

    def number(self, keyword: str, value: Any, scope: Scope, default: float) -> float:
        """A keyword's number, rendered when it is a template; ``default`` where it is left out, also by ``omit``."""
        return number(keyword, value, scope, self.templar, default)

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

    # ------------------------------------------------------------------ the end
    def conclude(self, result: Result, status: Status) -> StepResult:
        """Marks, variables and handlers that follow from the result; censors it where asked."""
        step = self.step
        mark: Mark | None = None
        if status == "failed" and self.safe_flag(step.ignore_errors):
            mark = "ignored"
        if status == "unreachable" and self.safe_flag(step.ignore_unreachable):
            mark = "ignored"
        if status == "failed":
            result = self.without_additions(result)
        values, given = self.values(result, status)
        try:
            notify = self.notified() if status == "changed" else ()
        except TemplateFailure as error:
            return self.conclude(failure(error), "failed")
        try:
            brought = inclusion.entered(step, result) if step.inclusions is not None and status == "ok" else frozenset()
        except NotForeseen as error:
            return self.conclude({**result, **failure(error)}, "failed")
        full = without_private(result)
        gathers = self.module.SPEC.gathers
        shown = censored(result) if self.no_log else without_facts(full) if gathers else full
        full = {**full, "failed": bool(result.get("failed"))}
        name = self.name() if status == "failed" else None
        secret, additions = self.no_log or gathers, tuple(self.additions.made)
        return StepResult(
            status, shown, mark, values, step.register, given, notify, secret, full, brought, name, additions
        )

    def without_additions(self, result: Result) -> Result:
        """As in Ansible, what a step adds to the inventory counts where it has not failed, whoever says that it has."""
        made, self.additions.made = self.additions.made, []
        return unchanged(result) if made else result

    def name(self) -> str:
        """The step's name, as far as somebody wrote it."""
        name = self.step.name
        if self.step.role is not None and self.step.module != "include_role":
            name = name.partition(" : ")[2]  # without the role's
        if name.rpartition(".")[2] == self.step.module:
            return ""
        try:
            return str(self.templar.render(name, self.scope))
        except TemplateFailure:
            return name

    def notified(self) -> tuple[str, ...]:
        if not self.step.notify:
            return ()
        rendered = self.templar.render(list(self.step.notify), self.scope)
        return tuple(str(name) for part in rendered for name in (part if isinstance(part, list) else [part]))

    def safe_flag(self, value: Any) -> bool:
        try:
            return self.flag(value)
        except TemplateFailure:
            return False

    def values(self, result: Result, status: Status) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Variables that the result gives this host, and with ``delegate_facts`` those that it went to."""
        values: dict[str, Any] = {}
        given: dict[str, dict[str, Any]] = {}
        looped = self.step.loop is not None
        parts, targets = (self.done, self.targets) if looped else ([result], [self.target])
        delegated = self.step.delegate_to is not None and self.safe_flag(self.step.delegate_facts)
        for part, target in zip(parts, targets, strict=True):
            facts = None if part.get("failed") else part.get("ansible_facts")
            if isinstance(facts, dict):
                owner = target if delegated else self.host
                self.give(given.setdefault(target, {}) if delegated else values, owner, facts, part)
        if self.step.register and status not in ("lost", "cancelled"):
            values[self.step.register] = as_variable(result)
        return values, given

    def give(self, values: dict[str, Any], owner: str, facts: Mapping[str, Any], part: Result) -> None:
        """Add to the ``values`` of a host what one result says of it."""
        gathers = self.module.SPEC.gathers
        if not gathers:
            included = INCLUDED if self.step.module == "include_vars" else ""
            values |= {included + name: value for name, value in facts.items()}
        if gathers or part.get("_ansible_facts_cacheable"):
            values[FACTS] = {**values.get(FACTS, self.around.facts_of(owner)), **facts}
