"""What a step's loop goes over: for the worker, and to see before the run which files it will name."""

from __future__ import annotations

from random import Random
from typing import Any

from opsrunner.plan.codec import plain
from opsrunner.plan.model import Loop
from opsrunner.playbook.model import Loop as WrittenLoop
from opsrunner.templating import Scope, Templar, TemplateFailure


def loop_of(written: WrittenLoop) -> Loop:
    """The loop of a step, of what stands in the playbook."""
    return Loop(
        kind=written.kind,
        over=plain(written.over.value),
        variable=written.variable,
        index_variable=written.index_variable,
        label=written.label.value if written.label else None,
        pause=written.pause.value if written.pause else 0,
        extended=written.extended.value if written.extended else False,
        extended_allitems=written.extended_allitems.value if written.extended_allitems else True,
        break_when=written.break_when.value if written.break_when else (),
    )


def first_found_folder(module: str) -> str:
    """Where with_first_found of a module looks."""
    return next((f"{word}s" for word in ("template", "var") if word in module), "files")


def items_of(loop: Loop, module: str, templar: Templar, scope: Scope, random: Random) -> list[Any]:
    """The items. Raises TemplateFailure."""
    if loop.kind != "loop":
        options: dict[str, Any] = {}
        if loop.kind == "first_found":
            options["folder"] = first_found_folder(module)
        elif loop.kind == "random_choice":
            options["random"] = random
        return templar.looked_up(loop.kind, loop.over, scope, **options)
    over = templar.render(loop.over, scope)
    if not isinstance(over, (list, tuple)):
        raise TemplateFailure(f"The `loop` value must resolve to a 'list', not {type(over).__name__!r}.")
    return list(over)


def position(items: list[Any], index: int, *, with_all: bool) -> dict[str, Any]:
    """The variable ``ansible_loop`` of the item at ``index``."""
    last = len(items) - 1
    found: dict[str, Any] = {
        "index": index + 1,
        "index0": index,
        "first": index == 0,
        "last": index == last,
        "length": len(items),
        "revindex": len(items) - index,
        "revindex0": last - index,
    }
    if with_all:
        found["allitems"] = items
    if index < last:
        found["nextitem"] = items[index + 1]
    if index:
        found["previtem"] = items[index - 1]
    return found
