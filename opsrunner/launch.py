"""The text that is handed to a host's shell so that a command can be followed and ended.

A launched command first says who it is: ``NONCE i PID`` on stdout, PID being the leader of its
process group. What a login shell printed before that is noise and dropped. Behind sudo, su or doas
the outer process says ``NONCE o PID`` first, and the inner one repeats ``NONCE e`` on stderr, so
that what the become program said there can be told from what the command says. A guarded command
(:mod:`opsrunner.attempt`) says ``NONCE s PID`` as soon as it takes input, and ``NONCE i GROUP`` once
it knows who runs the command: itself, or the one that was first.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import ClassVar

from opsrunner.attempt import digest, guarded
from opsrunner.become import become_line, shell_line
from opsrunner.errors import InputError
from opsrunner.redacted import Redacted
from opsrunner.remote import NO_DIRECTORY_MESSAGE, NO_DIRECTORY_RC, Command

#: Linux takes no single argument of 128 KiB or more; a longer script travels through stdin.
LONGEST_ARGUMENT = 100_000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Launch(Redacted, frozen=True):
    """One command, ready to be sent."""

    HIDDEN: ClassVar = frozenset(("text", "words", "wrapped", "script", "stdin"))

    nonce: str
    #: Something is printed before the command starts; False for raw without become.
    marked: bool
    #: Where it is run by ``/bin/sh`` alone and reads nothing: the sh text that is run. Empty otherwise.
    text: str = ""
    #: The words of the one program that ``text`` is made of, quoted for a shell; empty otherwise.
    words: str = ""
    #: What runs it otherwise: words, quoted for a shell; of what is not ``marked``, any text.
    wrapped: str = ""
    #: A long script, which goes to stdin before the command's own.
    script: bytes = b""
    #: What the command itself reads.
    stdin: bytes = b""
    #: A program stands before the command that may ask for a password, and would take other input for one.
    asks: bool = False
    #: Its stdin is /dev/null, so nobody needs to tell it that no input comes: a packet less.
    no_input: bool = False

    @property
    def program(self) -> str:
        """The words, quoted for a shell, that run it and say who it is."""
        return self.wrapped or shell_line(f"echo {self.nonce} i $$\n{self.text}")

    @property
    def line(self) -> str:
        """For the login shell, or for ``/bin/sh -c``."""
        if not self.marked:
            return self.wrapped
        return f"exec {self.program}" + (" </dev/null" if self.no_input else "")

    @property
    def input(self) -> bytes:
        """All that is written to its stdin, but for a password."""
        return self.script + self.stdin

    @property
    def prompt(self) -> bytes:
        """What sudo asks for the password with."""
        return prompt_text(self.nonce).encode()


def prompt_text(nonce: str) -> str:
    """The prompt sudo is given: nothing that a host could say by chance."""
    return f"{nonce} p:"


def prepare(command: Command, nonce: str) -> Launch:
    """Build the line for ``command``; ``nonce`` must be new for each (letters and digits).

    Raises InputError for an environment variable whose name no shell can export, and for a NUL
    byte, which no command line can carry; ValueError for the name of an attempt that is none.
    """
    if "\0" in command.line:
        raise InputError("a command cannot hold a NUL byte")
    if command.raw and command.guard is not None:
        raise ValueError("raw text cannot be guarded: nothing is added to it")
    if command.raw and command.become is None:
        return Launch(nonce, marked=False, wrapped=command.line, stdin=command.stdin)
    text = command.line if command.raw else _body(command)
    script = b""
    if len(text.encode("utf-8", "surrogateescape")) + 4 * text.count("'") > LONGEST_ARGUMENT:
        # Two newlines, as one would be swallowed by a backslash at the end.
        script = f"{text}\n\n#{nonce}".encode("utf-8", "surrogateescape")
    no_input = not command.stdin and not script and (command.become is None or command.become.password is None)
    if no_input and command.become is None and command.guard is None:
        words = text.removeprefix("exec ") if command.program and text is command.line else ""
        return Launch(nonce, marked=True, text=text, words=words, no_input=True)
    inner, argument = _inner(command, text, script, nonce)
    if command.become is None:
        wrapped = shell_line(inner, argument)
    else:
        other = become_line(inner, command.become, prompt=prompt_text(nonce), argument=argument)
        outer = f"echo {nonce} o $$\nexec {other}"
        wrapped = shell_line(outer)
    asks = command.become is not None
    return Launch(nonce, marked=True, wrapped=wrapped, script=script, stdin=command.stdin, asks=asks, no_input=no_input)


# A script that was cut short on its way must not run at all: its end is looked for.
_READ_SCRIPT = (
    "opsrunner_script=$(head -c @SIZE@)\n"
    'case $opsrunner_script in *"#@NONCE@") eval "$opsrunner_script" ;; *) exit 126 ;; esac'
)


def _inner(command: Command, text: str, script: bytes, nonce: str) -> tuple[str, str | None]:
    """sh text that says who it is and runs ``text``, and the argument it takes for that, if any."""
    says_on_stderr = f"; echo {nonce} e >&2" if command.become else ""
    running = _READ_SCRIPT.replace("@SIZE@", str(len(script))).replace("@NONCE@", nonce) if script else text
    if command.guard is None:
        return f"echo {nonce} i $${says_on_stderr}\n{running}", None
    guard = guarded(
        command.guard,
        digest=digest(text.encode("utf-8", "surrogateescape"), command.stdin),
        size=len(script) + len(command.stdin),
        nonce=nonce,
        own_group=command.become is not None,
    )
    # The command is an argument, not quoted once more inside the guard: each level of quoting makes
    # three quotes of one. Its environment and directory are entered behind the guard, where they can
    # neither hurt it nor keep an answer from being found.
    return f'trap "" PIPE\necho {nonce} s $$ 2>/dev/null{says_on_stderr}\n{guard}', running


def _body(command: Command) -> str:
    lines = []
    if command.environment:
        lines.append(_exports(command.environment))
    if command.directory is not None:
        # CDPATH would let cd go elsewhere and say so on stdout; a leading - would be an option.
        directory = command.directory if not command.directory.startswith("-") else f"./{command.directory}"
        enter = f"CDPATH= cd {quote_path(directory)}"
        message = shlex.quote(f"{NO_DIRECTORY_MESSAGE} {command.directory}")
        lines.append(
            f"{enter} >/dev/null 2>&1 || "
            f"{{ printf '%s: %s\\n' {message} \"$({enter} 2>&1 >/dev/null)\" >&2; exit {NO_DIRECTORY_RC}; }}"
        )
    if command.executable:
        lines.append(f"exec {shlex.quote(command.executable)} -c {shlex.quote(command.line)}")
    else:
        lines.append(command.line)
    return "\n".join(lines)


def quote_path(path: str) -> str:
    """The path quoted, a leading ``~`` or ``~user`` left for the shell to resolve."""
    found = re.match(r"~[A-Za-z0-9._-]*(?=/|$)", path)
    if found is None:
        return shlex.quote(path)
    # The slash stays outside of the quotes: behind one, ~ is only a character.
    rest = path[found.end() + 1 :]
    return path[: found.end() + 1] + (shlex.quote(rest) if rest else "")


def _exports(environment: Mapping[str, str]) -> str:
    for name, value in environment.items():
        if not _NAME.fullmatch(name):
            raise InputError(
                f"environment: {name!r} is no name for a variable", remedy="letters, digits and _, no digit first"
            )
        if "\0" in str(value):
            raise InputError(f"environment: the value of {name} holds a NUL byte")
    return "export " + " ".join(f"{name}={shlex.quote(str(value))}" for name, value in environment.items())


#: What :func:`kill_line` prints: the word, and what became of the process groups.
KILL_FATES = {"ended": "ended by itself", "killed": "killed"}


def kill_line(groups: tuple[int, ...], *, grace: float) -> str:
    """POSIX sh that ends process groups: TERM, up to ``grace`` seconds, then KILL.

    It prints ``ended`` when there was nothing left to signal, ``killed``, or ``alive``. A zombie
    counts as gone: where nothing reaps orphans (a container without an init) it stays for ever.
    """
    return _killing(f"groups={shlex.quote(' '.join(map(str, groups)))}", grace)


def kill_children_line(parent: int, *, grace: float) -> str:
    """The same for the process groups that the children of a process lead (Linux).

    Where ``parent`` is gone, it prints nothing: nobody knows who its children were.
    """
    return _killing(f"groups=$(cat /proc/{parent}/task/{parent}/children) || exit 0", grace)


def _killing(groups: str, grace: float) -> str:
    return groups + _KILL.replace("@STEPS@", str(max(1, round(grace * 10))))


# `kill -TERM -- -N` fails in dash; -s does not. A server that gives no group of its own to a
# command is met by signalling the process itself. Whether something is left is read from /proc (or
# ps) as kill -0 takes a zombie for alive, and somebody else's process for gone; but kill -0 is what
# is asked most often, as a whole table is slow to read.
_KILL = """
hit() { done=1
  for g in $groups; do
    kill -s "$1" -- "-$g" 2>/dev/null && done=0 || { kill -s "$1" "$g" 2>/dev/null && done=0; }
  done; return $done; }
table() {
  if [ -r /proc/self/stat ]; then
    for f in /proc/[0-9]*/stat; do
      { read -r l < "$f"; } 2>/dev/null || continue
      p=${l%% *}; r=${l##*) }; set -- $r; echo "$p $3 $1"
    done
  else ps -A -o pid= -o pgid= -o stat= 2>/dev/null || ps -o pid,pgid,stat; fi; }
alive() {
  table | { while read -r p n s; do
    case $s in Z*|X*) continue;; esac
    for g in $groups; do if [ "$n" = "$g" ] || [ "$p" = "$g" ]; then exit 0; fi; done
  done; exit 1; }; }
gone() { i=0
  while :; do
    if ! hit 0 || [ $((i % 10)) = 0 ]; then alive || return 0; fi
    [ $i -ge "$1" ] && return 1
    i=$((i + 1)); sleep 0.1 2>/dev/null || { sleep 1; i=$((i + 9)); }
  done; }
alive || { echo ended; exit 0; }
hit TERM; hit CONT
gone @STEPS@ && { echo killed; exit 0; }
hit KILL
gone 20 && { echo killed; exit 0; }
echo alive
"""
