"""Reads an INI inventory into a builder, line by line as Ansible does; what it would take for a guess is an error."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import NamedTuple

from opsrunner import yamlsource
from opsrunner.errors import InputError, Place, did_you_mean
from opsrunner.inventory import ini_values, ini_words, ranges
from opsrunner.inventory.builder import Builder
from opsrunner.inventory.document import Document
from opsrunner.inventory.reading import Reading

_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_KINDS = ("hosts", "children", "vars")
_SECTION = re.compile(r"\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?")
_CHILD = re.compile(r"([^:\]\s]+)\s*(?:#.*)?")
#: What Ansible warns of in names, and nobody means there: a list, a YAML line, a header with a slip.
_ODD_IN_GROUP = re.compile(r"""[\[{}"',=]""")
_ODD_IN_VARIABLE = re.compile(r"""[\s\[\]{}"';]""")


class Line(NamedTuple):
    """A line that says something: ``text`` without the blanks around it begins at ``column`` of line ``number``."""

    number: int
    column: int
    text: str

    @property
    def is_header(self) -> bool:
        """Whether this is a well-formed ``[section]``."""
        found = _SECTION.fullmatch(self.text)
        return found is not None and not _ODD_IN_GROUP.search(found[1])


def lines(text: str) -> Iterator[Line]:
    """The lines of ``text`` that are neither blank nor a comment."""
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped and stripped[0] not in "#;":
            yield Line(number, len(line) - len(line.lstrip()) + 1, stripped)


def add(document: Document, builder: Builder, reading: Reading) -> None:
    """Add what ``document.text`` says to ``builder``; faults go to ``reading``.

    Bytes that are no UTF-8 stand in the text as surrogates: in comments they do no harm.
    """
    walk = _Walk(document, builder, reading)
    if not walk.is_text():
        return
    for line in lines(document.text):
        walk.read(line)
    walk.finish()


class _Walk:
    """Walks over one text; faults are collected so that one visit tells them all."""

    def __init__(self, document: Document, builder: Builder, reading: Reading) -> None:
        self.document = document
        self.builder = builder
        self.reading = reading
        self.group = "ungrouped"
        #: What the lines of this section are; none where its header could not be read.
        self.kind: str | None = "hosts"
        #: Child → its parents and where they say so: it must be declared in this file, too, if only later.
        self.awaited: dict[str, list[tuple[str, Place]]] = {}
        #: Groups of which so far only ``[group:vars]`` was seen.
        self.only_variables: dict[str, Place] = {}

    def is_text(self) -> bool:
        """Whether the file is a text at all; one fault says that it is none."""
        first = Line(1, 1, self.document.text)
        if first.text.startswith("\ufeff"):
            why = "Ansible would take it for a part of the first name"
            self.fault("a byte order mark", first, why=why, remedy="save the file without it")
        elif "\0" in first.text:
            before = first.text[: first.text.index("\0")].splitlines(keepends=True) or [""]
            self.fault("a NUL in a text", Line(len(before), 1, ""), len(before[-1]), remedy="is this an inventory?")
        else:
            return True
        return False

    def is_utf8(self, line: Line, end: int) -> bool:
        """Whether the text of a line up to ``end``, where its comment begins, is what an editor would show."""
        odd = _NOT_UTF8.search(line.text, 0, end)
        if odd:
            self.fault("not UTF-8 text", line, odd.start(), remedy="save the file as UTF-8")
        return odd is None

    def read(self, line: Line) -> None:
        header = _SECTION.fullmatch(line.text)
        if header:
            self.begin(header, line)
        elif line.text.startswith("[") and line.text.endswith("]"):
            self.kind = None
            self.fault(
                "a section that cannot be read",
                line,
                why="it is [group], [group:vars] or [group:children], without blanks inside",
            )
        elif self.kind == "hosts":
            self.hosts(line)
        elif self.kind == "vars":
            self.variable(line)
        elif self.kind == "children":
            self.child(line)

    def begin(self, header: re.Match[str], line: Line) -> None:
        """Begin a section: declare its group, and give it to the parents that wait for it."""
        group, kind = header[1], header[2] or "hosts"
        self.kind = None
        if not self.is_utf8(line, header.end(1)):
            return
        if kind not in _KINDS:
            near = difflib.get_close_matches(kind, _KINDS, 1)
            self.fault(
                f"unknown kind of section: {kind}",
                line,
                header.start(2),
                why="sections are [group], [group:children] and [group:vars]",
                remedy=f"did you mean [{group}:{near[0]}]?" if near else None,
            )
            return
        odd = _ODD_IN_GROUP.search(group)
        if odd:
            self.fault(f"a group's name with {odd[0]} in it", line, header.start(1) + odd.start())
            return
        self.group, self.kind = group, kind
        if group not in self.builder.groups:
            if kind == "vars" and group not in self.awaited:
                self.only_variables[group] = self.place(line, header.start(1))
            self.builder.add_group(group)
        if kind != "vars":
            self.only_variables.pop(group, None)
            for parent, place in self.awaited.pop(group, ()):
                self.add_child(parent, group, place)

    def child(self, line: Line) -> None:
        found = _CHILD.fullmatch(line.text)
        if found is None:
            self.fault(
                "a line of [group:children] is the name of one group",
                line,
                why="it holds a blank, a colon or a bracket",
                remedy="a comment begins with # after a blank",
            )
        elif not self.is_utf8(line, found.end(1)):
            return
        elif found[1] in self.builder.groups:
            self.add_child(self.group, found[1], self.place(line))
        else:
            self.awaited.setdefault(found[1], []).append((self.group, self.place(line)))

    def add_child(self, parent: str, child: str, place: Place) -> None:
        try:
            self.builder.add_child(parent, child)
        except InputError as error:
            self.placed(error, place)

    def variable(self, line: Line) -> None:
        """``name = value``: all that follows the first ``=`` is the value."""
        name, equals, value = line.text.partition("=")
        if not equals:
            self.fault(
                f"a line of [{self.group}:vars] without =",
                line,
                why="it is name = value",
                remedy=f"hosts go below [{self.group}]",
            )
            return
        if not self.is_utf8(line, len(line.text)):
            return
        start = len(name) + 1 + len(value) - len(value.lstrip())
        variables = yamlsource.Mapping(self.place(line))
        if self.put(variables, (name.rstrip(), value.strip()), line, (0, start)):
            try:
                self.builder.set_group_variables(self.group, variables)
            except InputError as error:
                self.placed(error, self.place(line))

    def hosts(self, line: Line) -> None:
        """A name or range, and ``name=value`` words after it."""
        try:
            first, *rest = ini_words.split(line.text)
        except ini_words.BrokenLine as error:
            self.placed(error, self.place(line, error.start))
            return
        last = [first, *rest][-1]
        if not self.is_utf8(line, last.start + len(last.raw)):
            return
        names, port = self.names(first, line)
        variables = yamlsource.Mapping(self.place(line))
        if not names or not all(self.host_variable(variables, word, line) for word in rest):
            return
        self.warn_of_comment(last, line)
        file, directory = str(self.document.path), str(self.document.path.parent)
        for name in names:
            self.builder.add_host(name, self.group, file, directory, port, self.place(line, first.start))
            try:
                self.builder.set_host_variables(name, variables)
            except InputError as error:
                self.placed(error, yamlsource.place_of_key(variables, "ansible_group_priority"))

    def names(self, word: ini_words.Word, line: Line) -> tuple[list[str], int | None]:
        if re.match(r"\[[^\]]*\][ \t]+;", line.text):
            self.fault("a comment after a section's header begins with #", line, line.text.index(";"))
        elif not word.text:
            self.fault("a host's name is empty", line, word.start)
        elif "=" in word.text:
            self.fault(
                f"a variable where a host's name belongs: {word.text.partition('=')[0]}",
                line,
                word.start,
                remedy=f"put the host's name before it, or the line below [{self.group}:vars]",
            )
        else:
            try:
                names, port = ranges.expand(word.text)
            except InputError as error:
                self.placed(error, self.place(line, word.start))
                return [], None
            if (word.text.strip().endswith(":") and port is None) or names[0].strip() == "---":
                self.fault(
                    "this is no host's name",
                    line,
                    word.start,
                    why="it looks like YAML, which Ansible reads from .yml, .yaml, .json and files without an ending",
                    remedy="rename the file, or write the name without it",
                )
                return [], None
            return names, port
        return [], None

    def host_variable(self, variables: yamlsource.Mapping, word: ini_words.Word, line: Line) -> bool:
        name, equals, value = word.text.partition("=")
        if not equals:
            apart = line.text[word.start + len(word.raw) :].lstrip().startswith("=")
            self.fault(
                "a word that is no variable",
                line,
                word.start,
                why="after a host's name stands name=value",
                remedy="write name=value without blanks around the ="
                if apart
                else "put a value with blanks in quotes; a comment begins with #",
            )
            return False
        return self.put(variables, (name, value), line, (word.start, word.start + word.raw.index("=") + 1))

    def put(self, variables: yamlsource.Mapping, pair: tuple[str, str], line: Line, starts: tuple[int, int]) -> bool:
        """Put a name and its typed value, found at ``starts``, into ``variables``; False when one of them is bad."""
        (name, value), (start, value_start) = pair, starts
        odd = _ODD_IN_VARIABLE.search(name)
        if odd or not name:
            why = f"it has {odd[0]!r} in it" if odd else "there is none before the ="
            self.fault("not the name of a variable", line, start, why=why)
            return False
        try:
            variables[name] = ini_values.typed(value)
        except InputError as error:
            self.placed(error, self.place(line, value_start))
            return False
        variables.key_places[name] = self.place(line, start)
        variables.value_places[name] = self.place(line, value_start)
        return True

    def warn_of_comment(self, word: ini_words.Word, line: Line) -> None:
        if word.cut:
            place = self.place(line, word.start + len(word.raw))
            warning = self.document.fault(
                "a comment begins here, in the middle of a word",
                place,
                why="as in Ansible the rest of the line is left out",
                remedy="put the word in quotes if the # belongs to it, else a blank before the #",
            )
            self.reading.warn(warning)

    def finish(self) -> None:
        """Tell of the groups that no header declared."""
        for child, parents in self.awaited.items():
            remedy = self.near(child) or f"declare it with [{child}]; hosts go below [group]"
            for parent, place in parents:
                self.placed(InputError(f"[{parent}:children] names an unknown group: {child}", remedy=remedy), place)
        for group, place in self.only_variables.items():
            remedy = self.near(group) or f"declare it with [{group}]"
            self.placed(InputError(f"[{group}:vars] is of an unknown group", remedy=remedy), place)

    def near(self, name: str) -> str | None:
        # To compare thousands of names with thousands of others takes minutes.
        if len(self.reading.faults) > 20 or len(self.builder.groups) > 1000:
            return None
        declared = [group for group in self.builder.groups if group not in self.only_variables]
        return did_you_mean(name, declared)

    def place(self, line: Line, start: int = 0) -> Place:
        return Place(self.document.shown, line.number, line.column + start)

    def fault(self, what: str, line: Line, start: int = 0, **said: str | None) -> None:
        self.reading.faults.append(self.document.fault(what, self.place(line, start), **said))

    def placed(self, error: InputError, place: Place | None) -> None:
        self.reading.faults.append(self.document.fault(error.what, place, why=error.why, remedy=error.remedy))
