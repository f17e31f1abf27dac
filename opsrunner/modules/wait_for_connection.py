"""wait_for_connection: until the host lets somebody log in and run a command."""

from __future__ import annotations

from opsrunner.errors import BecomeFailed, ConnectionLost, RemoteCancelled, RemoteTimeout, Unreachable
from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec

SPEC = Spec(
    summary="Wait until the host can be reached and runs commands",
    arguments={
        "connect_timeout": Argument(
            "int", "seconds that the command of one try may take; to connect see the ssh settings", default=5
        ),
        "delay": Argument("int", "seconds before the first try", default=0),
        "sleep": Argument("int", "seconds between tries", default=1),
        "timeout": Argument("int", "seconds until it is given up", default=600),
    },
    reads_only=True,
    check_mode="skip",
    asynchronous="refused",
    examples="""
- wait_for_connection:
    delay: 5
    timeout: 300
""",
)


def run(context: Context) -> Result:
    """Try until a command has run; whatever keeps it from that, but a cancellation, is waited out."""
    arguments = context.arguments
    start = context.monotonic()
    if arguments["delay"] > 0:
        context.sleep(arguments["delay"])
    while (reason := _reason(context)) is not None:
        elapsed = context.monotonic() - start
        if elapsed >= arguments["timeout"]:
            raise ModuleFailure(f"timed out waiting for ping module test: {reason}", elapsed=int(elapsed))
        context.sleep(max(0, arguments["sleep"]))
    return {"changed": False, "elapsed": int(context.monotonic() - start)}


def _reason(context: Context) -> str | None:
    """Why no command runs there now; None where one does."""
    try:
        completed = context.exec("printf ponged", timeout=max(1, context.arguments["connect_timeout"]))
    except RemoteCancelled:
        raise
    except (Unreachable, BecomeFailed, ConnectionLost, RemoteTimeout) as error:
        return error.what
    return None if completed.stdout.strip() == b"ponged" else "the host's shell does not answer as it should"
