"""lineinfile: a line is in a text file, or is not."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from opsrunner.ledger.records import Result
from opsrunner.modules.bounded import bounded
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.editing import EDITING_ARGUMENTS, Edit, Found, edit
from opsrunner.modules.entries import REFUSED_FILE_ARGUMENTS
from opsrunner.modules.posix import shown

SPEC = Spec(
    summary="Put a line into a text file, change one, or take lines out",
    arguments={
        "state": Argument("str", "whether the line is there", default="present", choices=("absent", "present")),
        "line": Argument("str", "the line", aliases=("value",)),
        "regexp": Argument(
            "regex",
            "Python regular expression of the line to replace (the last that matches), or of those to take out",
            aliases=("regex",),
        ),
        "search_string": Argument("str", "the same as a plain text that the line holds"),
        "backrefs": Argument(
            "bool", "line holds \\1 and \\g<name> of regexp; where it matches nothing, nothing is done", default=False
        ),
        "insertafter": Argument("regex", "where a new line goes: behind the last match, or EOF (or BOF)"),
        "insertbefore": Argument("regex", "where a new line goes: before the last match, or BOF"),
        "firstmatch": Argument("bool", "the first match counts instead of the last", default=False),
        "create": Argument("bool", "make the file, and what is missing above it", default=False),
        **EDITING_ARGUMENTS,
    },
    mutually_exclusive=(("insertbefore", "insertafter"), ("regexp", "search_string"), ("backrefs", "search_string")),
    required_if=(
        ("state", "present", ("line",), False),
        ("state", "absent", ("line", "search_string", "regexp"), True),
    ),
    check_mode="full",
    refused=dict(REFUSED_FILE_ARGUMENTS),
    examples="""
- lineinfile:
    path: /etc/ssh/sshd_config
    regexp: '^#?PermitRootLogin '
    line: PermitRootLogin no
    validate: sshd -t -f %s
- lineinfile: path=/etc/hosts line="10.0.0.7 db" create=true
- lineinfile:
    path: /etc/sudoers
    state: absent
    regexp: ^%wheel
