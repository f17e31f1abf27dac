"""assemble: one file made of the fragments in a folder."""

from __future__ import annotations

import codecs
import hashlib
import posixpath
import re
from collections.abc import Iterable, Sequence

from msgspec import structs

from opsrunner.ledger.records import Result
from opsrunner.modules.bounded import bounded
from opsrunner.modules.contract import STILL_ENCRYPTED, Argument, Context, ModuleFailure, Spec
from opsrunner.modules.entries import FILE_ARGUMENTS, REFUSED_FILE_ARGUMENTS
from opsrunner.modules.placing import Content, place
from opsrunner.modules.posix import expanded_word, facts, facts_and_content, shown, word
from opsrunner.modules.trees import tree_of

SPEC = Spec(
    summary="Put the files of a folder together to one, in the order of their names",
    arguments={
        "src": Argument("path", "the folder, on the host", required=True, bundled_from="files"),
        "dest": Argument("path", "the file that is made", required=True),
        "remote_src": Argument(
            "bool", "src is a folder of the host; false: one that travels with the run", default=True
        ),
        "regexp": Argument("regex", "take only files whose name it matches"),
        "delimiter": Argument("str", "a line between two of them"),
        "ignore_hidden": Argument("bool", "leave out files whose name begins with a dot", default=False),
        "decrypt": Argument("bool", "open files that are encrypted with Ansible Vault", default=True),
        "backup": Argument("bool", "keep a copy of what it replaces", default=False),
        "validate": Argument("str", "command that must accept the new file before it is used; %s is its path"),
        **FILE_ARGUMENTS,
    },
    check_mode="full",
    refused=REFUSED_FILE_ARGUMENTS,
    asynchronous="refused",
    examples="""
- assemble: src=/etc/app/conf.d dest=/etc/app/app.conf
- assemble:
    src: /etc/app/parts
    dest: /etc/app/app.conf
    regexp: \\.conf$
    delimiter: "### NEXT"
    validate: appctl check %s
""",
)

# $1 folder. Tells its files by number, in the order of their bytes.
_LIST = r"""
LC_ALL=C
fact path "$1"
[ -e "$1" ] || give_up "Source ($1) does not exist"
[ -d "$1" ] || give_up "Source ($1) is not a directory"
number=0
for file in "$1"/.* "$1"/*; do
    [ -f "$file" ] || continue
    fact "$number" "$file"
    number=$((number + 1))
done
"""

# Paths. Tells their sizes, then exactly so many bytes of each, filled up where one has become shorter.
_READ = r"""
sizes=
for file; do
    [ -r "$file" ] || give_up "cannot read $file: Permission denied"
    sizes="$sizes $(($(wc -c <"$file")))"
done
fact sizes "$sizes"
begin_content
for size in $sizes; do
    { cat -- "$1" 2>/dev/null; head -c "$size" /dev/zero; } | head -c "$size"
    shift
done
:
"""


def run(context: Context) -> Result:
    """Read the fragments, join them here, and place what comes of it."""
    arguments = context.arguments
    fragments = _of_host(context) if arguments["remote_src"] else _bundled(context)
    content = joined(fragments, arguments["delimiter"])
    placing = {**arguments, "force": True, "follow": False}
    result = place(structs.replace(context, arguments=placing), Content(content, None))
    md5sum = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return {**result, "src": arguments["src"], "md5sum": md5sum, "msg": "OK"}


def joined(fragments: Iterable[bytes], delimiter: str | None) -> bytes:
    """The fragments, each beginning a line, with the delimiter as a line between them."""
    between = b""
    if delimiter:
        between = codecs.escape_decode(delimiter.encode())[0]
        between += b"" if between.endswith(b"\n") else b"\n"
    whole, newline = bytearray(), b""
    for number, fragment in enumerate(fragments):
        whole += newline + (between if number else b"") + fragment
        newline = b"" if fragment.endswith(b"\n") else b"\n"
    return bytes(whole)


def chosen(names: Sequence[str], regex: str | None, ignore_hidden: bool) -> list[bool]:
    """Which of the names take part."""
    pattern = re.compile(regex or "")
    return [bool(pattern.search(name)) and not (ignore_hidden and name.startswith(".")) for name in names]


def _taken(context: Context, paths: Sequence[str]) -> list[str]:
    names = [posixpath.basename(path) for path in paths]
    taken = bounded(chosen, names, context.arguments["regexp"], context.arguments["ignore_hidden"])
    found = [path for path, takes_part in zip(paths, taken, strict=True) if takes_part]
    return sorted(found, key=posixpath.basename)


def _of_host(context: Context) -> list[bytes]:
    told = facts(context, _LIST, [expanded_word(context.arguments["src"])])
    paths = _taken(context, [path for name, path in told.items() if name != "path"])
    if not paths:
        return []
    sizes, data = facts_and_content(context, _READ, [word(path) for path in paths])
    if data is None:
        raise ModuleFailure(f"the files of {shown(told['path'])} are together more than is kept of a command's output")
    fragments, begin = [], 0
    for size in map(int, sizes["sizes"].split()):
        fragments.append(data[begin : begin + size])
        begin += size
    return fragments


def _bundled(context: Context) -> list[bytes]:
    source = context.arguments["src"]
    folder = "files" if context.arguments["decrypt"] else STILL_ENCRYPTED
    tree = tree_of(context, source, folder)
    if tree is None:
        raise ModuleFailure(f"Source ({source}) is not a directory")
    names = _taken(context, [name for name in tree.files if "/" not in name])
    return [context.files.read(f"{source.rstrip('/')}/{name}", folder=folder) for name in names]
