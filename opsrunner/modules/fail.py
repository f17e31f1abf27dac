"""fail: stop here with a message."""

from __future__ import annotations

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, Spec

SPEC = Spec(
    summary="Fail with a message",
    arguments={"msg": Argument("raw", "the message", default="Failed as requested from task")},
    local=True,
    reads_only=True,
    check_mode="run",
    examples="- fail: msg='no disk left'\n  when: free_mb < 100\n",
)


def run(context: Context) -> Result:
    """Fail."""
    return {"failed": True, "changed": False, "msg": context.arguments["msg"]}
