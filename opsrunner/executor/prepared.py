"""What of a step is the same for every host, worked out once."""

from __future__ import annotations

from typing import Any

from opsrunner import modules
from opsrunner.executor.keywords import truth
from opsrunner.modules.arguments import validate
from opsrunner.modules.contract import Module, ModuleFailure
from opsrunner.plan.model import Options, Step
from opsrunner.templating import is_constant


class Prepared:
    """A step as a worker carries it out on many hosts. What is None has to be rendered for each of them."""

    __slots__ = ("arguments", "become", "check", "diff", "module", "no_log", "once", "repeatable", "sends_first")

    def __init__(self, step: Step, options: Options) -> None:
        self.module: Module = modules.get(step.module)
        #: It may be run again where nobody knows what came of it.
        self.repeatable = modules.repeatable(step.module, step.rerun)
        #: One host of a batch does it for all.
        self.once = self.module.SPEC.once
        #: The first that comes of it, beyond what is rendered for it, is that its host is sent something.
        self.sends_first = self.module.SPEC.sends_first and not (
            step.loop is not None or step.until or step.retries is not None or step.async_val is not None
        )
        self.no_log = _flag(step.no_log)
        self.check = options.check if step.check_mode is None else _flag(step.check_mode)
        self.diff = options.diff if step.diff is None else _flag(step.diff)
        self.arguments = _arguments(step, self.module)
        keywords = (step.become, step.become_user, step.become_method, step.become_flags)
        #: The keywords by which it becomes somebody.
        self.become = ("become", *keywords) if all(map(is_constant, keywords)) else None


def _flag(value: Any) -> bool | None:
    return truth(value) if is_constant(value) else None


def _arguments(step: Step, module: Module) -> dict[str, Any] | None:
    """The arguments as the module is given them, where they hold no template."""
    if not (step.literal or all(map(is_constant, step.arguments.values()))):
        return None
    try:
        found = validate(step.module, module.SPEC, step.arguments)
    except ModuleFailure:
        return None  # each host is told
    # Hosts share them: there must be nothing in them that could be changed.
    return found if all(isinstance(value, str) or is_constant(value) for value in found.values()) else None
