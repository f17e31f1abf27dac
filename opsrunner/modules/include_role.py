"""include_role: bring in a role, for the hosts that come to it."""

from __future__ import annotations

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, Spec

SPEC = Spec(
    summary="Bring in a role when its turn comes, each host for itself",
    arguments={
        "name": Argument("str", "the role", required=True),
        "tasks_from": Argument("str", "file in tasks/ to begin with", default="main"),
        "vars_from": Argument("str", "file in vars/", default="main"),
        "defaults_from": Argument("str", "file in defaults/", default="main"),
        "handlers_from": Argument("str", "file in handlers/", default="main"),
        "apply": Argument("dict", "keywords (tags, become, when …) that the role's tasks take over"),
        "public": Argument("bool", "whether the rest of the play sees the role's defaults and vars", default=False),
        "allow_duplicates": Argument("bool", "whether the role runs again where it ran before", default=True),
        "rolespec_validate": Argument("bool", "check the variables against the role's argument specs", default=True),
    },
    local=True,
    reads_only=True,
    check_mode="run",
    examples="""
- include_role:
    name: web
    tasks_from: reload
  vars:
    port: 8080
""",
)


def run(context: Context) -> Result:
    """Say which role it is for this host; the plan knows which steps those are."""
    given = {name: value for name, value in context.arguments.items() if value is not None}
    return {"changed": False, "include": context.arguments["name"], "include_args": given}
