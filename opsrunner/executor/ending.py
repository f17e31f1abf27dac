"""What follows from a step's result: marks, variables, handlers, and what of it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opsrunner.errors import RemoteError
from opsrunner.executor.facts import FACTS, without_facts
from opsrunner.executor.judging import Judging
from opsrunner.executor.results import FAILURES, censored, failure, remote_failure, unchanged, without_private
from opsrunner.executor.surroundings import Additions, StepResult, Surroundings
from opsrunner.ledger.records import Mark, Result, Status, as_variable
from opsrunner.modules.contract import INCLUDED, Module
from opsrunner.plan import inclusion
from opsrunner.plan.inclusion import NotForeseen
from opsrunner.plan.model import Step
from opsrunner.templating import Scope, Templar, TemplateFailure


class Ending(Judging):
    """One host × step, and all that its end depends on."""

    def __init__(
        self, step: Step, host: str, scope: Scope, templar: Templar, around: Surroundings, module: Module
    ) -> None:
        super().__init__(step, scope, templar, module)
        self.host = host
        self.around = around
        # Until it is known better: what cannot be rendered must not be shown.
        self.no_log = bool(step.no_log)
        self.additions = Additions(around.inventory)
        #: The loop's items that are over, and how many there are.
        self.done: list[Result] = []
        self.loop_length = 0
        #: The host that the last command went to, and that of each of those items.
        self.target = host
        self.targets: list[str] = []

    def told(self, error: Exception) -> StepResult:
        """What the step came to that ended so."""
        if isinstance(error, FAILURES) or not isinstance(error, RemoteError):
            return self.conclude(failure(error), "failed")
        result, status = remote_failure(error)
        return self.conclude(result | self.items_told(result), status)

    def items_told(self, result: Result) -> Result:
        """What a loop that ended in the middle adds to its result: what came of the items before."""
        if not self.loop_length:
            return {}
        where = f"item {len(self.done) + 1} of {self.loop_length}"
        return {"msg": f"{where}: {result['msg']}", "results": self.done}

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
