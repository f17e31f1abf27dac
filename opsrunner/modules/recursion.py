"""Owner, group and mode of everything below a directory (``file: recurse=true``)."""

from __future__ import annotations

import stat
from collections.abc import Iterable

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Context, ModuleFailure
from opsrunner.modules.entries import LOOK, Wanted
from opsrunner.modules.modes import for_chmod, resolve
from opsrunner.modules.posix import facts, word

# $1 the directory, $2 -L to follow links. A mode, owner and group that many entries share is told once.
_KINDS = (
    LOOK
    + r"""
found=$(
    exec 2>&1
    if [ -n "$2" ]; then find -L "$1" ! -type l -exec stat -L -c '%f %u %g' -- {} +
    else find "$1" ! -type l -exec stat -c '%f %u %g' -- {} +; fi
    echo "status $?"
)
case $found in
*"status 0") ;;
*) give_up "cannot look below $1: $(printf '%s\n' "$found" | grep -v '^[0-9a-f]* [0-9]* [0-9]*$' | head -n 3)" ;;
esac
fact kinds "$(printf '%s\n' "$found" | grep -v '^status ' | sort -u)"
fact links "$(find "$1" -type l -exec stat -c '%f %u %g' -- {} + | sort -u)"
"""
)

Kind = tuple[int, int, int]


def set_below(context: Context, path: str, wish: Wanted, result: Result) -> None:
    """Give every entry below ``path`` the wanted attributes; ``result`` learns whether that changed any.

    Owners first, then modes: changing an owner may take permission bits away. Raises ModuleFailure.
    """
    if wish.uid is None and wish.gid is None and wish.mode is None:
        return
    if context.check and "state" not in result:
        return  # the directory itself would be new: there is nothing below it
    kinds, links = _kinds(context, path)
    lines = _owner_lines(context, kinds, links, wish)
    if lines:
        result["changed"] = True
        if not context.check:
            _carry_out(context, path, lines)
            kinds, _ = _kinds(context, path)
    lines = _mode_lines(context, kinds, wish)
    if lines:
        result["changed"] = True
        if not context.check:
            _carry_out(context, path, lines)


def _kinds(context: Context, path: str) -> tuple[list[Kind], list[Kind]]:
    told = facts(context, _KINDS, [word(path), "-L" if context.arguments["follow"] else "''"])
    return _parsed(told["kinds"]), _parsed(told["links"])


def _parsed(text: str) -> list[Kind]:
    rows = (line.split(" ") for line in text.splitlines() if line)
    return [(int(mode, 16), int(uid), int(gid)) for mode, uid, gid in rows]


def _owner_lines(context: Context, kinds: Iterable[Kind], links: Iterable[Kind], wish: Wanted) -> list[str]:
    lines = []
    find = _find(context)
    for command, test, number, index in (("chown", "-user", wish.uid, 1), ("chgrp", "-group", wish.gid, 2)):
        if number is None:
            continue
        if any(kind[index] != number for kind in kinds):
            lines.append(f"{find} ! -type l ! {test} {number} -exec {command} {number} -- {{}} +")
        if any(kind[index] != number for kind in links):
            lines.append(f'find "$1" -type l ! {test} {number} -exec {command} -h {number} -- {{}} +')
    return lines


def _mode_lines(context: Context, kinds: Iterable[Kind], wish: Wanted) -> list[str]:
    """One find for each mode that has to become another one."""
    if wish.mode is None:
        return []
    changes: dict[tuple[bool, int], int] = {}
    for mode in {kind[0] for kind in kinds}:
        bits = resolve(wish.mode, mode, umask=wish.umask)
        if bits != stat.S_IMODE(mode):
            changes[stat.S_ISDIR(mode), stat.S_IMODE(mode)] = bits
    if any((is_directory, bits) in changes for (is_directory, _), bits in changes.items()):
        raise ModuleFailure(f"mode {wish.mode} changes again each time it is applied, so it cannot be applied below")
    find = _find(context)
    lines = []
    # Files before directories: a directory that loses its x bit would hide what is below it.
    for (is_directory, before), bits in sorted(changes.items()):
        kind = "-type d" if is_directory else "! -type d ! -type l"
        depth = " -depth" if is_directory else ""
        lines.append(f"{find}{depth} {kind} -perm {before:04o} -exec chmod {for_chmod(bits)} -- {{}} +")
    return lines


def _find(context: Context) -> str:
    return 'find -L "$1"' if context.arguments["follow"] else 'find "$1"'


def _carry_out(context: Context, path: str, lines: list[str]) -> None:
    steps = "\n".join(f'said=$({line} 2>&1) || give_up "cannot set attributes below $1: $said"' for line in lines)
    facts(context, steps, [word(path)])
