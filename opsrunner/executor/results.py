"""From what a module gave, or raised, to the result and status of a step."""

from __future__ import annotations

from opsrunner.errors import BecomeFailed, ConnectionLost, InputError, RemoteCancelled, RemoteError, RemoteTimeout
from opsrunner.ledger.records import Result, Status
from opsrunner.modules.contract import ModuleFailure

#: What a result shows in place of everything else when the step says no_log.
CENSORED = "the output has been hidden due to the fact that 'no_log: true' was specified for this result"
#: Keys of a result that no_log leaves visible.
VISIBLE = ("changed", "failed", "skipped", "unreachable", "attempts")
#: What makes a step (or one item of its loop) failed without a word from the host.
FAILURES = (InputError, ModuleFailure, BecomeFailed)


def failure(error: Exception) -> Result:
    extra = error.extra if isinstance(error, ModuleFailure) else {}
    return {"msg": error.args[0] if error.args else str(error), "changed": False, **extra, "failed": True}


def remote_failure(error: RemoteError) -> tuple[Result, Status]:
    result: Result = {"msg": error.what + (f": {error.why}" if error.why else ""), "changed": False}
    for stream, data in (("stdout", error.stdout), ("stderr", error.stderr)):
        if data:
            result[stream] = data.decode("utf-8", errors="replace")
    if error.remedy:
        result["remedy"] = error.remedy
    if isinstance(error, RemoteCancelled):
        return result, "cancelled"
    if isinstance(error, RemoteTimeout):
        return {**result, "failed": True, "timedout": True}, "failed"
    if isinstance(error, ConnectionLost):
        return result, "lost"
    return {**result, "unreachable": True}, "unreachable"


def status_of(result: Result) -> Status:
    if result.get("unreachable"):
        return "unreachable"
    if result.get("failed"):
        return "failed"
    if result.get("skipped"):
        return "skipped"
    return "changed" if result.get("changed") else "ok"


def loop_result(results: list[Result]) -> Result:
    """The result of a loop as Ansible puts it together."""
    whole: Result = {"results": results, "changed": any(result.get("changed") for result in results)}
    whole["skipped"] = all(result.get("skipped") for result in results)
    if any(result.get("failed") for result in results):
        whole |= {"failed": True, "msg": "One or more items failed"}
    else:
        whole["msg"] = "All items skipped" if whole["skipped"] else "All items completed"
    return whole


def unchanged(result: Result) -> Result:
    """The result of a step that has changed nothing after all, nor has an item of its loop."""
    whole = {**result, "changed": False}
    if "results" in result:
        whole["results"] = [{**one, "changed": False} for one in result["results"]]
    return whole


def censored(result: Result) -> Result:
    """What ``no_log`` leaves of a result, and of each of a loop's results."""
    shown = {"censored": CENSORED, **{key: result[key] for key in VISIBLE if key in result}}
    if isinstance(result.get("results"), list):
        shown["results"] = [
            {"censored": CENSORED, "changed": bool(one.get("changed"))}
            for one in result["results"]
            if isinstance(one, dict)
        ]
    return shown


def without_private(result: Result) -> Result:
    return {key: value for key, value in result.items() if not key.startswith("_ansible_")}
