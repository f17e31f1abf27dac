"""ini_file: an option, or a whole section, of an INI file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, structs

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.editing import Edit, Found, edit
from opsrunner.modules.entries import FILE_ARGUMENTS, REFUSED_FILE_ARGUMENTS
from opsrunner.modules.posix import shown

SPEC = Spec(
    summary="Set or take out an option of an INI file (community.general.ini_file)",
    arguments={
        "path": Argument("path", "the file", required=True, aliases=("dest",)),
        "section": Argument("str", "the section; without one what stands before the first section"),
        "option": Argument("str", "the option; without one the whole section is meant"),
        "value": Argument("str", "its value"),
        "values": Argument("list", "values of an option that stands several times", elements="str"),
        "state": Argument("str", "whether it is there", default="present", choices=("absent", "present")),
        "exclusive": Argument("bool", "the option has no other values than these", default=True),
        "no_extra_spaces": Argument("bool", "write no blanks around =", default=False),
        "ignore_spaces": Argument("bool", "leave alone what differs by blanks around = only", default=False),
        "allow_no_value": Argument("bool", "the option may stand there without a value", default=False),
        "modify_inactive_option": Argument("bool", "an option in a comment is used for a new value", default=True),
        "create": Argument("bool", "make the file where it is not there", default=True),
        "backup": Argument("bool", "keep a copy of the file as it was", default=False),
        "follow": Argument("bool", "accepted: a link at path is always followed", default=False),
        **FILE_ARGUMENTS,
    },
    mutually_exclusive=(("value", "values"),),
    check_mode="full",
    refused={
        **REFUSED_FILE_ARGUMENTS,
        "section_has_values": "sections of one name cannot be told apart yet",
    },
    examples="""
- ini_file: path=/etc/app.ini section=database option=host value=db1
- community.general.ini_file:
    path: /etc/app.ini
    section: peers
    option: peer
    values: [10.0.0.1, 10.0.0.2]
    mode: "0640"
- ini_file: path=/etc/app.ini section=old state=absent
""",
)

_BLANK_OR_COMMENT = re.compile(r"[ \t]*([#;].*)?")


def run(context: Context) -> Result:
    """Read the file, change its lines, and write it where it became another one."""
    arguments = context.arguments
    wish = Wish.of(arguments)
    if wish.present and wish.option and not wish.values and not wish.allow_no_value:
        raise ModuleFailure("Parameter 'value(s)' must be defined if state=present and allow_no_value=False.")

    def change(file: Found) -> Edit | Result:
        if file.data is None and not arguments["create"]:
            raise ModuleFailure(f"Destination {shown(file.path)} does not exist!", rc=257)
        if file.data is None and not wish.present:
            return {"changed": False, "msg": "OK"}
        text = (file.data or b"").decode("utf-8-sig", "surrogateescape")
        lines, msg = changed(text.splitlines(keepends=True), wish)
        after = "".join(lines).encode("utf-8", "surrogateescape")
        return Edit(after if msg != "OK" else file.data or b"", msg, msg != "OK")

    edited = edit(structs.replace(context, arguments={**arguments, "validate": None}), change)
    return {**edited, "path": arguments["path"]}


class Wish(Struct, frozen=True):
    """What the task asks for."""

    present: bool
    section: str | None
    option: str | None
    values: tuple[str, ...]
    exclusive: bool
    #: What stands between an option and its value.
    sign: str
    ignore_spaces: bool
    allow_no_value: bool
    modify_inactive_option: bool

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Wish:
        values = arguments["values"] or ([] if arguments["value"] is None else [arguments["value"]])
        names = ("section", "option", "exclusive", "ignore_spaces", "allow_no_value", "modify_inactive_option")
        return cls(
            present=arguments["state"] == "present",
            values=tuple(values),
            sign="=" if arguments["no_extra_spaces"] else " = ",
            **{name: arguments[name] for name in names},
        )

    def line(self, value: str | None) -> str:
        return f"{self.option}\n" if value is None else f"{self.option}{self.sign}{value}\n"


class Line:
    """What a line says of the option that the task is about; ``there`` is false where it says nothing of it."""

    def __init__(self, text: str, option: str) -> None:
        found = re.fullmatch(rf"[ \t]*([#;]?)[ \t]*{re.escape(option)}[ \t]*(?:=[ \t]*(.*))?", text.rstrip("\r\n"))
        self.there = found is not None
        self.active = found is not None and not found[1]
        self.value: str | None = found[2] if found else None


def changed(lines: list[str], wish: Wish) -> tuple[list[str], str]:
    """The file's lines as they are to be, and what was done in Ansible's words: ``OK`` where nothing was."""
    if lines and not lines[-1].endswith("\n"):
        lines = [*lines[:-1], lines[-1] + "\n"]
    bounds = _section(lines, wish.section)
    if bounds is None:
        return _with_section(lines, wish) if wish.present else (lines, "OK")
    begin, end = bounds
    if not wish.option:
        if wish.present or begin == end:
            return lines, "OK"
        return [*lines[:begin], *lines[end:]], "section removed"
    inside, msg = (_set if wish.present else _taken_out)(lines[begin:end], wish)
    return [*lines[:begin], *inside, *lines[end:]], msg


def _section(lines: list[str], section: str | None) -> tuple[int, int] | None:
    """Numbers of the section's first line and of the one behind it; None where it is not there."""
    heads = [number for number, line in enumerate(lines) if line.startswith("[")]
    if section is None:
        return 0, heads[0] if heads else len(lines)
    pattern = re.compile(rf"\[\s*{re.escape(section.strip())}\s*\]")
    begin = next((number for number in heads if pattern.match(lines[number])), None)
    if begin is None:
        return None
    return begin, next((number for number in heads if number > begin), len(lines))


