"""pause: wait before the run goes on."""

from __future__ import annotations

import datetime

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, Spec

SPEC = Spec(
    summary="Wait some seconds or minutes, or until the operator goes on, once for the whole batch",
    arguments={
        "seconds": Argument("float", "how long, in seconds"),
        "minutes": Argument("float", "how long, in minutes"),
        "prompt": Argument("str", "what to ask, or to show while waiting; the answer is user_input of the result"),
        "echo": Argument("bool", "show what is typed", default=True),
    },
    mutually_exclusive=(("minutes", "seconds"),),
    local=True,
    reads_only=True,
    once=True,
    check_mode="run",
    examples="- pause: seconds=30\n- pause:\n    prompt: Restart the other half? Type yes\n  register: answer\n",
)
#: What is asked where the playbook says nothing.
GO_ON = "Press enter to continue, Ctrl+C to interrupt"
NOBODY = "Not waiting for response to prompt as stdin is not interactive"


def run(context: Context) -> Result:
    """Wait whole seconds, at least one, or for an answer; cancelling the run ends the wait."""
    arguments = context.arguments
    began = datetime.datetime.now(datetime.UTC)
    start = context.monotonic()
    warnings: list[str] = []
    typed: str | None = ""
    if arguments["minutes"] is None and arguments["seconds"] is None:
        typed = context.ask(f"{arguments['prompt'] or GO_ON}:", arguments["echo"])
        warnings = [NOBODY] if typed is None else []
    else:
        _wait(context)
    passed = context.monotonic() - start
    by_seconds = arguments["seconds"] is not None
    shown = round(passed, 2) if by_seconds else round(passed / 60.0, 2)
    stdout = f"Paused for {shown} {'seconds' if by_seconds else 'minutes'}"
    result = _result(stdout, began, passed)
    result |= {"echo": arguments["echo"], "user_input": typed or ""}
    if typed and not arguments["echo"]:
        result["_ansible_no_log"] = True  # who hides what is typed does not want to read it in the output
    return {**result, "warnings": warnings} if warnings else result


def _wait(context: Context) -> None:
    arguments = context.arguments
    if arguments["prompt"] and context.on_output:
        context.on_output("stdout", f"{arguments['prompt']}\n".encode())
    context.sleep(max(1, int(arguments["seconds"] if arguments["minutes"] is None else int(arguments["minutes"]) * 60)))


def _result(stdout: str, began: datetime.datetime, passed: float) -> Result:
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
    }


def _stamp(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")
