"""stat: what stands at a path of the host."""

from __future__ import annotations

import os
import stat as bits
from collections.abc import Mapping
from typing import Any

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, Spec
from opsrunner.modules.posix import expanded_word, facts, shown
from opsrunner.modules.sums import ALGORITHMS, SUM

SPEC = Spec(
    summary="Tell kind, size, owner, mode, times and checksum of a file",
    arguments={
        "path": Argument("path", "the file", required=True, aliases=("dest", "name")),
        "follow": Argument("bool", "look at what a link leads to", default=False),
        "get_checksum": Argument("bool", "tell the checksum of a regular file", default=True),
        "get_mime": Argument(
            "bool",
            "tell its type as file(1) sees it",
            default=True,
            aliases=("mime", "mime_type", "mime-type"),
        ),
        "get_attributes": Argument(
            "bool", "tell its flags as lsattr sees them", default=True, aliases=("attr", "attributes")
        ),
        "checksum_algorithm": Argument(
            "str", "which checksum", default="sha1", choices=tuple(ALGORITHMS), aliases=("checksum", "checksum_algo")
        ),
    },
    reads_only=True,
    check_mode="run",
    examples="- stat: path=/etc/app.conf\n  register: conf\n- fail: msg=missing\n  when: not conf.stat.exists\n",
)

# $1 path, $2 -L to follow links, $3 checksum (empty: none), $4 yes for the type, $5 yes for flags
_LOOK = (
    SUM
    + r"""
seen=$(LC_ALL=C stat $2 -c '%f %u %g %h %i %s %d %b %o %t %T %X %Y %Z %U:%G' -- "$1" 2>&1) || {
    case $seen in
    *"No such file"*) exit 0 ;;
    *"ermission denied"*) give_up "Permission denied" ;;
    *"Not a directory"*) give_up "Not a directory" ;;
    *"Too many levels"*) give_up "Too many levels of symbolic links" ;;
    *nrecognized*|*llegal*|*nvalid*|*"not found"*) give_up "the host's stat knows no -c (GNU coreutils or busybox)" ;;
    esac
    give_up "$seen"
}
fact path "$1"
fact seen "$seen"
fact exact "$(stat $2 -c '%.9X %.9Y %.9Z' -- "$1" 2>/dev/null)"
[ ! -r "$1" ] || fact readable yes
[ ! -w "$1" ] || fact writeable yes
[ ! -x "$1" ] || fact executable yes
if [ -L "$1" ] && [ -z "$2" ]; then
    fact lnk_target "$(readlink -- "$1")"
    fact lnk_source "$(readlink -f -- "$1")"
fi
if [ -n "$3" ] && [ -f "$1" ] && [ -r "$1" ] && { [ ! -L "$1" ] || [ -n "$2" ]; }; then
    found=$(sum_of "$3" "$1") && [ -n "$found" ] || give_up "the host has no tool for this checksum"
    fact checksum "$found"
fi
if [ "$4" = yes ] && has file; then fact mime "$(file --mime-type --mime-encoding -- "$1" 2>/dev/null)"; fi
if [ "$5" = yes ] && has lsattr; then fact flags "$(lsattr -vd -- "$1" 2>/dev/null)"; fi
:
"""
)

_FLAGS = {
    "A": "noatime",
    "a": "append",
    "c": "compressed",
    "C": "nocow",
    "d": "nodump",
    "D": "dirsync",
    "e": "extents",
    "E": "encrypted",
    "h": "blocksize",
    "i": "immutable",
    "I": "indexed",
    "j": "journalled",
    "N": "inline",
    "s": "zero",
    "S": "synchronous",
    "t": "notail",
    "T": "blockroot",
    "u": "undelete",
    "X": "compressedraw",
    "Z": "compresseddirty",
}


