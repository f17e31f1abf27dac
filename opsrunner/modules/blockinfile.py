"""blockinfile: lines between two marker lines of a text file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from opsrunner.ledger.records import Result
from opsrunner.modules.bounded import bounded
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.editing import EDITING_ARGUMENTS, Edit, Found, edit
from opsrunner.modules.entries import REFUSED_FILE_ARGUMENTS
from opsrunner.modules.lineinfile import compiled
from opsrunner.modules.posix import shown

SPEC = Spec(
    summary="Put a block of lines between two marker lines of a text file, or take it out",
    arguments={
        "state": Argument("str", "whether the block is there", default="present", choices=("absent", "present")),
        "block": Argument(
            "str", "the lines; an empty text takes the block out, as absent does", default="", aliases=("content",)
        ),
        "marker": Argument(
            "str",
            "the marker lines; {mark} stands for marker_begin and marker_end",
            default="# {mark} ANSIBLE MANAGED BLOCK",
        ),
        "marker_begin": Argument("str", "{mark} of the first marker line", default="BEGIN"),
        "marker_end": Argument("str", "{mark} of the last marker line", default="END"),
        "insertafter": Argument(
            "regex", "where a new block goes: behind the last line that matches, or EOF; with (?m) it may span lines"
        ),
        "insertbefore": Argument("regex", "where a new block goes: before the last line that matches, or BOF"),
        "append_newline": Argument("bool", "an empty line follows the block, unless the file ends", default=False),
        "prepend_newline": Argument("bool", "an empty line precedes the block, unless the file begins", default=False),
        "create": Argument("bool", "make the file, and what is missing above it", default=False),
        **EDITING_ARGUMENTS,
    },
    mutually_exclusive=(("insertbefore", "insertafter"),),
    check_mode="full",
    refused=dict(REFUSED_FILE_ARGUMENTS),
    examples="""
- blockinfile:
    path: /etc/hosts
    marker: "# {mark} database hosts"
    block: |
      10.0.0.7 db1
      10.0.0.8 db2
- blockinfile:
    path: /etc/ssh/sshd_config
    insertbefore: ^Match
    block: AllowGroups ops
    validate: sshd -t -f %s
- blockinfile: path=/etc/hosts marker="# {mark} database hosts" state=absent
""",
)


def run(context: Context) -> Result:
    """Read, change, write back; nothing is written where the block is as it should be."""
    arguments = context.arguments

    def change(file: Found) -> Edit | Result:
        if file.data is None and not arguments["create"]:
            raise ModuleFailure(f"Path {shown(file.path)} does not exist !", rc=257)
        if file.data is None and arguments["state"] == "absent":
            return {"changed": False, "msg": f"File {shown(file.path)} not present"}
        return _changed(file.data, arguments)

    return edit(context, change)


def _changed(data: bytes | None, arguments: Mapping[str, Any]) -> Edit:
    present = arguments["state"] == "present"
    block = _encoded(arguments["block"]) if present else b""
    block += b"\n" if block and not block.endswith(b"\n") else b""
    begin, end = (_marker(arguments["marker"], arguments[name]) for name in ("marker_begin", "marker_end"))
    named = {name: _encoded(arguments[name]) for name in ("insertafter", "insertbefore") if arguments[name] is not None}
    blank = (present and arguments["prepend_newline"], present and arguments["append_newline"])
    # Where no expression of the task's is searched for, nothing can take long.
    plain = set(named.values()) <= {b"BOF", b"EOF"}
    content = (
        with_block(data or b"", block, begin, end, blank, **named)
        if plain
        else bounded(with_block, data or b"", block, begin, end, blank, **named)
    )
    if content == data:
        return Edit(content, "", False)
    return Edit(content, "File created" if data is None else "Block inserted" if block else "Block removed", True)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _marker(template: str, mark: str) -> bytes:
    try:
        return re.sub(rb"\{mark\}", _encoded(mark), _encoded(template)) + b"\n"
    except (re.error, IndexError) as error:
        raise ModuleFailure(f"a backslash in marker_begin or marker_end is no escape: {error}") from None


def with_block(
    data: bytes,
    block: bytes,
    begin: bytes,
    end: bytes,
    blank: tuple[bool, bool],
    *,
    insertafter: bytes | None = None,
    insertbefore: bytes | None = None,
) -> bytes:
    """The content with the block between its markers, in place of the one that is there.

    ``blank`` says whether an empty line is wanted before it and behind it. Without a block the one that is
    there goes.
    """
    lines = data.splitlines(keepends=True)
    place = _cut(lines, begin, end)
    if place is None:
        place = _place(data, lines, insertafter, insertbefore)
    if place and not lines[place - 1].endswith(b"\n"):
        lines[place - 1] += b"\n"
    before, behind = lines[:place], lines[place:]
    if blank[0] and before and before[-1] != b"\n":
        before.append(b"\n")
    if blank[1] and behind and behind[0] != b"\n":
        behind.insert(0, b"\n")
    middle = [begin, block, end] if block else []
    return b"".join([*before, *middle, *behind])


def _cut(lines: list[bytes], begin: bytes, end: bytes) -> int | None:
    """Take out what stands between the last markers, in whichever order; its place, None without markers."""
    marks = []
    for marker in (begin, end):
        at = [number for number, line in enumerate(lines) if line == marker]
        if not at:
            return None
        marks.append(at[-1])
    first, last = sorted(marks)
    del lines[first : last + 1]
    return first


def _place(data: bytes, lines: list[bytes], insertafter: bytes | None, insertbefore: bytes | None) -> int:
    """Number of the line before which a new block goes."""
    if insertafter in (None, b"EOF"):
        if insertbefore is None:
            return len(lines)
        if insertbefore == b"BOF":
            return 0
    pattern = compiled(insertafter or insertbefore or b"")
    if pattern.flags & re.MULTILINE:
        match = pattern.search(data)
        # Ansible counts the lines up to a place in bytes in a text of characters, and so comes out behind.
        found = data.count(b"\n", 0, match.end() if insertafter else match.start()) if match else None
    else:
        hits = [number for number, line in enumerate(lines) if pattern.search(line)]
        found = hits[-1] if hits else None
    if found is None:
        return len(lines)
    return found + 1 if insertafter is not None else found
