"""Values of a step's keywords, rendered where they are templates."""

from __future__ import annotations

import math
from typing import Any

from opsrunner.modules.contract import ModuleFailure
from opsrunner.plan.model import Step
from opsrunner.templating import OMIT, Scope, Templar


def flag(value: Any, scope: Scope, templar: Templar) -> bool:
    """The yes or no that a keyword or a variable says, rendered when it is a template."""
    if value is None or isinstance(value, bool):
        return bool(value)
    return truth(templar.render(value, scope))


def truth(rendered: Any) -> bool:
    """The yes or no that a rendered value says."""
    if isinstance(rendered, str):
        return rendered.strip().lower() in ("yes", "true", "on", "1", "y", "t")
    return bool(rendered)


def number(keyword: str, value: Any, scope: Scope, templar: Templar, default: float) -> float:
    """A keyword's number, rendered when it is a template; ``default`` where it is left out, also by ``omit``."""
    if value is None:
        return default
    rendered = templar.render(value, scope)
    if rendered is None or rendered is OMIT or rendered == "":
        return default
    try:
        found = float(rendered)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise ModuleFailure(f"{keyword} takes a number, not {rendered!r}")
    return found


def async_seconds(step: Step, scope: Scope, templar: Templar) -> int:
    """Seconds that the step may take as a job, 0 where it is none."""
    return max(0, int(number("async", step.async_val, scope, templar, 0)))
