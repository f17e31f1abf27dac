"""set_stats: figures that the run tells at its end."""

from __future__ import annotations

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec

SPEC = Spec(
    summary="Set figures that the run tells at its end",
    arguments={
        "data": Argument("raw", "a mapping of names to figures, texts, lists or mappings", default={}),
        "per_host": Argument("bool", "each host has its own", default=False),
        "aggregate": Argument("bool", "add to what was set before; else take its place", default=True),
    },
    local=True,
    reads_only=True,
    check_mode="run",
    examples="""
- set_stats:
    data:
      restarted: 1
      hosts: ["{{ inventory_hostname }}"]
- set_stats: {data: {free_mb: 120}, per_host: true}
""",
)


def run(context: Context) -> Result:
    """Hand the figures over; they are put together by whoever shows the run."""
    data = context.arguments["data"]
    if not isinstance(data, dict):
        raise ModuleFailure("The 'data' option needs to be a dictionary/hash")
    named = {context.render(name): value for name, value in data.items()}
    for name in named:
        if not (isinstance(name, str) and name.isidentifier() and name.isascii()):
            raise ModuleFailure(f"Invalid variable name {name!r}: use letters, digits and underscores, no digit first")
    habits = {name: context.arguments[name] for name in ("per_host", "aggregate")}
    return {"changed": False, "ansible_stats": {"data": named, **habits}}
