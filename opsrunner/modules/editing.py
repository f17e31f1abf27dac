"""Changes a text file of the host: what lineinfile, blockinfile and replace share.

One round trip reads the file, whose new content is made here, by Python's rules. A second one writes it
back, unless the file has become another one meanwhile: then it is read again.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure
from opsrunner.modules.entries import (
    FILE_ARGUMENTS,
    LOOK,
    Changes,
    Entry,
    Wanted,
    attribute_changes,
    directory_lines,
    entry_of,
    names_to_look_up,
    new_entry_lines,
    wanted,
)
from opsrunner.modules.modes import resolve
from opsrunner.modules.placing import DIFF_LIMIT
from opsrunner.modules.posix import expanded_word, facts, facts_and_content, shown, word
from opsrunner.modules.replacing import PLACE, RENAME, TEMPORARY, place_words, starting_attributes, validation_command
from opsrunner.modules.sums import SUM, sha1

#: Bytes of a file that can be changed: a worker does so for many hosts at once.
EDIT_LIMIT = 16 * 1024 * 1024
#: Bytes of a file that come along with the look at it; a larger one is fetched when it is known to be there.
_SMALL = 256 * 1024
#: How often a file is read anew that somebody else changes at the same time.
_TRIES = 20

EDITING_ARGUMENTS: dict[str, Argument] = {
    "path": Argument("path", "the file", required=True, aliases=("dest", "destfile", "name")),
    "backup": Argument("bool", "keep a copy of the file as it was", default=False),
    "validate": Argument("str", "command that must accept the new file before it is used; %s is its path"),
    **FILE_ARGUMENTS,
}

# $1 path, $2 owner, $3 group, $4 bytes up to which the content comes along
_READ = (
    LOOK
    + r"""
fact path "$1"
if [ -d "$1" ]; then fact directory yes; exit 0; fi
fact umask "$(umask)"
wanted_ids "$2" "$3"
look entry "$1" || exit 0
real=$1
if [ -L "$1" ]; then real=$(readlink -f -- "$1"); fi
fact real "$real"
look target "$1" -L || exit 0
[ -r "$1" ] || give_up "cannot read $1: Permission denied"
if [ -f "$1" ] && [ "$(wc -c <"$1")" -le "$4" ]; then content "$1" "$4"; fi
:
"""
)

# $7 SHA-1 of the file as it was read; empty where there was none. Nothing is replaced that has changed since.
_UNCHANGED = (
    SUM
    + r"""
if [ -z "$7" ]; then
    if [ -e "$1" ]; then fact stale yes; exit 0; fi
elif [ -f "$1" ]; then
    now=$(sum_of 1 "$1")
    if [ -n "$now" ] && [ "$now" != "$7" ]; then fact stale yes; exit 0; fi
else fact stale yes; exit 0; fi
"""
)


class Found(Struct, frozen=True):
    """The file as it is now."""

    #: As the task names it, with ``~`` and variables replaced.
    path: str
    #: Where its content is, with links resolved.
    real: str
    #: None where there is no file.
    data: bytes | None
    #: What stands at ``path`` (a link stays one), and what it leads to.
    entry: Entry | None
    target: Entry | None
    wish: Wanted


class Edit(Struct, frozen=True):
    """What a module makes of a file, and the message that tells of it."""

    data: bytes
    msg: str
    changed: bool
    #: For the diff, which is text.
    encoding: str = "utf-8"


def edit(context: Context, change: Callable[[Found], Edit | Result]) -> Result:
    """Read the file, let ``change`` say what becomes of it, and write that.

    A Result that ``change`` gives instead ends the step. Gives ``changed`` and ``msg``, with
    ``backup_file`` where one was made, and with ``diff`` (content, attributes) where it is asked for.
    Raises ModuleFailure, with rc 256 for a directory.
    """
    if context.arguments["mode"] == "preserve":
        raise ModuleFailure("mode must be in octal or symbolic form")
    for _ in range(_TRIES):
        found = _read(context)
        edited = change(found)
        if not isinstance(edited, Edit):
            return edited
        result = _carried_out(context, found, edited)
        if result is not None:
            return result
    raise ModuleFailure(f"{shown(found.path)} changes faster than it can be changed here")


def _read(context: Context) -> Found:
    words = [expanded_word(context.arguments["path"]), *names_to_look_up(context), str(_SMALL)]
    told, data = facts_and_content(context, _READ, words)
    path = told["path"]
    if "directory" in told:
        raise ModuleFailure(f"Path {shown(path)} is a directory !", rc=256)
    entry, target = entry_of(told, "entry"), entry_of(told, "target")
    if target is not None and data is None:
        data = _fetched(context, path, target)
    if target is None:
        data = None
    return Found(path, told.get("real") or path, data, entry, target, wanted(context, told))


def _fetched(context: Context, path: str, target: Entry) -> bytes:
    if not target.is_file:
        raise ModuleFailure(f"{shown(path)} is no regular file")
    if target.size > EDIT_LIMIT:
        raise ModuleFailure(f"{shown(path)} has {target.size} bytes, more than the {EDIT_LIMIT} that can be changed")
    try:
        return context.remote.get(path, become=context.become, timeout=context.timeout)
    except OSError as error:
        raise ModuleFailure(f"cannot read {shown(path)}: {error.strerror}") from None


def _carried_out(context: Context, found: Found, edited: Edit) -> Result | None:
    """The step's result; None when the file is no longer the one that was read."""
    if len(edited.data) > EDIT_LIMIT:
        raise ModuleFailure(f"{shown(found.path)} would have {len(edited.data)} bytes, more than {EDIT_LIMIT}")
    result: Result = {"changed": edited.changed, "msg": edited.msg}
    if found.wish.unknown:
        result["warnings"] = list(found.wish.unknown)
    if context.diff:
        result["diff"] = _content_diff(found, edited)
    if context.check and found.target is None:
        return result
    changes = Changes() if found.entry is None else attribute_changes(found.path, found.entry, found.wish)
    if not context.check and edited.changed:
        told = _write(context, found, edited, changes)
        if "stale" in told:
            return None
        fresh = entry_of(told, "fresh")
        if fresh is not None:
            changes = attribute_changes(found.path, fresh, found.wish)
        if "backup" in told:
            result["backup_file"] = shown(told["backup"])
    elif not context.check and changes.lines:
        facts(context, "\n".join([LOOK, *changes.lines]))
    if changes.after:
        about = "ownership, perms or SE linux context changed"
        result |= {"changed": True, "msg": f"{edited.msg} and {about}" if edited.changed else edited.msg + about}
    if context.diff:
        result["diff"] = [result["diff"], _attribute_diff(found, changes)]
    return result


