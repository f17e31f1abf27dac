"""Put and get a file over ``exec``: so they work as whoever a step becomes.

A file is written beside its target and renamed over it, after its size has been compared: a
connection that breaks off looks to ``cat`` like the end of the file.
"""

from __future__ import annotations

import errno
import os
import posixpath
import re
from collections.abc import Callable

from opsrunner.errors import RemoteError
from opsrunner.launch import quote_path
from opsrunner.remote import Become, Command, Completed

#: Exit codes of the scripts below and the errors they stand for.
_ERRORS = {
    81: (errno.ENOENT, "No such file or directory"),
    82: (errno.EACCES, "Permission denied"),
    83: (errno.EISDIR, "Is a directory"),
}
_CUT_SHORT = 84
#: get keeps everything: no cap on what is captured.
_NO_LIMIT = 1 << 60

_PUT = """
d=@DIRECTORY@; p=@PATH@; t=@TEMPORARY@
[ -d "$p" ] && exit 83
if [ ! -d "$d" ]; then @BLOCKED@; exit 81; fi
[ -w "$d" ] && [ -x "$d" ] || exit 82
trap 'rm -f -- "$t"' EXIT; trap 'exit 1' HUP INT TERM
umask 077; set -C
cat > "$t" || exit 1
[ "$(wc -c < "$t")" -eq @SIZE@ ] || exit 84
chmod @MODE@ "$t" && mv -f -- "$t" "$p"
"""

_GET = """
p=@PATH@; d=@DIRECTORY@
[ -d "$p" ] && exit 83
if [ ! -e "$p" ]; then @BLOCKED@; exit 81; fi
[ -r "$p" ] || exit 82
exec cat < "$p"
"""

# What lies behind a directory that may not be searched looks missing: find the nearest one that is seen.
_BLOCKED = (
    'while [ "$d" != / ] && [ "$d" != . ] && [ ! -d "$d" ]; do d=$(dirname -- "$d"); done; [ -x "$d" ] || exit 82'
)


def put(
    run: Callable[[Command], Completed],
    host: str,
    data: bytes,
    path: str,
    *,
    nonce: str,
    mode: int = 0o600,
    become: Become | None = None,
    timeout: float | None = None,
) -> None:
    """Create or replace ``path`` with ``data``, by ``run``; never readable to more than ``mode`` allows.

    Raises FileNotFoundError, PermissionError or IsADirectoryError as the host says, another OSError
    with the host's words (disk full), and RemoteError as ``run`` does.
    """
    # Cut, so that a name of the greatest length still has a sibling.
    temporary_name = f".{posixpath.basename(path)[:32]}.{nonce}"
    script = _fill(_PUT, path, temporary_name=temporary_name, SIZE=str(len(data)), MODE=f"{mode:o}")
    done = run(Command(script, stdin=data, become=become, timeout=timeout))
    if done.rc == _CUT_SHORT:
        raise RemoteError(f"not all of {path} arrived", host=host, remedy="nothing was replaced; try again")
    _check(done, path)


def get(
    run: Callable[[Command], Completed],
    path: str,
    *,
    become: Become | None = None,
    timeout: float | None = None,
) -> bytes:
    """The whole content of ``path``, by ``run``; errors as :func:`put`."""
    done = run(Command(_fill(_GET, path), become=become, timeout=timeout, output_limit=_NO_LIMIT))
    _check(done, path)
    return done.stdout


def _fill(script: str, path: str, *, temporary_name: str = "", **values: str) -> str:
    """The script with its @WORDS@ filled in, in one pass: a path may hold such a word itself."""
    anchored = path if path.startswith(("/", "~")) else f"./{path}"
    directory = posixpath.dirname(anchored) or "/"
    filled = {
        "PATH": quote_path(anchored),
        "DIRECTORY": quote_path(directory),
        "TEMPORARY": quote_path(posixpath.join(directory, temporary_name)),
        "BLOCKED": _BLOCKED,
        **values,
    }
    return re.sub(r"@([A-Z]+)@", lambda found: filled[found[1]], script)


def _check(done: Completed, path: str) -> None:
    if done.rc == 0:
        return
    if done.rc in _ERRORS:
        number, words = _ERRORS[done.rc]
        raise OSError(number, words, path)
    said = done.stderr.decode(errors="replace").strip() or os.strerror(errno.EIO)
    raise OSError(errno.EIO, said, path)
