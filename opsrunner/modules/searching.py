"""What stands below a directory of the host: names and what ``stat`` says of them, in one round trip."""

from __future__ import annotations

import posixpath
import re
import stat
from collections.abc import Iterator, Sequence

from msgspec import Struct, field

from opsrunner.modules.contract import Context, ModuleFailure
from opsrunner.modules.posix import expanded_word, facts_and_content, shown, word

#: Patterns that mean the same to find(1) on every host as to Python.
_PLAIN_PATTERN = re.compile(r"[A-Za-z0-9_.*+=,@%-]+")

# $1 directory, $2 -H or -L; OPTIONS and TESTS are put in. Behind the facts come records of NUL-terminated
# fields: ``count N`` of what was seen, ``closed PATH`` of a directory that cannot be read, and
# ``found N PATH… LINES``, a line of stat's for each of the paths.
_SCAN = r"""
fact path "$1"
[ -d "$1" ] || exit 0
fact umask "$(umask)"
now=$(date +%s.%N)
case $now in *[!0-9.]*) now=$(date +%s) ;; esac
fact now "$now"
time=
case $(stat -c %.9Y / 2>/dev/null) in *.*) time=.9 ;; esac
OPSRUNNER_FORMAT="%f %u %g %h %i %s %d %${time}X %${time}Y %${time}Z %U:%G"
export OPSRUNNER_FORMAT
start=$1
case $start in -*) start=./$start ;; esac
begin_content
[ -r "$start" ] && [ -x "$start" ] || printf '%s\0' closed "$start"
find "$2" "$start" -mindepth 1 @OPTIONS@ -exec sh -c 'printf "%s\0" count "$#"' sh {} + \
    \( ! -type d -o -exec sh -c '
        for path do [ -r "$path" ] && [ -x "$path" ] || printf "%s\0" closed "$path"; done; :
    ' sh {} + \) @TESTS@ -exec sh -c '
        printf "%s\0" found "$#" "$@"
        if ! said=$(LC_ALL=C stat -c "$OPSRUNNER_FORMAT" -- "$@" 2>/dev/null); then
            said=
            for path do said="$said$(LC_ALL=C stat -c "$OPSRUNNER_FORMAT" -- "$path" 2>/dev/null)
"; done
        fi
        printf "%s\0" "$said"
    ' sh {} + 2>/dev/null
:
"""


class Seen(Struct, frozen=True):
    """One thing below the directory. Times are seconds since the epoch, size bytes; a link is itself."""

    path: str
    #: 1 for what is directly in the directory.
    level: int
    mode: int
    uid: int
    gid: int
    links: int
    inode: int
    size: int
    device: int
    accessed: float
    modified: float
    status_changed: float
    owner: str
    group: str

    @property
    def name(self) -> str:
        return posixpath.basename(self.path)

    @property
    def order(self) -> tuple[list[str], bool, str]:
        """As somebody walks who lists a directory's files, its directories, and then goes into these."""
        folder, name = posixpath.split(self.path)
        return folder.split("/"), stat.S_ISDIR(self.mode), name


class Scan(Struct):
    """What was found below one directory; ``path`` is it with ``~`` and variables replaced."""

    path: str
    #: False where there is no such directory.
    there: bool = False
    #: Seconds since the epoch on the host's clock.
    now: float = 0.0
    umask: int = 0o022
    #: Things seen, also those that were not asked for.
    examined: int = 0
    entries: list[Seen] = field(default_factory=list)
    #: Directories that could not be read, with their levels.
    closed: list[tuple[str, int]] = field(default_factory=list)


def scan(
    context: Context,
    path: str,
    *,
    levels: int | None,
    follow: bool,
    kind: str | None,
    hidden: bool,
    names: Sequence[str],
) -> Scan:
    """Look below ``path``, so many levels deep (None: all), through links with ``follow``.

    ``kind`` (find's letter), ``hidden`` and ``names`` leave out on the host what is not wanted; what the
    host may see otherwise than Python is sent. Raises ModuleFailure where it is more than is kept.
    """
    tests = []
    if kind and not follow:
        tests.append(f"-type {kind}")
    if not hidden:
        tests.append("! -name '.*'")
    if names and all(_PLAIN_PATTERN.fullmatch(name) for name in names):
        tests.append(rf"\( {' -o '.join(f'-name {word(name)}' for name in names)} \)")
    options = "" if levels is None else f"-maxdepth {levels}"
    body = _SCAN.replace("@OPTIONS@", options).replace("@TESTS@", " ".join(tests))
    told, content = facts_and_content(context, body, [expanded_word(path), "-L" if follow else "-H"])
    found = Scan(told["path"])
    if "now" not in told:
        return found
    if content is None:
        raise ModuleFailure(
            f"below {shown(found.path)} there is more than is kept of a command's output (the output_limit setting);"
            " ask for less with patterns or depth"
        )
    found.there, found.now, found.umask = True, float(told["now"]), int(told["umask"], 8)
    _take(found, iter(content.decode("utf-8", "surrogateescape").split("\0")))
    found.entries.sort(key=lambda seen: seen.order)
    return found


def _take(found: Scan, fields: Iterator[str]) -> None:
    for kind in fields:
        if kind == "count":
            found.examined += int(next(fields))
        elif kind == "closed":
            path = next(fields)
            found.closed.append((posixpath.normpath(path), _level(found.path, path)))
        elif kind == "found":
            paths = [next(fields) for _ in range(int(next(fields)))]
            for path, line in zip(paths, next(fields).split("\n"), strict=False):
                if line:  # else it is gone again
                    found.entries.append(_seen(path, _level(found.path, path), line))


def _level(directory: str, path: str) -> int:
    """How deep ``path`` is, as find(1) names it, below the directory; 0 for the directory itself."""
    start = f"./{directory}" if directory.startswith("-") else directory
    return len([part for part in path[len(start) :].split("/") if part])


def _seen(path: str, level: int, line: str) -> Seen:
    mode, uid, gid, links, inode, size, device, accessed, modified, changed, names = line.split(" ", 10)
    owner, _, group = names.partition(":")
    return Seen(
        path=posixpath.normpath(path),
        level=level,
        mode=int(mode, 16),
        uid=int(uid),
        gid=int(gid),
        links=int(links),
        inode=int(inode),
        size=int(size),
        device=int(device),
        accessed=float(accessed),
        modified=float(modified),
        status_changed=float(changed),
        owner="" if owner == "UNKNOWN" else shown(owner),
        group="" if group == "UNKNOWN" else shown(group),
    )