def _with_section(lines: list[str], wish: Wish) -> tuple[list[str], str]:
    added = [f"[{wish.section}]\n"]
    if not wish.option:
        return [*lines, *added], "only section added"
    return [*lines, *added, *map(wish.line, wish.values or (None,))], "section and option added"


def _set(lines: list[str], wish: Wish) -> tuple[list[str], str]:
    """The section's lines with the option's values: lines that are there are used first, then new ones are added."""
    found = [Line(line, wish.option or "") for line in lines]
    usable = [number for number, one in enumerate(found) if one.there and (one.active or wish.modify_inactive_option)]
    missing: list[str | None] = list(wish.values or (None,))
    kept: dict[int, str] = {}
    for number in usable:
        if (value := found[number].value) in missing and (wish.values or value is None):
            kept[number] = _written(lines[number], found[number], value, wish)
            missing.remove(value)
    if wish.exclusive or not wish.values:
        for number in usable:
            if missing and number not in kept:
                kept[number] = wish.line(missing.pop(0))
    after = []
    for number, line in enumerate(lines):
        if number in kept:
            after.append(kept[number])
        elif not (wish.exclusive and found[number].active):
            after.append(line)
    if not missing:
        return after, "OK" if after == lines else "option changed"
    end = len(after)
    while end and _BLANK_OR_COMMENT.fullmatch(after[end - 1].rstrip("\r\n")):
        end -= 1
    return [*after[:end], *map(wish.line, missing), *after[end:]], "option added"


def _written(line: str, found: Line, value: str | None, wish: Wish) -> str:
    """A line that has the value already, as it is to be written."""
    return line if wish.ignore_spaces and found.active else wish.line(value)


def _taken_out(lines: list[str], wish: Wish) -> tuple[list[str], str]:
    found = [(line, Line(line, wish.option or "")) for line in lines]
    after = [line for line, one in found if not (one.active and (wish.exclusive or one.value in wish.values))]
    return after, "OK" if after == lines else "option changed"