""",
)

_EMPTY = (
    "The {} is an empty string, which will match every line in the file. This may have unintended consequences, "
    "such as replacing the last line in the file rather than appending."
)
_EMPTY_REGEX = " If this is desired, use '^' to match every line in the file and avoid this warning."


def run(context: Context) -> Result:
    """Read, change, write back; nothing is written where the line is as it should be."""
    arguments = context.arguments
    removing = arguments["state"] == "absent"
    if not removing and arguments["backrefs"] and arguments["regexp"] is None:
        raise ModuleFailure("regexp is required with backrefs=true")
    found: list[int] = []

    def change(file: Found) -> Edit | Result:
        found.clear()
        if file.data is None and removing:
            return {"changed": False, "msg": "file not present"}
        if file.data is None and not arguments["create"]:
            raise ModuleFailure(f"Destination {shown(file.path)} does not exist !", rc=257)
        data, msg, count = _changed(file.data or b"", removing, arguments)
        found.append(count)
        return Edit(data, msg, bool(msg))

    result = edit(context, change)
    if found:
        result["backup"] = result.pop("backup_file", "")
        if removing:
            result["found"] = found[0]
    return _warned(result, arguments)


def _warned(result: Result, arguments: Mapping[str, Any]) -> Result:
    warnings = []
    if arguments["regexp"] == "":
        warnings.append(_EMPTY.format("regular expression") + _EMPTY_REGEX)
    if arguments["search_string"] == "":
        warnings.append(_EMPTY.format("search string"))
    if warnings:
        result["warnings"] = [*result.get("warnings", ()), *warnings]
    return result


def _changed(data: bytes, removing: bool, arguments: Mapping[str, Any]) -> tuple[bytes, str, int]:
    """New content, message (empty: nothing changes) and the number of lines that were taken out."""
    names = ("line", "regexp", "search_string")
    given = {name: value.encode("utf-8", "surrogateescape") for name in names if (value := arguments[name]) is not None}
    anchor = {
        name: value.encode("utf-8", "surrogateescape")
        for name in ("insertafter", "insertbefore")
        if (value := arguments[name])
    }
    if removing:
        # Where no expression of the task's is searched for, nothing can take long.
        return bounded(without, data, **given) if "regexp" in given else without(data, **given)
    flags = {"backrefs": arguments["backrefs"], "firstmatch": arguments["firstmatch"]}
    if "regexp" in given or not set(anchor.values()) <= {b"BOF", b"EOF"}:
        content, msg = bounded(with_line, data, **given, **anchor, **flags)
    else:
        content, msg = with_line(data, **given, **anchor, **flags)
    return content, msg, 0


def without(
    data: bytes, *, line: bytes | None = None, regexp: bytes | None = None, search_string: bytes | None = None
) -> tuple[bytes, str, int]:
    """The content without the lines that match, the message and their number."""
    matches = _matcher(regexp, search_string) or (lambda one: one.rstrip(b"\r\n") == line)
    lines = _lines(data)
    kept = [one for one in lines if not matches(one)]
    count = len(lines) - len(kept)
    return b"".join(kept), f"{count} line(s) removed" if count else "", count


def with_line(
    data: bytes,
    *,
    line: bytes,
    regexp: bytes | None = None,
    search_string: bytes | None = None,
    insertafter: bytes | None = None,
    insertbefore: bytes | None = None,
    backrefs: bool = False,
    firstmatch: bool = False,
) -> tuple[bytes, str]:
    """The content with the line, and the message (empty: it is there already)."""
    lines = _lines(data)
    matches = _matcher(regexp, search_string)
    if matches:
        hits = (number for number, one in enumerate(lines) if matches(one))
        at = next(hits, None) if firstmatch else max(hits, default=None)
        if at is not None:
            return _replaced(lines, at, _expanded(regexp, lines[at], line) if backrefs else line)
    anchor = _anchor(insertafter, insertbefore)
    present, place = _standing(lines, line, anchor, firstmatch)
    if present is not None:
        return _replaced(lines, present, line)
    if backrefs:
        return data, ""
    if b"BOF" in (insertafter, insertbefore):
        place = 0
    elif place is None:
        place = len(lines)
    elif insertafter:
        place += 1
        if place < len(lines) and lines[place].rstrip(b"\r\n") == line:
            return data, ""
    return _inserted(lines, place, line)


def _lines(data: bytes) -> list[bytes]:
    """Lines with their ends, of which only a newline counts."""
    return re.findall(rb"[^\n]*\n|[^\n]+", data)


def _matcher(regexp: bytes | None, search_string: bytes | None) -> Callable[[bytes], object] | None:
    if regexp is not None:
        return compiled(regexp).search
    if search_string is not None:
        return lambda one: search_string in one
    return None


def compiled(regexp: bytes) -> re.Pattern[bytes]:
    """The expression for bytes, which knows less than one for text. Raises ModuleFailure."""
    try:
        return re.compile(regexp)
    except (re.error, ValueError, RecursionError, OverflowError) as error:
        raise ModuleFailure(f"invalid regular expression {regexp.decode(errors='replace')}: {error}") from None


def _anchor(insertafter: bytes | None, insertbefore: bytes | None) -> re.Pattern[bytes] | None:
    if insertafter:
        return None if insertafter in (b"BOF", b"EOF") else compiled(insertafter)
    return compiled(insertbefore) if insertbefore and insertbefore != b"BOF" else None


def _standing(
    lines: list[bytes], line: bytes, anchor: re.Pattern[bytes] | None, first: bool
) -> tuple[int | None, int | None]:
    """Where the line itself stands already, and where the anchor is; behind a first anchor nobody looks."""
    present = place = None
    for number, one in enumerate(lines):
        if one.rstrip(b"\r\n") == line:
            present = number
        elif anchor is not None and anchor.search(one):
            place = number
            if first:
                break
    return present, place


def _expanded(regexp: bytes | None, one: bytes, line: bytes) -> bytes:
    match = compiled(regexp or b"").search(one)
    assert match is not None
    try:
        return match.expand(line)
    except (re.error, IndexError) as error:
        raise ModuleFailure(f"line refers to a group that regexp does not have: {error}") from None


def _replaced(lines: list[bytes], at: int, line: bytes) -> tuple[bytes, str]:
    line = line if line.endswith(b"\n") else line + b"\n"
    msg = "" if lines[at] == line else "line replaced"
    lines[at] = line
    return b"".join(lines), msg


def _inserted(lines: list[bytes], place: int, line: bytes) -> tuple[bytes, str]:
    # A last line without an end gets one; Ansible glues the new line to it where insertafter matches it.
    if place and not lines[place - 1].endswith((b"\n", b"\r")):
        lines[place - 1] += b"\n"
    return b"".join([*lines[:place], line + b"\n", *lines[place:]]), "line added"