def run(context: Context) -> Result:
    """One look; a path where nothing stands answers with ``exists`` false."""
    arguments = context.arguments
    words = [
        expanded_word(arguments["path"]),
        "-L" if arguments["follow"] else "''",
        ALGORITHMS[arguments["checksum_algorithm"]] if arguments["get_checksum"] else "''",
        "yes" if arguments["get_mime"] else "no",
        "yes" if arguments["get_attributes"] else "no",
    ]
    told = facts(context, _LOOK, words)
    if "seen" not in told:
        return {"changed": False, "stat": {"exists": False}}
    found = _numbers(told) | _access(told)
    found.update({key: shown(told[key]) for key in ("lnk_source", "lnk_target", "checksum") if key in told})
    if arguments["get_mime"]:
        found |= _mime(told.get("mime", ""))
    if arguments["get_attributes"]:
        found |= _flags(told.get("flags", ""))
    return {"changed": False, "stat": found}


def _numbers(told: Mapping[str, str]) -> dict[str, Any]:
    fields = told["seen"].split(" ", 14)
    mode = int(fields[0], 16)
    uid, gid, nlink, inode, size, device, blocks, block_size = (int(field) for field in fields[1:9])
    times = [float(field) for field in fields[11:14]]
    exact = told.get("exact", "").split(" ")
    if len(exact) == 3 and all(part.count(".") == 1 and part.replace(".", "").isdigit() for part in exact):
        times = [float(part) for part in exact]  # busybox knows no fractions
    found: dict[str, Any] = {
        "exists": True,
        "path": shown(told["path"]),
        "mode": f"{bits.S_IMODE(mode):04o}",
        "uid": uid,
        "gid": gid,
        "size": size,
        "inode": inode,
        "dev": device,
        "nlink": nlink,
        "blocks": blocks,
        "block_size": block_size,
        "device_type": os.makedev(int(fields[9], 16), int(fields[10], 16)),
        "atime": times[0],
        "mtime": times[1],
        "ctime": times[2],
    }
    owner, _, group = fields[14].partition(":")
    names = (("pw_name", owner), ("gr_name", group))
    found.update({key: shown(name) for key, name in names if name not in ("UNKNOWN", "")})
    return found | mode_flags(mode)


def mode_flags(mode: int) -> dict[str, bool]:
    """Kind and permissions of an st_mode, each under the name that Ansible gives it."""
    kinds = {
        "isdir": bits.S_ISDIR,
        "ischr": bits.S_ISCHR,
        "isblk": bits.S_ISBLK,
        "isreg": bits.S_ISREG,
        "isfifo": bits.S_ISFIFO,
        "islnk": bits.S_ISLNK,
        "issock": bits.S_ISSOCK,
    }
    found = {key: test(mode) for key, test in kinds.items()}
    for shift, who in ((6, "usr"), (3, "grp"), (0, "oth")):
        for bit, letter in ((0o4, "r"), (0o2, "w"), (0o1, "x")):
            found[f"{letter}{who}"] = bool(mode & bit << shift)
    found["isuid"] = bool(mode & bits.S_ISUID)
    found["isgid"] = bool(mode & bits.S_ISGID)
    return found


def _access(told: Mapping[str, str]) -> dict[str, bool]:
    return {key: key in told for key in ("readable", "writeable", "executable")}


def _mime(said: str) -> dict[str, str]:
    """``path: type; charset=name`` taken apart; a path may hold colons, the answer does not."""
    kind, semicolon, rest = said.rpartition(":")[2].partition(";")
    name = rest.partition("=")[2].strip()
    if not semicolon or not name:
        return {"mimetype": "unknown", "charset": "unknown"}
    return {"mimetype": kind.strip(), "charset": name}


def _flags(said: str) -> dict[str, Any]:
    """``version flags path`` of lsattr -v taken apart."""
    fields = said.split()
    if len(fields) < 3:
        return {"version": None, "attributes": [], "attr_flags": ""}
    letters = fields[1].replace("-", "")
    return {
        "version": fields[0],
        "attributes": [_FLAGS[letter] for letter in letters if letter in _FLAGS],
        "attr_flags": letters,
    }
