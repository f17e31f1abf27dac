"""What command, shell, script and raw share: when not to run, running, and the result."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
from typing import Any, Literal

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure
from opsrunner.modules.posix import PRELUDE, expanded_word, program, shown, word
from opsrunner.remote import Completed, OnOutput, Stream

#: Arguments that command, shell and script have in common.
GUARD_ARGUMENTS: dict[str, Argument] = {
    "creates": Argument("path", "do nothing when this path (or pattern) exists on the host"),
    "removes": Argument("path", "do nothing when this path (or pattern) does not exist on the host"),
    "chdir": Argument("path", "change into this directory of the host first"),
}
STDIN_ARGUMENTS: dict[str, Argument] = {
    "stdin": Argument("str", "text for the command's standard input"),
    "stdin_add_newline": Argument("bool", "end that text with a newline", default=True),
    "strip_empty_ends": Argument("bool", "strip empty lines off the end of the output", default=True),
}

# Runs before the command, in the same round trip. $1 chdir, $2 creates, $3 removes, $4 is the marker
# that tells a skip from output; each of the first three is empty when it was not given.
_GUARD = (
    PRELUDE
    + r"""
there() {
    if [ -e "$1" ] || [ -L "$1" ]; then return 0; fi
    case $1 in *[][*?]*) ;; *) return 1 ;; esac
    for found in $1; do
        if [ -e "$found" ] || [ -L "$found" ]; then return 0; fi
    done
    return 1
}
if [ -n "$1" ]; then
    said=$(CDPATH= cd -- "$1" 2>&1 >/dev/null) || { printf '%schdir:%s' "$4" "$said"; exit 0; }
    CDPATH= cd -- "$1" >/dev/null
fi
old_ifs=$IFS
IFS=
if [ -n "$2" ] && there "$2"; then printf '%screates:%s' "$4" "$2"; exit 0; fi
if [ -n "$3" ] && ! there "$3"; then printf '%sremoves:%s' "$4" "$3"; exit 0; fi
IFS=$old_ifs
unset old_ifs found
"""
)


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What the guard said instead of running the command; ``detail`` is a path or a reason."""

    kind: Literal["chdir", "creates", "removes"]
    detail: str


def guarded(
    context: Context, line: str, *, stdin: bytes = b"", chdir: str | None = None, always: bool = False
) -> Completed | Verdict:
    """Run ``line`` unless creates, removes or chdir say otherwise; its output is shown live.

    ``line`` goes to the host as it is when there is nothing to ask first (``always`` asks anyway:
    check mode wants the answer and no more).
    """
    arguments = context.arguments
    directory = arguments["chdir"] if chdir is None else chdir
    asked = [directory, arguments["creates"], arguments["removes"]]
    if not any(asked) and not always:
        return context.exec(line, stdin=stdin, live=True)
    # The marker is made of the line's own hash: no command prints the hash of the text that holds it.
    digest = hashlib.sha256("\0".join([line, *(part or "" for part in asked)]).encode("utf-8", "surrogateescape"))
    marker = f"opsrunner-{digest.hexdigest()}:"
    words = [expanded_word(part) if part else "''" for part in asked]
    text = program(_GUARD, [*words, word(marker)]) + line
    quiet = dataclasses.replace(context, on_output=_without(marker.encode(), context.on_output))
    completed = quiet.exec(text, stdin=stdin, live=True)
    said = completed.stdout.decode("utf-8", "surrogateescape")
    if not said.startswith(marker):
        return completed
    kind, _, detail = said[len(marker) :].partition(":")
    return Verdict(kind, shown(detail))  # type: ignore[arg-type]


def _without(marker: bytes, on_output: OnOutput | None) -> OnOutput | None:
    """Pass output on, but not the guard's marker, which is for us."""
    if on_output is None:
        return None
    pass_on: OnOutput = on_output
    held = bytearray()
    decided = False

    def receive(stream: Stream, data: bytes) -> None:
        nonlocal decided
        if decided or stream == "stderr":
            pass_on(stream, data)
            return
        held.extend(data)
        if marker.startswith(held) or held.startswith(marker):
            return
        decided = True
        pass_on(stream, bytes(held))

    return receive


def streams(completed: Completed, *, strip: bool) -> Result:
    """stdout and stderr as text and as lines, with their true sizes where they were cut."""
    result: Result = {}
    for name, data in (("stdout", completed.stdout), ("stderr", completed.stderr)):
        text = data.decode("utf-8", "replace")
        result[name] = text.rstrip("\r\n") if strip else text
        result[f"{name}_lines"] = result[name].splitlines()
    if completed.stdout_size > len(completed.stdout) or completed.stderr_size > len(completed.stderr):
        result.update(truncated=True, stdout_size=completed.stdout_size, stderr_size=completed.stderr_size)
    return result


def finish(result: Result, rc: int) -> Result:
    """Mark the result failed, in Ansible's words, when the status is not 0."""
    result["rc"] = rc
    if rc != 0:
        result.update(failed=True, msg="non-zero return code")
    return result


def timed(completed: Completed) -> Result:
    """start and end on the worker's clock (UTC), and delta, in Ansible's notation."""
    return {
        "start": _stamp(completed.started),
        "end": _stamp(completed.ended),
        "delta": duration(completed.ended - completed.started),
    }


def _stamp(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


def duration(delta: datetime.timedelta) -> str:
    """``H:MM:SS.ffffff``, as Python shows a timedelta, but never without its fraction."""
    text = str(delta)
    return text if "." in text else f"{text}.000000"


def run_command(context: Context, line: str, cmd: Any) -> Result:
    """command and shell: ask the guard, run, and answer with all the keys Ansible promises."""
    arguments = context.arguments
    result: Result = {"changed": False, "cmd": cmd, "rc": None, "start": None, "end": None, "delta": None, "msg": ""}
    result.update(stdout="", stderr="", stdout_lines=[], stderr_lines=[])
    if context.check:
        return _predicted(result, guarded(context, "exit 0", always=True), context)
    stdin = b""
    if arguments["stdin"] is not None:
        stdin = (arguments["stdin"] + ("\n" if arguments["stdin_add_newline"] else "")).encode()
    completed = guarded(context, line, stdin=stdin)
    if isinstance(completed, Verdict):
        return _not_run(result, completed, "Did")
    result.update(changed=True, **timed(completed), **streams(completed, strip=arguments["strip_empty_ends"]))
    return finish(result, completed.rc)


def _predicted(result: Result, verdict: Completed | Verdict, context: Context) -> Result:
    if isinstance(verdict, Verdict):
        return _not_run(result, verdict, "Would")
    result.update(rc=0, changed=True, msg="Command would have run if not in check mode")
    if context.arguments["creates"] is None and context.arguments["removes"] is None:
        result.update(skipped=True, changed=False)
    return result


def _not_run(result: Result, verdict: Verdict, verb: str) -> Result:
    if verdict.kind == "chdir":
        reason = "Unable to change directory before execution."
        kept = {key: value for key, value in result.items() if key != "msg"}
        raise ModuleFailure(reason, **{**kept, "stderr": verdict.detail})
    word_of_state = "exists" if verdict.kind == "creates" else "does not exist"
    text = f"skipped, since {verdict.detail} {word_of_state}"
    result.update(rc=0, stdout=text, stdout_lines=[text])
    result["msg"] = f"{verb} not run command since '{verdict.detail}' {word_of_state}"
    return result
