"""fetch: a file of the host, kept on the node of the worker."""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.posix import PRELUDE, expanded_word, facts_and_content, program, shown, word
from opsrunner.modules.sums import SUM, sha1

SPEC = Spec(
    summary="Fetch a file of the host to the node of the worker that serves it",
    arguments={
        "src": Argument("path", "the file of the host", required=True),
        "dest": Argument(
            "path", "folder on the node, below the playbook's; in it HOST/PATH/OF/THE/FILE", required=True
        ),
        "flat": Argument("bool", "dest is the file itself, or with a slash at its end the folder", default=False),
        "fail_on_missing": Argument("bool", "fail where the file is not there", default=True),
        "validate_checksum": Argument("bool", "fail where something else arrived than was there", default=True),
    },
    reads_only=True,
    asynchronous="refused",
    examples="""
- fetch: src=/var/log/app.log dest=logs
- fetch:
    src: /etc/app/id.pub
    dest: "keys/{{ inventory_hostname }}.pub"
    flat: true
""",
)

#: Bytes of a file that come along with the look at it; a larger one is fetched in pieces of that size.
_PIECE = 1024 * 1024

# $1 path, $2 bytes up to which the content comes along. A file that grows meanwhile is taken as long as it is now.
_LOOK = (
    SUM
    + r"""
fact path "$1"
if [ -d "$1" ]; then fact directory yes; exit 0; fi
if [ ! -e "$1" ]; then
    case $(LC_ALL=C ls -d -- "$1" 2>&1) in *"ermission denied"*) give_up "File is not readable: $1" ;; esac
    fact missing yes
    exit 0
fi
[ -f "$1" ] || give_up "$1 is no regular file"
[ -r "$1" ] || give_up "File is not readable: $1"
size=$(($(wc -c <"$1")))
fact size "$size"
if [ "$size" -le "$2" ]; then content "$1" "$2"; fi
fact sum "$(head -c "$size" -- "$1" | sum_of 1 /dev/stdin)"
"""
)


def run(context: Context) -> Result:
    """Look at the file, of a small one with its content; fetch it where the node has another one."""
    told, data = facts_and_content(context, _LOOK, [expanded_word(context.arguments["src"]), str(_PIECE)])
    source = shown(told["path"])
    if "missing" in told:
        return _left_out(context, "the remote file does not exist", source)
    if "directory" in told:
        return _left_out(context, "remote file is a directory, fetch cannot work on directories")
    dest = _dest(context, source)
    remote = sha1(data) if data is not None else told["sum"] or None
    local = _checksums(dest)
    if local and local[0] == remote:
        return {"changed": False, "md5sum": local[1], "file": source, "dest": str(dest), "checksum": local[0]}
    pieces = iter([data]) if data is not None else _pieces(context, told)
    return _kept(context, dest, pieces, source, remote)


def _left_out(context: Context, msg: str, source: str | None = None) -> Result:
    """What a file that is no file comes to."""
    if context.arguments["fail_on_missing"]:
        raise ModuleFailure(f"{msg}, not transferring, ignored" if source else msg)
    named = {"file": source} if source else {}
    return {"changed": False, "msg": f"{msg}, not transferring, ignored", **named}


def _dest(context: Context, source: str) -> Path:
    """Where the file is kept, as Ansible names it. Raises ModuleFailure where that would be outside of dest."""
    given = os.path.expanduser(context.arguments["dest"])  # noqa: PTH111 -- leaves ~nobody as it is, where Path raises
    folder = posixpath.join(str(context.evaluate("playbook_dir")), given)
    if not context.arguments["flat"]:
        top = posixpath.normpath(f"{folder}/{context.host}")
        dest = posixpath.normpath(f"{top}/{source}")
        # What the path is may be something that a host said.
        if not dest.startswith(f"{top}/"):
            raise ModuleFailure(f"Detected directory traversal, expected to be contained in '{top}' but got '{dest}'")
        return Path(dest)
    if not folder.endswith("/"):
        if Path(folder).is_dir():
            raise ModuleFailure(
                "dest is an existing directory, use a trailing slash if you want to fetch src into that directory"
            )
        return Path(posixpath.normpath(folder))
    dest = posixpath.normpath(folder + posixpath.basename(source))
    if Path(dest).is_dir():
        raise ModuleFailure(
            f"calculated dest '{given}{posixpath.basename(source)}' is an existing directory, "
            "use another path that does not point to an existing directory"
        )
    return Path(dest)


def _checksums(path: Path) -> tuple[str, str] | None:
    """SHA-1 and MD5 of a file of the node; None where there is none."""
    try:
        with path.open("rb") as file:
            return _sums(iter(lambda: file.read(_PIECE), b""))
    except OSError:
        return None


def _sums(pieces: Iterator[bytes]) -> tuple[str, str]:
    first, second = hashlib.sha1(usedforsecurity=False), hashlib.md5(usedforsecurity=False)
    for piece in pieces:
        first.update(piece)
        second.update(piece)
    return first.hexdigest(), second.hexdigest()


def _pieces(context: Context, told: Mapping[str, str]) -> Iterator[bytes]:
    """The content, piece by piece, as far as it went when the file was looked at."""
    size = int(told["size"])
    for number in range(-(-size // _PIECE)):
        wanted = min(_PIECE, size - number * _PIECE)
        # head reads on where dd is given less than it asked for.
        body = f'dd if="$1" bs={_PIECE} skip={number} 2>/dev/null | head -c {wanted}'
        completed = context.exec(program(PRELUDE + body, [word(told["path"])]))
        if completed.rc != 0 or len(completed.stdout) != wanted:
            said = completed.stderr.decode(errors="replace").strip()
            raise ModuleFailure(f"{shown(told['path'])} has become shorter while it was fetched {said}".rstrip())
        yield completed.stdout


def _kept(context: Context, dest: Path, pieces: Iterator[bytes], source: str, remote: str | None) -> Result:
    """Write beside dest, compare, and rename over it."""
    try:
        dest.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".opsrunner.", dir=dest.parent) as folder:
            temporary = Path(folder) / "content"
            sums = _written(temporary, pieces)
            result: Result = {"md5sum": sums[1], "dest": str(dest), "checksum": sums[0]}
            result |= {"remote_md5sum": None, "remote_checksum": remote}
            if context.arguments["validate_checksum"] and remote is not None and sums[0] != remote:
                raise ModuleFailure("checksum mismatch", file=source, **result)
            with contextlib.suppress(OSError):
                temporary.chmod(dest.stat().st_mode & 0o7777)  # of the file that it replaces
            temporary.replace(dest)
    except OSError as error:
        raise ModuleFailure(f"cannot keep {dest} on the worker's node: {error.strerror}", file=source) from None
    return {"changed": True, **result}


def _written(path: Path, pieces: Iterator[bytes]) -> tuple[str, str]:
    with path.open("xb") as file:

        def through() -> Iterator[bytes]:
            for piece in pieces:
                file.write(piece)
                yield piece

        return _sums(through())
