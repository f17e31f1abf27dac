"""What a step's loop goes over: for the worker that runs it, and to see before the run which files it will name."""

from __future__ import annotations

from random import Random
from typing import Any

from opsrunner.plan.model import Loop
from opsrunner.templating import Scope, Templar, TemplateFailure


def items_of(loop: Loop, module: str, templar: Templar, scope: Scope, random: Random) -> list[Any]:
    """The items. Raises TemplateFailure."""
    if loop.kind != "loop":
        options: dict[str, Any] = {}
        if loop.kind == "first_found":
            options["folder"] = next((f"{word}s" for word in ("template", "var") if word in module), "files")
        elif loop.kind == "random_choice":
            options["random"] = random
        return templar.looked_up(loop.kind, loop.over, scope, **options)
    over = templar.render(loop.over, scope)
    if not isinstance(over, (list, tuple)):
        raise TemplateFailure(f"The `loop` value must resolve to a 'list', not {type(over).__name__!r}.")
    return list(over)
