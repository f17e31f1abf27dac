"""What command, shell, script and raw share: when not to run, running, and the result."""

from __future__ import annotations

import datetime
import hashlib
from typing import Any, Literal

from msgspec import Struct, structs

from opsrunner.ledger.records import Result
from opsrunner.modules import jobs
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


class Verdict(Struct, frozen=True):
    """What the guard said instead of running the command; ``detail`` is a path or a reason."""

    kind: Literal["chdir", "creates", "removes"]
    detail: str


def guarded(context: Context, line: str, *, stdin: bytes = b"", chdir: str | None = None) -> Completed | Verdict:
    """Run ``line`` unless creates, removes or chdir say otherwise; its output is shown live."""
    text, marker = asking(context, line, chdir=chdir)
    return verdict(_run(context, text, stdin, marker), marker)


def asking(context: Context, line: str, *, chdir: str | None = None) -> tuple[str, str]:
    """sh text that runs ``line`` unless creates, removes or chdir say otherwise, and the marker by which it tells so.

    ``line`` goes to the host as it is, without a marker, when there is nothing to ask first.
    """
    arguments = context.arguments
    directory = arguments["chdir"] if chdir is None else chdir
    asked = [directory, arguments["creates"], arguments["removes"]]
    if not any(asked):
        return line, ""
    # The marker is made of the line's own hash: no command prints the hash of the text that holds it.
    digest = hashlib.sha256("\0".join([line, *(part or "" for part in asked)]).encode("utf-8", "surrogateescape"))
    marker = f"opsrunner-{digest.hexdigest()}:"
    words = [expanded_word(part) if part else "''" for part in asked]
    return program(_GUARD, [*words, word(marker)]) + line, marker


def verdict(completed: Completed, marker: str) -> Completed | Verdict:
    """What the guard said in place of the command, if it did."""
    if not marker or not completed.stdout.startswith(marker.encode()):
        return completed
    said = completed.stdout.decode("utf-8", "surrogateescape")
    kind, _, detail = said[len(marker) :].partition(":")
    return Verdict(kind, shown(detail))  # type: ignore[arg-type]


def _run(context: Context, text: str, stdin: bytes, marker: str, *, program: bool = False) -> Completed:
    if marker:
        context = structs.replace(context, on_output=_without(marker.encode(), context.on_output))
    return context.exec(text, stdin=stdin, live=True, program=program)


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
    return moment.isoformat(" ", "microseconds").removesuffix("+00:00")


def duration(delta: datetime.timedelta) -> str:
    """``H:MM:SS.ffffff``, as Python shows a timedelta, but never without its fraction."""
    text = str(delta)
    return text if "." in text else f"{text}.000000"


class Terms(Struct):
    """What a command's result depends on besides what came of the command; a job is kept together with them."""

    cmd: Any
    strip: bool
    marker: str = ""
    check: bool = False
    #: creates or removes decide whether it runs.
    conditional: bool = False


def run_command(context: Context, line: str, cmd: Any) -> Result:
    """command and shell: ask the guard, run, and answer with all the keys Ansible promises.

    ``line`` is ``exec`` and the words of one program.
    """
    arguments = context.arguments
    conditional = arguments["creates"] is not None or arguments["removes"] is not None
    text, marker = asking(context, "exit 0" if context.check else line)
    terms = Terms(cmd, arguments["strip_empty_ends"], marker, context.check, conditional)
    stdin = b""
    if arguments["stdin"] is not None:
        stdin = (arguments["stdin"] + ("\n" if arguments["stdin_add_newline"] else "")).encode()
    if context.job is not None:
        return jobs.begin(context, context.job, text, stdin, structs.asdict(terms))
    return concluded(terms, _run(context, text, stdin, marker, program=text is line))


def concluded(terms: Terms, completed: Completed) -> Result:
    """The result of a command of which that came. Raises ModuleFailure where its directory was not there."""
    result: Result = {"changed": False, "cmd": terms.cmd, "rc": None, "start": None, "end": None, "delta": None}
    result.update(msg="", stdout="", stderr="", stdout_lines=[], stderr_lines=[])
    said = verdict(completed, terms.marker)
    if isinstance(said, Verdict):
        return _not_run(result, said, "Would" if terms.check else "Did")
    if terms.check:
        result.update(rc=0, changed=True, msg="Command would have run if not in check mode")
        if not terms.conditional:
            result.update(skipped=True, changed=False)
        return result
    result.update(changed=True, **timed(completed), **streams(completed, strip=terms.strip))
    return finish(result, completed.rc)


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
