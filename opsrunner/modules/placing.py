"""Puts content where a task wants it: what copy and template share.

One round trip looks at the destination; when it holds the content and the attributes already, that
is all. A second one sends the content beside the destination and renames it over it.
"""

from __future__ import annotations

import hashlib
import posixpath
import stat
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, FilesWithModes, ModuleFailure
from opsrunner.modules.entries import (
    FILE_ARGUMENTS,
    LOOK,
    Entry,
    Wanted,
    attribute_changes,
    directory_lines,
    entry_of,
    names_to_look_up,
    new_entry_lines,
    wanted,
)
from opsrunner.modules.posix import expanded_word, facts, shown, word
from opsrunner.modules.replacing import PLACE, RENAME, TEMPORARY, place_words, starting_attributes, validation_command
from opsrunner.modules.sums import SUM, same_content, sha1

#: Bytes of a file up to which a diff is shown, as in Ansible.
DIFF_LIMIT = 104_448

PLACING_ARGUMENTS: dict[str, Argument] = {
    "dest": Argument("path", "where to put it; a directory when it ends with a slash or is one", required=True),
    "backup": Argument("bool", "keep a copy of what it replaces", default=False),
    "force": Argument("bool", "replace a file that has other content", default=True),
    "follow": Argument("bool", "write through a link at dest instead of replacing it", default=False),
    "validate": Argument("str", "command that must accept the new file before it is used; %s is its path"),
    **FILE_ARGUMENTS,
}

# $1 dest, $2 file name for a directory (empty: dest must be no directory), $3 yes to follow a link,
# $4 owner, $5 group, $6 a source on the host (empty: content comes from us)
_PROBE = (
    LOOK
    + SUM
    + r"""
umask_now=$(umask)
fact umask "$umask_now"
wanted_ids "$4" "$5"
if [ -n "$6" ]; then
    [ -e "$6" ] || give_up "Source $6 not found"
    if [ -d "$6" ]; then fact source_directory yes; exit 0; fi
    [ -r "$6" ] || give_up "Source $6 not readable"
    look source "$6" -L
    fact source_path "$6"
    if [ -f "$6" ]; then fact source_sum "$(sum_of 1 "$6")"; fact source_md5 "$(sum_of 5 "$6")"; fi
fi
dest=$1
case $dest in
*/) [ -n "$2" ] && dest=$dest$2 ;;
*) if [ -d "$dest" ]; then
    [ -n "$2" ] || give_up "can not use content with a dir as dest"
    dest=$dest/$2
fi ;;
esac
if [ "$3" = yes ] && [ -L "$dest" ] && [ -e "$dest" ]; then dest=$(readlink -f -- "$dest"); fi
case $dest in */*) parent=${dest%/*} ;; *) parent=. dest=./$dest ;; esac
fact dest "$dest"
fact parent "${parent:=/}"
if [ -d "$parent" ]; then fact parent_exists yes; fi
if look entry "$dest" && [ ! -L "$dest" ]; then
    if [ -d "$dest" ]; then give_up "$dest is a directory"; fi
    if [ -n "$6" ]; then
        if cmp -s -- "$6" "$dest"; then fact same yes; else fact same no; fi
    elif [ -f "$dest" ] && [ -r "$dest" ]; then tell_sum "$dest"; fi
fi
:
"""
)


class Content(Struct, frozen=True):
    """What is to be placed: ``data`` from us, or the file ``remote`` of the host."""

    data: bytes
    #: Name that it gets inside a directory; None when a directory as dest makes no sense.
    name: str | None
    #: What results and diffs call it.
    source: str | None = None
    remote: str | None = None
    #: Permission bits at the source, for ``mode: preserve``.
    mode: int | None = None
    #: Checksum that the task says the content has.
    checksum: str | None = None
    #: ``remote`` has just come over the network: its permission bits say nothing.
    downloaded: bool = False


class SourceIsDirectory(ModuleFailure):
    """The file of the host that was to be placed is a directory."""


