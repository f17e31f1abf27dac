"""raw: text for the login shell of the host, with nothing added; for hosts that have nothing."""

from __future__ import annotations

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, Spec
from opsrunner.modules.posix import word
from opsrunner.modules.running import finish, streams
from opsrunner.remote import Command

SPEC = Spec(
    summary="Send text to the host's login shell as it is",
    free_form="_raw_params",
    arguments={
        "_raw_params": Argument("str", "the text, behind the module's name", required=True),
        "executable": Argument("str", "shell that is to run the text"),
    },
    sends_first=True,
    check_mode="skip",
    asynchronous="refused",
    examples="""
- raw: show version
- raw: command -v python3 || opkg install python3
""",
)


def run(context: Context) -> Result:
    """Send it, and answer with what came back, untouched."""
    line = context.arguments["_raw_params"]
    if context.arguments["executable"]:
        line = f"{context.arguments['executable']} -c {word(line)}"
    command = Command(line, become=context.become, raw=True, timeout=context.timeout)
    completed = context.remote.exec(command, on_output=context.on_output, stop=context.stop)
    result: Result = {"changed": True, **streams(completed, strip=False)}
    if context.environment:
        result["warnings"] = ["raw module does not support the environment keyword"]
    return finish(result, completed.rc)
