"""command: run one program on the host; no shell reads its words."""

from __future__ import annotations

import functools
import shlex

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.posix import expanded_word, word
from opsrunner.modules.running import GUARD_ARGUMENTS, STDIN_ARGUMENTS, run_command

SPEC = Spec(
    summary="Run a program on the host, without a shell",
    free_form="_raw_params",
    arguments={
        "_raw_params": Argument("str", "the command, as the text behind the module's name"),
        "cmd": Argument("str", "the command, as an argument"),
        "argv": Argument("list", "the command as a list of words", elements="str"),
        "expand_argument_vars": Argument("bool", "replace ~ and $NAME in the words", default=True),
        **GUARD_ARGUMENTS,
        **STDIN_ARGUMENTS,
    },
    mutually_exclusive=(("_raw_params", "cmd", "argv"),),
    required_one_of=(("_raw_params", "cmd", "argv"),),
    sends_first=True,
    check_mode="full",
    asynchronous="job",
    refused={
        "executable": "command uses no shell; the shell module takes one",
        "warn": "Ansible removed it in version 2.14",
    },
    examples="""
- command: /usr/bin/make install creates=/usr/local/bin/tool
- command:
    argv: [touch, "/tmp/a name with blanks"]
- command: cat
  args:
    stdin: hello
""",
)


def run(context: Context) -> Result:
    """Run the words as they are; ~ and $NAME are replaced on the host unless told otherwise."""
    words = _words(context)
    return run_command(context, _line(tuple(words), bool(context.arguments["expand_argument_vars"])), words)


@functools.lru_cache(maxsize=256)
def _line(words: tuple[str, ...], expand: bool) -> str:
    """The words as sh reads them; most hosts are given the same ones."""
    quote = expanded_word if expand else word
    # exec, so that echo or test are the host's programs and not the shell's builtins.
    return "exec " + " ".join(quote(part) for part in words)


@functools.lru_cache(maxsize=256)
def _split(text: str) -> tuple[str, ...]:
    """The words of a text; most hosts are given the same one."""
    return tuple(shlex.split(text))


def _words(context: Context) -> list[str]:
    arguments = context.arguments
    if arguments["argv"] is not None:
        words = list(arguments["argv"])
    else:
        text = arguments["_raw_params"] if arguments["_raw_params"] is not None else arguments["cmd"]
        try:
            words = list(_split(text))
        except ValueError as error:
            raise ModuleFailure(f"cannot split the command into words: {error}", cmd=text) from None
    if not words:
        raise ModuleFailure("no command given", rc=256)
    return words
