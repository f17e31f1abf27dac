"""set_fact: set variables of the host for the rest of the run."""

from __future__ import annotations

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec

SPEC = Spec(
    summary="Set variables of a host from expressions",
    any_argument=True,
    local=True,
    reads_only=True,
    check_mode="run",
    arguments={"cacheable": Argument("bool", "the variables join ansible_facts, too", default=False)},
    examples="""
- set_fact:
    release_dir: "/srv/app/{{ version }}"
""",
)


def run(context: Context) -> Result:
    """Hand the variables over as facts; names may be templates."""
    if not context.arguments.keys() - {"cacheable"}:
        raise ModuleFailure("No key/value pairs provided, at least one is required for this action to succeed")
    given = {name: value for name, value in context.arguments.items() if name != "cacheable"}
    facts = {str(context.render(name)): value for name, value in given.items()}
    for name in facts:
        if not (name.isidentifier() and name.isascii()):
            raise ModuleFailure(f"Invalid variable name {name!r}: use letters, digits and underscores, no digit first")
    return {
        "changed": False,
        "ansible_facts": facts,
        "_ansible_facts_cacheable": bool(context.arguments.get("cacheable")),
    }
