"""ping: is the host there and does it run commands."""

from __future__ import annotations

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec

SPEC = Spec(
    summary="Connect to the host, run a command and answer pong",
    arguments={"data": Argument("str", "what to answer; 'crash' makes it fail", default="pong")},
    reads_only=True,
    check_mode="run",
    examples="- ping:\n",
)


def run(context: Context) -> Result:
    """Run a command that does nothing: reached, logged in, and a POSIX shell answers."""
    data = context.arguments["data"]
    if data == "crash":
        raise ModuleFailure("boom")
    completed = context.exec("printf ponged")
    if completed.rc != 0 or completed.stdout.strip() != b"ponged":
        said = (completed.stderr + completed.stdout).decode("utf-8", "replace").strip()
        raise ModuleFailure(f"the host's shell does not answer as it should: {said!r}", rc=completed.rc)
    return {"ping": data, "changed": False}
