"""Small programs in POSIX sh: how values get in, and how facts get out.

Values go in as positional parameters, each quoted; data goes in by standard input. Facts come out
as pairs of NUL-terminated fields, so that a path may hold anything a file system allows.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from opsrunner.modules.contract import Context, ModuleFailure
from opsrunner.remote import Completed

#: ``fact NAME VALUE`` tells one fact; ``give_up TEXT`` tells why the module fails, and ends.
PRELUDE = r"""
fact() { printf '%s\0%s\0' "$1" "$2"; }
give_up() { fact failed "$1"; exit 0; }
has() { command -v "$1" >/dev/null 2>&1; }
"""

_VARIABLE = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_HOME = re.compile(r"~[A-Za-z0-9._-]*(?=/|$)")
#: Set by every shell for itself, and so no part of the environment that a path may refer to.
_SHELL_ONLY = frozenset(("IFS", "OPTIND", "PPID", "PS1", "PS2", "PS4"))


def word(text: str) -> str:
    """One word of sh that means exactly ``text``."""
    return shlex.quote(text)


def expanded_word(text: str) -> str:
    """One word of sh for ``text`` with ``~``, ``~user``, ``$NAME`` and ``${NAME}`` replaced on the host.

    A variable that is not set stays as it is written, and nothing else is special: no command runs,
    no blank splits, no wildcard matches.
    """
    parts: list[str] = []
    home = _HOME.match(text)
    position = 0
    if home:
        # Unquoted, with an unquoted slash behind it, or the shell would not take it for a home.
        position = home.end()
        parts.append(home.group())
        if text[position : position + 1] == "/":
            parts.append("/")
            position += 1
    for match in _VARIABLE.finditer(text, position):
        name = match.group(1) or match.group(2)
        if name in _SHELL_ONLY:
            continue
        parts.append(_quoted(text[position : match.start()]))
        written = match.group().replace("$", "\\$").replace("}", "\\}")
        parts.append(f'"${{{name}-{written}}}"')
        position = match.end()
    parts.append(_quoted(text[position:]))
    return "".join(parts) or "''"


def _quoted(text: str) -> str:
    return shlex.quote(text) if text else ""


def program(body: str, words: Sequence[str] = ()) -> str:
    """sh text that runs ``body`` with ``words`` (already quoted) as its positional parameters."""
    return f"set -- {' '.join(words)}\n{body}"


def facts(context: Context, body: str, words: Sequence[str] = (), *, stdin: bytes = b"") -> dict[str, str]:
    """Run ``body`` behind the prelude and return the facts it told.

    Raises ModuleFailure when it gave up, or ended with a status other than 0.
    """
    completed = context.exec(program(PRELUDE + body, words), stdin=stdin)
    return _told(completed, completed.stdout)


def facts_and_content(
    context: Context, body: str, words: Sequence[str], *, stdin: bytes = b""
) -> tuple[dict[str, str], bytes | None]:
    """As :func:`facts`, with the bytes that ``content`` sent behind the facts.

    They are None where it sent none, or more than is kept of a command's output.
    """
    completed = context.exec(program(PRELUDE + _CONTENT + body, words), stdin=stdin)
    head, mark, content = completed.stdout.partition(_CONTENT_MARK)
    told = _told(completed, head + b"\0\0" if mark else head)
    return told, content if mark and completed.stdout_size == len(completed.stdout) else None


# begin_content: what is written from here on is no fact any more.
# content PATH BYTES: sends so many bytes of a file at most, behind all facts.
_CONTENT = r"""
begin_content() { fact content ''; printf 'bytes\0'; }
content() { begin_content; exec head -c "$2" -- "$1"; }
"""
# No fact has that name, and no value holds a NUL.
_CONTENT_MARK = b"\0\0bytes\0"


def _told(completed: Completed, stdout: bytes) -> dict[str, str]:
    told = parse_facts(stdout)
    if "failed" in told:
        reason = told.pop("failed")
        raise ModuleFailure(reason, **{key: value for key, value in told.items() if key in _FAILURE_KEYS})
    if completed.rc != 0:
        said = completed.stderr.decode(errors="replace").strip()
        raise ModuleFailure(said or f"ended with status {completed.rc}", rc=completed.rc, stderr=said)
    return told


#: Facts told before giving up that belong to the failed result.
_FAILURE_KEYS = frozenset(("path", "dest", "stdout", "stderr", "exit_status"))


def parse_facts(data: bytes) -> dict[str, str]:
    """``name NUL value NUL …`` as a dict; bytes that are no UTF-8 survive as surrogates."""
    fields = data.split(b"\0")[:-1]
    texts = [field.decode("utf-8", "surrogateescape") for field in fields]
    return dict(zip(texts[::2], texts[1::2], strict=False))


def shown(text: str) -> str:
    """Text fit for a result: bytes that were no UTF-8 become replacement characters."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
