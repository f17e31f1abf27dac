"""Which of the tasks that an include may bring in a host enters, by what the include came to on it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from opsrunner.plan.model import Inclusion, Step

#: Arguments of include_role that tell one part of a role from another.
PARTS = ("tasks_from", "vars_from", "defaults_from", "handlers_from")
_MAIN = "main"


class NotForeseen(Exception):
    """The host names tasks that are not in the plan; its text is what Ansible would say, and why it is so here."""


def name_of(arguments: Mapping[str, Any]) -> str:
    """What tells one choice at an include from another: the file, or the role with the parts that are not main."""
    if arguments.get("file") is not None:
        return str(arguments["file"])
    parts = [f"{key}={arguments[key]}" for key in PARTS if arguments.get(key) not in (None, _MAIN)]
    return " ".join([str(arguments["name"]), *parts])


def entered(step: Step, result: Mapping[str, Any]) -> frozenset[int]:
    """The blocks that a host brings in by that result of the step. Raises NotForeseen."""
    left = list(step.inclusions or ())
    found = []
    for one in _results(step, result):
        inclusion = next((known for known in left if _is_chosen(step, known, one)), None)
        if inclusion is None:
            raise NotForeseen(_unforeseen(step, one))
        # A list may hold an item twice, and then its tasks run twice.
        left.remove(inclusion)
        found.append(inclusion.block)
    return frozenset(found)


def _results(step: Step, result: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    results = result.get("results", ()) if step.loop else (result,)
    return (one for one in results if not one.get("skipped") and not one.get("failed"))


def _is_chosen(step: Step, inclusion: Inclusion, result: Mapping[str, Any]) -> bool:
    if inclusion.name != _said(result):
        return False
    if step.loop is None:
        return True
    index = result.get(step.loop.index_variable) if step.loop.index_variable else None
    same_item = bool(inclusion.item == result.get(step.loop.variable))
    return same_item and inclusion.index == index and inclusion.position in (None, result.get("ansible_loop"))


def _said(result: Mapping[str, Any]) -> str:
    return name_of(result.get("include_args") or {"file": result.get("include")})


def _unforeseen(step: Step, result: Mapping[str, Any]) -> str:
    name = _said(result)
    if any(known.name == name for known in step.inclusions or ()):
        return "the items of an include's loop must be known when the run is submitted: this one was not"
    if step.module == "include_role":
        return f"the role '{name}' was not found among those that came with the run"
    return f"Could not find or access '{name}' among the tasks that came with the run"