def place(context: Context, content: Content) -> Result:
    """Make dest hold the content with the wanted attributes. Raises ModuleFailure."""
    told = _look(context, content)
    if "source_directory" in told:
        raise SourceIsDirectory(f"{content.source} is a directory")
    entry = entry_of(told, "entry")
    _check_source(told, content)
    if entry is not None and not context.arguments["force"]:
        return _result(told, content, changed=False) | {"msg": "file already exists"}
    wish = _wish(context, told, content)
    created = _missing_parent(context, told)
    if created is not None and context.check:
        return _result(told, content, changed=True) | {"msg": f"dest directory {created} would be created"}
    same = entry is not None and entry.is_file and _is_same(context, told, content)
    if same and entry is not None:
        return _attributes_only(context, told, content, entry, wish)
    result = _result(told, content, changed=True)
    if context.diff:
        result["diff"] = [_content_diff(context, content, told, entry)]
    if context.check:
        return _with_warnings(result, wish)
    return result | _send(context, told, content, entry, wish, created)


def _look(context: Context, content: Content) -> dict[str, str]:
    arguments = context.arguments
    user, group = names_to_look_up(context)
    words = [
        expanded_word(arguments["dest"]),
        word(content.name or ""),
        "yes" if arguments["follow"] else "no",
        user,
        group,
        expanded_word(content.remote) if content.remote else "''",
    ]
    if arguments["validate"] is not None and "%s" not in arguments["validate"]:
        raise ModuleFailure(f"validate must contain %s: {arguments['validate']}")
    return facts(context, _PROBE, words)


def _check_source(told: Mapping[str, str], content: Content) -> None:
    if content.remote and "source_sum" not in told:
        raise ModuleFailure(f"Cannot copy invalid source '{content.source}': not a file")
    actual = _checksum(told, content)
    if content.checksum and actual != content.checksum:
        raise ModuleFailure(
            "Copied file does not match the expected checksum. Transfer failed.",
            checksum=actual,
            expected_checksum=content.checksum,
        )


def _checksum(told: Mapping[str, str], content: Content) -> str | None:
    return (told["source_sum"] or None) if content.remote else sha1(content.data)


def _wish(context: Context, told: Mapping[str, str], content: Content) -> Wanted:
    wish = wanted(context, told)
    if wish.mode != "preserve":
        return wish
    source = entry_of(told, "source")
    bits = source.mode if source else content.mode
    if bits is None:
        raise ModuleFailure("mode: preserve is not possible: the file's mode did not come with the run; name the mode")
    return Wanted(f"{stat.S_IMODE(bits):04o}", wish.uid, wish.gid, wish.umask, wish.unknown)


def _missing_parent(context: Context, told: Mapping[str, str]) -> str | None:
    """The directory that has to be created first: only a dest that ends with a slash asks for that."""
    if "parent_exists" in told:
        return None
    if not context.arguments["dest"].endswith("/"):
        raise ModuleFailure(f"Destination directory {shown(told['parent'])} does not exist")
    return told["parent"]


def _is_same(context: Context, told: Mapping[str, str], content: Content) -> bool:
    if content.remote:
        return told.get("same") == "yes"
    same = same_content(told, content.data)
    if same is None:
        body = 'if cmp -s - "$1"; then fact same yes; else fact same no; fi'
        same = facts(context, body, [word(told["dest"])], stdin=content.data)["same"] == "yes"
    return same


def _result(told: Mapping[str, str], content: Content, *, changed: bool) -> Result:
    result: Result = {"changed": changed, "dest": shown(told["dest"]), "checksum": _checksum(told, content)}
    if content.source is not None:
        result["src"] = content.source
    return result


def _with_warnings(result: Result, wish: Wanted) -> Result:
    if wish.unknown:
        result["warnings"] = list(wish.unknown)
    return result


