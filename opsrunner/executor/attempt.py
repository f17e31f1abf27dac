"""One host × step while it is carried out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import Any

from opsrunner import modules
from opsrunner.errors import (
    RemoteCancelled,
    RemoteError,
    RemoteTimeout,
)
from opsrunner.executor.facts import FACTS, FactVariables, without_facts
from opsrunner.executor.results import (
    FAILURES,
    censored,
    failure,
    loop_result,
    remote_failure,
    status_of,
    without_private,
)
from opsrunner.executor.surroundings import StepResult, Surroundings
from opsrunner.ledger.records import Mark, Result, Status
from opsrunner.modules.arguments import validate
from opsrunner.modules.contract import INCLUDED, Context, Module, ModuleFailure
from opsrunner.plan import inclusion
from opsrunner.plan.inclusion import NotForeseen
from opsrunner.plan.loops import items_of, position
from opsrunner.plan.model import Step
from opsrunner.remote import Become, Remote
from opsrunner.templating import OMIT, Scope, Templar, TemplateFailure, UndefinedVariable


def run_step(step: Step, host: str, scope: Scope, templar: Templar, around: Surroundings) -> StepResult:
    """Carry out one step on one host. Raises only Fenced and Stopped."""
    attempt = _Attempt(step, host, scope, templar, around)
    try:
        result = attempt.run()
        status = status_of(result)
    except FAILURES as error:
        result, status = failure(error), "failed"
    except RemoteError as error:
        result, status = remote_failure(error)
        result |= attempt.items_told(result)
    return attempt.conclude(result, status)


def flag(value: Any, scope: Scope, templar: Templar) -> bool:
    """The yes or no that a keyword or a variable says, rendered when it is a template."""
    if value is None or isinstance(value, bool):
        return bool(value)
    rendered = templar.render(value, scope)
    if isinstance(rendered, str):
        return rendered.strip().lower() in ("yes", "true", "on", "1", "y", "t")
    return bool(rendered)


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
        self.remotes: dict[tuple[str, str], Remote] = {}
        #: The loop's items that are over, and how many there are.
        self.done: list[Result] = []
        self.loop_length = 0

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
        for index, item in enumerate(items):
            if index and pause:
                self.sleep(pause)
            extra: dict[str, Any] = {loop.variable: item, "ansible_loop_var": loop.variable}
            if loop.index_variable:
                extra |= {loop.index_variable: index, "ansible_index_var": loop.index_variable}
            if extended:
                extra["ansible_loop"] = position(items, index, with_all=with_all)
            result = self.run_loop_item(extra)
            self.done.append(result)
            if loop.break_when and self.holds(loop.break_when, self.registered(self.scope.child(extra), result)):
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

    def run_loop_item(self, extra: dict[str, Any]) -> Result:
        loop = self.step.loop
        assert loop is not None
        scope = self.scope.child(extra)
        try:
            result = self.run_item(scope)
        except FAILURES as error:
            result = failure(error)
        # What loop_control says is seen with the result, as Ansible registers it for that.
        seen = self.registered(scope, result)
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
        attempts = max(1, retries + 1)
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
        result["attempts"] = attempts - 1 if retries else attempts
        result["failed"] = True
        return result

    def run_module(self, scope: Scope) -> Result:
        spec = self.module.SPEC
        step = self.step
        check = self.around.options.check if step.check_mode is None else self.flag(step.check_mode, scope)
        if check and spec.check_mode == "skip":
            return {"skipped": True, "changed": False, "msg": f"{step.module} does nothing in check mode"}
        arguments = self.arguments(scope)
        context = self.context(validate(step.module, spec, arguments), scope, check)
        try:
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

    def arguments(self, scope: Scope) -> dict[str, Any]:
        if self.step.literal:
            return dict(self.step.arguments)
        unrendered = self.module.SPEC.unrendered
        given = {key: value for key, value in self.step.arguments.items() if key not in unrendered}
        rendered = dict(self.templar.render(given, scope))
        rendered.update({key: self.step.arguments[key] for key in unrendered if key in self.step.arguments})
        return rendered

    def context(self, arguments: dict[str, Any], scope: Scope, check: bool) -> Context:
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
            environment=self.environment(scope),
            become=self.become(scope, target_scope),
            timeout=timeout or around.default_timeout,
            check=check,
            diff=around.options.diff if step.diff is None else self.flag(step.diff, scope),
            verbosity=around.options.verbosity,
            stop=around.stop,
            on_output=None if self.no_log else around.on_output,
            sleep=self.sleep,
            monotonic=around.monotonic,
        )

    # ------------------------------------------------------------------ where and as whom
    def remote(self, scope: Scope) -> tuple[Remote, Scope]:
        """The host that the command goes to, and the scope its connection variables come from."""
        delegate = self.templar.render(self.step.delegate_to, scope)
        target = str(delegate) if delegate else self.host
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
        if step.changed_when is not None:
            result["changed"] = self.holds(step.changed_when, inner)
        if step.failed_when is not None:
            result["failed"] = result["failed_when_result"] = self.holds(step.failed_when, inner)
        return result

    def registered(self, scope: Scope, result: Result) -> Scope:
        return scope.child({self.step.register: result}) if self.step.register else scope

    def with_result(self, scope: Scope, result: Result) -> Scope:
        extra: dict[str, Any] = {}
        facts = result.get("ansible_facts")
        if isinstance(facts, dict):
            extra |= dict(FactVariables(facts)) if self.module.SPEC.gathers else facts
        if self.step.register:
            extra[self.step.register] = result
        return scope.child(extra) if extra else scope

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
        return flag(value, scope or self.scope, self.templar)

    def number(self, keyword: str, value: Any, scope: Scope, default: float) -> float:
        """A keyword's number, rendered when it is a template; ``default`` where it is left out, also by ``omit``."""
        rendered = self.templar.render(value, scope)
        if rendered is None or rendered is OMIT or rendered == "":
            return default
        try:
            number = float(rendered)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise ModuleFailure(f"{keyword} takes a number, not {rendered!r}")
        return number

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
        values = self.values(result, status)
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
        return StepResult(
            status, shown, mark, values, step.register, notify, self.no_log or gathers, full, brought, name
        )

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
        rendered = self.templar.render(list(self.step.notify), self.scope)
        return tuple(str(name) for part in rendered for name in (part if isinstance(part, list) else [part]))

    def safe_flag(self, value: Any) -> bool:
        try:
            return self.flag(value)
        except TemplateFailure:
            return False

    def values(self, result: Result, status: Status) -> dict[str, Any]:
        values: dict[str, Any] = {}
        gathered: dict[str, Any] = {}
        parts = result.get("results") if self.step.loop is not None else [result]
        for part in parts or ():
            facts = part.get("ansible_facts") if isinstance(part, dict) and not part.get("failed") else None
            included = INCLUDED if self.step.module == "include_vars" else ""
            if isinstance(facts, dict) and self.module.SPEC.gathers:
                gathered |= facts
            elif isinstance(facts, dict):
                values |= {included + name: value for name, value in facts.items()}
                gathered |= facts if part.get("_ansible_facts_cacheable") else {}
        if gathered:
            values[FACTS] = {**self.around.facts, **gathered}
        if self.step.register and status not in ("lost", "cancelled"):
            values[self.step.register] = {**without_private(result), "failed": bool(result.get("failed"))}
        return values
