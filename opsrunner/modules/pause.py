"""pause: wait before the run goes on."""

from __future__ import annotations

import datetime

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, Spec

SPEC = Spec(
    summary="Wait some seconds or minutes, once for the whole batch",
    arguments={
        "seconds": Argument("float", "how long, in seconds"),
        "minutes": Argument("float", "how long, in minutes"),
        "prompt": Argument("str", "text to show while waiting"),
        "echo": Argument("bool", "kept for Ansible's result; there is no keyboard to echo", default=True),
    },
    mutually_exclusive=(("minutes", "seconds"),),
    required_one_of=(("seconds", "minutes"),),
    required_because="it would wait for a key, and a worker has no keyboard; vars_prompt asks before the run",
    local=True,
    reads_only=True,
    once=True,
    check_mode="run",
    examples="- pause: seconds=30\n- pause:\n    minutes: 5\n    prompt: waiting for the cluster to settle\n",
)


def run(context: Context) -> Result:
    """Wait whole seconds, at least one; cancelling the run ends the wait."""
    arguments = context.arguments
    by_minutes = arguments["minutes"] is not None
    seconds = max(1, int(arguments["minutes"]) * 60 if by_minutes else int(arguments["seconds"]))
    if arguments["prompt"] and context.on_output:
        context.on_output("stdout", f"{arguments['prompt']}\n".encode())
    began = datetime.datetime.now(datetime.UTC)
    start = context.monotonic()
    context.sleep(seconds)
    passed = context.monotonic() - start
    shown = round(passed / 60.0, 2) if by_minutes else round(passed, 2)
    stdout = f"Paused for {shown} {'minutes' if by_minutes else 'seconds'}"
    return {
        "changed": False,
        "rc": 0,
        "stdout": stdout,
        "stdout_lines": [stdout],
        "stderr": "",
        "stderr_lines": [],
        "start": _stamp(began),
        "stop": _stamp(began + datetime.timedelta(seconds=passed)),
        "delta": int(passed),
        "echo": arguments["echo"],
        "user_input": "",
    }


def _stamp(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")
