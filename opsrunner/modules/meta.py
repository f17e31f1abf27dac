"""meta: steers the play; what follows for the host is decided in ``plan/steering.py``."""

from __future__ import annotations

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, Spec

#: What there is to do, and what is said when it was done.
ACTIONS = {
    "flush_handlers": "triggered running handlers",
    "end_host": "ending play for {host}",
    "end_batch": "ending batch",
    "end_play": "ending play",
    "end_role": "ending role for {host}",
    "clear_facts": "facts cleared",
    "reset_connection": "reset connection",
    "noop": "noop",
}

SPEC = Spec(
    summary="Steer the play: run handlers now, end it for a host, a batch or all",
    free_form="_raw_params",
    arguments={"_raw_params": Argument("str", f"what to do: {', '.join(ACTIONS)}", required=True)},
    local=True,
    reads_only=True,
    check_mode="run",
    examples="""
- meta: flush_handlers
- meta: end_host
  when: ansible_connection == 'local'
""",
)


def run(context: Context) -> Result:
    """Say what follows."""
    action = context.arguments["_raw_params"]
    if action == "reset_connection":
        context.remote.reset()
    return {"changed": False, "msg": ACTIONS[action].format(host=context.host)}
