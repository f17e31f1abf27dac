"""script: run a script of the submitting machine on the host."""

from __future__ import annotations

import io
import posixpath
import shlex

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.posix import word
from opsrunner.modules.running import GUARD_ARGUMENTS, Verdict, finish, guarded, streams

SPEC = Spec(
    summary="Send a local script to the host and run it there",
    free_form="_raw_params",
    arguments={
        "_raw_params": Argument("str", "path of the script and its arguments", bundled_from="files"),
        "cmd": Argument("str", "the same, as an argument", bundled_from="files"),
        "executable": Argument("str", "interpreter to run the script with"),
        **GUARD_ARGUMENTS,
    },
    mutually_exclusive=(("_raw_params", "cmd"),),
    required_one_of=(("_raw_params", "cmd"),),
    check_mode="full",
    asynchronous="refused",
    refused={"decrypt": "a vaulted script is opened when the run is submitted"},
    examples="""
- script: files/setup.sh --quiet
  args:
    creates: /etc/setup.done
- script: report.py
  args:
    executable: python3
""",
)

# The script comes by standard input into a private directory, in the first place from which
# programs may be run. $1 is its file name; TEXT and its arguments are put in below.
_RUN = r"""
place=
trap 'rm -rf "$place"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
umask 077
for parent in "${TMPDIR:-/tmp}" /tmp /var/tmp "${HOME:-/}"; do
    place=$(mktemp -d "$parent/.opsrunner.XXXXXX" 2>/dev/null) || {
        place=$parent/.opsrunner.$$
        mkdir -m 700 "$place" 2>/dev/null || { place=; continue; }
    }
    if : >"$place/$1" && chmod 700 "$place/$1" && [ -x "$place/$1" ]; then break; fi
    rm -rf "$place"
    place=
done
if [ -z "$place" ]; then echo "found no directory on the host to run a script from" >&2; exit 126; fi
cat >"$place/$1" || { echo "the script could not be written to ${place%/*}: it was not run" >&2; exit 126; }
"""


def script_words(text: str) -> tuple[str, str]:
    """The script's path, and the rest of the line as it was written. Raises ModuleFailure."""
    stream = io.StringIO(text.strip())
    lexer = shlex.shlex(stream, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        source = lexer.get_token()
    except ValueError as error:
        raise ModuleFailure(f"cannot find the script in {text!r}: {error}") from None
    if not source:
        raise ModuleFailure("no script given")
    return source, stream.read()


def run(context: Context) -> Result:
    """Send it by standard input, run it, and remove it: one round trip."""
    arguments = context.arguments
    text = arguments["_raw_params"] if arguments["_raw_params"] is not None else arguments["cmd"]
    source, rest = script_words(text)
    chdir = arguments["chdir"]
    if chdir and not chdir.startswith("/"):
        raise ModuleFailure(f"chdir {chdir} must be an absolute path for a Unix-aware remote node")
    data = context.files.read(source, folder="files")
    if context.check:
        return _predicted(context)
    name = posixpath.basename(source) or "script"
    inner = f'{arguments["executable"] or ""} "$0" {rest}'.strip()
    enter = f"cd {word(chdir)} && " if chdir else ""
    line = f'set -- {word(name)}\n{_RUN}{enter}/bin/sh -c {word(inner)} "$place/$1" </dev/null'
    completed = guarded(context, line, stdin=data, chdir="")
    if isinstance(completed, Verdict):
        return _skipped(completed)
    return finish({"changed": True, **streams(completed, strip=False)}, completed.rc)


def _predicted(context: Context) -> Result:
    verdict = guarded(context, "exit 0", chdir="")
    if isinstance(verdict, Verdict):
        return _skipped(verdict)
    if context.arguments["creates"] or context.arguments["removes"]:
        return {"changed": True}
    return {"changed": False, "skipped": True, "msg": "Check mode is not supported for this task."}


def _skipped(verdict: Verdict) -> Result:
    state = "exists" if verdict.kind == "creates" else "does not exist"
    msg = f"{verdict.detail} {state}, matching {verdict.kind} option"
    return {"changed": False, "skipped": True, "msg": msg}