def _write(context: Context, found: Found, edited: Edit, changes: Changes) -> Mapping[str, str]:
    """Write, validate, back up, rename: one round trip."""
    arguments = context.arguments
    lines = [LOOK]
    if found.target is None:
        lines += directory_lines(_parent(found.path), Wanted(None, None, None, found.wish.umask))
    lines += [PLACE, *starting_attributes(found.target)]
    attributes_of_link = found.entry is not None and found.entry.is_link
    if found.entry is None:
        lines.append(f"look fresh {TEMPORARY}")
    if not attributes_of_link:
        lines += new_entry_lines(TEMPORARY, _resolved(found))
    lines += [_validation(arguments["validate"]), _UNCHANGED, RENAME]
    if attributes_of_link:
        lines += [*changes.lines, ":"]
    kept = found.target is not None and found.target.is_file
    named = word(found.path)
    words = place_words(word(found.real), len(edited.data), backup=arguments["backup"], kept=kept, named=named)
    words.append(sha1(found.data) if found.data is not None else "''")
    return facts(context, "\n".join(lines), words, stdin=edited.data)


def _parent(path: str) -> str:
    folder, slash, _ = path.rpartition("/")
    return folder or ("/" if slash else ".")


def _resolved(found: Found) -> Wanted:
    """The wish with a symbolic mode in digits: the host's umask is another one while the file is written."""
    wish = found.wish
    if wish.mode is None:
        return wish
    current = found.entry.mode if found.entry else stat.S_IFREG | 0o666 & ~wish.umask
    return Wanted(f"{resolve(wish.mode, current, umask=wish.umask):04o}", wish.uid, wish.gid, wish.umask)


def _validation(command: str | None) -> str:
    if not command:
        return ""
    return f"""
said=$( (exec {validation_command(command)}) 2>&1 >/dev/null </dev/null; printf %s ".$?")
if [ "${{said##*.}}" -ne 0 ]; then give_up "failed to validate: rc:${{said##*.}} error:${{said%.*}}"; fi
"""


def _content_diff(found: Found, edited: Edit) -> dict[str, Any]:
    header = f"{shown(found.path)} (content)"
    diff: dict[str, Any] = {"before_header": header, "after_header": header}
    before = found.data or b""
    if max(len(before), len(edited.data)) > DIFF_LIMIT:
        larger = (("dst_larger", before), ("src_larger", edited.data))
        return diff | {key: DIFF_LIMIT for key, data in larger if len(data) > DIFF_LIMIT}
    texts = (data.decode(edited.encoding, "replace") for data in (before, edited.data))
    return diff | dict(zip(("before", "after"), texts, strict=True))


def _attribute_diff(found: Found, changes: Changes) -> dict[str, Any]:
    header = f"{shown(found.path)} (file attributes)"
    diff: dict[str, Any] = {"before_header": header, "after_header": header}
    if changes.after:
        diff |= {"before": changes.before, "after": changes.after}
    return diff
