"""debug: show a message or a variable."""

from __future__ import annotations

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec

SPEC = Spec(
    summary="Show a message or the value of an expression",
    arguments={
        "msg": Argument("raw", "what to show", default="Hello world!"),
        "var": Argument("raw", "a variable or expression whose value is shown; no braces"),
        "verbosity": Argument("int", "show it only with this many -v", default=0),
    },
    mutually_exclusive=(("msg", "var"),),
    local=True,
    reads_only=True,
    check_mode="run",
    unrendered=("var",),
    examples="""
- debug: msg="{{ inventory_hostname }} is up"
- debug:
    var: result.stdout_lines
    verbosity: 1
""",
)


def run(context: Context) -> Result:
    """Answer with ``msg``, or with a key named as ``var`` is written."""
    arguments = context.arguments
    if arguments["verbosity"] > context.verbosity:
        return {"changed": False, "skipped": True, "skipped_reason": "Verbosity threshold not met."}
    expression = arguments["var"]
    if expression is None:
        return {"changed": False, "msg": arguments["msg"]}
    if not isinstance(expression, str):
        raise ModuleFailure(f"var takes the text of an expression, not {type(expression).__name__}")
    if "{{" in expression:
        # Braces are a habit from elsewhere: what they render to is the name to look up.
        expression = str(context.render(expression))
    value, undefined = context.shown(expression)
    result: Result = {"changed": False, expression: value, "_ansible_verbose_always": True}
    warnings = [f"Encountered 1 template error.\n{error}" for error in undefined]
    return {**result, "warnings": warnings} if warnings else result
