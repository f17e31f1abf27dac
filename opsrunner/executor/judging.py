"""What a step's keywords say of its result: conditions, changed_when, failed_when."""

from __future__ import annotations

from typing import Any

from opsrunner.executor.facts import FactVariables
from opsrunner.executor.keywords import flag, number
from opsrunner.executor.results import FAILURES, failure
from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Module
from opsrunner.plan.model import Step
from opsrunner.templating import Scope, Templar


class Judging:
    """One step as one host sees it, and what it says of a result."""

    def __init__(self, step: Step, scope: Scope, templar: Templar, module: Module) -> None:
        self.step = step
        self.scope = scope
        self.templar = templar
        self.module = module

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