def _attributes_only(context: Context, told: Mapping[str, str], content: Content, entry: Entry, wish: Wanted) -> Result:
    dest = told["dest"]
    changes = attribute_changes(dest, entry, wish)
    result = _result(told, content, changed=bool(changes.after))
    if content.remote:
        result["md5sum"] = told["source_md5"] or None
    else:
        result["path"] = result["dest"]
    if context.diff:
        result["diff"] = {
            "before": {"path": result["dest"], **changes.before},
            "after": {"path": result["dest"], **changes.after},
        }
    if changes.lines and not context.check:
        body = "\n".join([LOOK, *changes.lines, 'look after "$1"', ":"])
        entry = entry_of(facts(context, body, [word(dest)]), "after") or entry
    return _with_warnings(result | entry.result(), wish)


def _send(
    context: Context, told: Mapping[str, str], content: Content, entry: Entry | None, wish: Wanted, created: str | None
) -> Result:
    """Write, validate, back up, rename: one round trip."""
    arguments = context.arguments
    lines = [LOOK]
    if created:
        own = Wanted(arguments.get("directory_mode"), wish.uid, wish.gid, wish.umask)
        lines += directory_lines(created, own)
    # When another link's target is replaced there is nothing of the link to keep.
    kept = entry is not None and entry.is_file
    source = entry_of(told, "source")
    start = starting_attributes(entry, source.mode if source and not content.downloaded else None)
    body = "\n".join([*lines, PLACE, *start, *new_entry_lines(TEMPORARY, wish)])
    body += "\n" + _validation(arguments["validate"]) + RENAME
    dest = word(told["dest"])
    given = place_words(
        dest,
        len(content.data),
        backup=arguments["backup"],
        source=word(told.get("source_path", "")),
        kept=kept,
        named=dest,
    )
    answer = facts(context, body, given, stdin=b"" if content.remote else content.data)
    after = entry_of(answer, "after")
    result: Result = after.result() if after else {}
    result["md5sum"] = (
        (told["source_md5"] or None) if content.remote else hashlib.md5(content.data, usedforsecurity=False).hexdigest()
    )
    if "backup" in answer:
        result["backup_file"] = shown(answer["backup"])
    return result


def _validation(command: str | None) -> str:
    """sh text that runs ``validate`` on the new file."""
    if command is None:
        return ""
    return f"""
said=$( (exec {validation_command(command)}) 2>&1 </dev/null)
code=$?
if [ "$code" -ne 0 ]; then
    fact exit_status "$code"; fact stdout "$said"; fact stderr ""
    give_up "failed to validate"
fi
"""


def _content_diff(context: Context, content: Content, told: Mapping[str, str], entry: Entry | None) -> dict[str, Any]:
    dest = told["dest"]
    diff: dict[str, Any] = {"after_header": content.source or shown(dest)}
    before = b""
    if entry is not None and entry.is_file:
        diff["before_header"] = shown(dest)
        if entry.size > DIFF_LIMIT:
            return diff | {"dst_larger": DIFF_LIMIT}
        before = context.remote.get(dest, become=context.become, timeout=context.timeout)
    after = content.data
    if content.remote:
        after = context.remote.get(told["source_path"], become=context.become, timeout=context.timeout)
    if len(after) > DIFF_LIMIT:
        return diff | {"src_larger": DIFF_LIMIT}
    if b"\0" in before:
        return diff | {"dst_binary": 1}
    if b"\0" in after:
        return diff | {"src_binary": 1}
    return diff | {"before": before.decode("utf-8", "replace"), "after": after.decode("utf-8", "replace")}


def base_name(path: str) -> str:
    """The last part of a path, for a dest that is a directory."""
    return posixpath.basename(path.rstrip("/"))


def mode_of(context: Context, path: str, folder: str) -> int | None:
    """Permission bits of a bundled file where they are known and wanted."""
    files = context.files
    if context.arguments["mode"] != "preserve" or not isinstance(files, FilesWithModes):
        return None
    return files.mode(path, folder=folder)
