"""group_by: puts the host into a group that is named by what is known of it."""

from __future__ import annotations

from opsrunner.inventory.additions import AddedMember
from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, Spec

SPEC = Spec(
    summary="Put the host into a group of the run's inventory, made where it is new",
    arguments={
        "key": Argument("str", "the group's name; blanks in it become dashes", required=True),
        "parents": Argument("list", "groups that it is put below", elements="str", default=["all"]),
    },
    local=True,
    reads_only=True,
    check_mode="run",
    examples="""
- group_by:
    key: os_{{ ansible_distribution }}
    parents: by_os
""",
)


def run(context: Context) -> Result:
    """Add the host; ``changed`` tells whether it was not in the group, or the group not below its parents."""
    group = context.arguments["key"].replace(" ", "-")
    parents = [name.replace(" ", "-") for name in context.arguments["parents"]]
    changed = context.add(AddedMember(context.host, group, tuple(parents)))
    return {"changed": changed, "add_group": group, "parent_groups": parents}
