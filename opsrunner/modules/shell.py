"""shell: run text in a shell on the host."""

from __future__ import annotations

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.posix import word
from opsrunner.modules.running import GUARD_ARGUMENTS, STDIN_ARGUMENTS, run_command

SPEC = Spec(
    summary="Run text in a shell on the host (pipes, redirections, variables)",
    free_form="_raw_params",
    arguments={
        "_raw_params": Argument("str", "the text, behind the module's name"),
        "cmd": Argument("str", "the text, as an argument"),
        "executable": Argument("path", "absolute path of the shell that runs it (default /bin/sh)"),
        **GUARD_ARGUMENTS,
        **STDIN_ARGUMENTS,
    },
    mutually_exclusive=(("_raw_params", "cmd"),),
    required_one_of=(("_raw_params", "cmd"),),
    sends_first=True,
    check_mode="full",
    asynchronous="job",
    refused={
        "argv": "a shell takes text; the command module takes a list of words",
        "expand_argument_vars": "the shell itself expands variables",
        "warn": "Ansible removed it in version 2.14",
    },
    examples="""
- shell: grep -c error /var/log/app.log || true
- shell: |
    set -o pipefail
    dump | gzip > /backup/dump.gz
  args:
    executable: /bin/bash
    creates: /backup/dump.gz
""",
)


def run(context: Context) -> Result:
    """Hand the text to the shell in a process of its own."""
    arguments = context.arguments
    text = arguments["_raw_params"] if arguments["_raw_params"] is not None else arguments["cmd"]
    if not text.strip():
        raise ModuleFailure("no command given", rc=256)
    # A shell of its own, so that what we ask first (creates, chdir) leaves no trace in it, and so
    # that a shell that is no POSIX shell never sees our questions.
    return run_command(context, f"exec {word(arguments['executable'] or '/bin/sh')} -c {word(text)}", text)
