"""assert: conditions that must hold for the play to go on."""

from __future__ import annotations

from typing import Any

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec

SPEC = Spec(
    summary="Fail unless every condition holds",
    arguments={
        "that": Argument("raw", "a condition or a list of them, as in when", required=True),
        "fail_msg": Argument("raw", "message when one does not hold", default="Assertion failed", aliases=("msg",)),
        "success_msg": Argument("raw", "message when all hold", default="All assertions passed"),
        "quiet": Argument("bool", "do not show what held", default=False),
    },
    local=True,
    reads_only=True,
    check_mode="run",
    unrendered=("that",),
    examples="""
- assert:
    that:
      - free_mb > 100
      - "'web' in group_names"
    fail_msg: not enough disk
""",
)


def run(context: Context) -> Result:
    """Check one condition after the other; the first that does not hold is told."""
    arguments = context.arguments
    messages = {key: _message(key, arguments[key]) for key in ("fail_msg", "success_msg")}
    for condition in _conditions(context):
        if not context.condition(condition):
            return {
                "failed": True,
                "changed": False,
                "assertion": condition,
                "evaluated_to": False,
                "msg": messages["fail_msg"],
            }
    return {"changed": False, "msg": messages["success_msg"]}


def _conditions(context: Context) -> list[Any]:
    that = context.arguments["that"]
    if isinstance(that, str) and that.strip().startswith("{{") and that.strip().endswith("}}"):
        # A template may give the list of conditions; anything else that it gives is one condition.
        rendered = context.render(that)
        if isinstance(rendered, list):
            return rendered
    return list(that) if isinstance(that, (list, tuple)) else [that]


def _message(key: str, value: Any) -> Any:
    if isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value)):
        return value
    raise ModuleFailure(f"{key}: a string or list of strings is required")
