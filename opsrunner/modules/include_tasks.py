"""include_tasks: bring in a file of tasks, for the hosts that come to it."""

from __future__ import annotations

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, Spec

SPEC = Spec(
    summary="Bring in a file of tasks when its turn comes, each host for itself",
    arguments={
        "file": Argument("str", "the file, relative to the one that names it; also written without file="),
        "apply": Argument("dict", "keywords (tags, become, when …) that the tasks of the file take over"),
    },
    required_one_of=(("file",),),
    local=True,
    reads_only=True,
    check_mode="run",
    examples="""
- include_tasks: extra.yml
  when: inventory_hostname in groups.web
""",
)


def run(context: Context) -> Result:
    """Say which file it is for this host; the plan knows which steps those are."""
    return {"changed": False, "include": context.arguments["file"], "include_args": {}}
