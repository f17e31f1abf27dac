"""Runs an inventory script and reads what it prints into a builder; what Ansible would guess at is an error."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from opsrunner import yamlsource
from opsrunner.errors import InputError, Place
from opsrunner.inventory import programs, values
from opsrunner.inventory.builder import Builder
from opsrunner.inventory.document import YAML_ENDINGS, Document, ending, kind
from opsrunner.inventory.reading import Reading

_SECTIONS = ("hosts", "vars", "children")
#: What Ansible's own listing says of its JSON; other profiles type values in ways of their own.
_PROFILE = "inventory_legacy"
#: Characters of the longest line that errors show.
_EXCERPT = 120


def is_script(path: Path) -> bool:
    """Whether ``path`` is a program to be run: executable, and not just text on a disk where all files are.

    Ansible tries to run whatever is executable and reads it when the kernel cannot; only what names
    its interpreter or is no text can be run.
    """
    head = _head(path) if os.access(path, os.X_OK) else b""
    return head.startswith(b"#!") or b"\0" in head


def refuse_unless_executable(path: Path, shown: str) -> None:
    """Raise InputError for a file that begins like a script, is called like one, and may not be run."""
    if ending(path) not in (*YAML_ENDINGS, ".ini") and _head(path).startswith(b"#!"):
        raise InputError(f"{shown} is a script that may not be run", remedy=f"chmod +x {shown}")


def _head(path: Path) -> bytes:
    try:
        # What is no file is told by whoever reads it; a pipe would keep us waiting here.
        if path.is_file():
            with path.open("rb") as opened:
                return opened.read(1024)
    except OSError:
        pass
    return b""


def add(path: Path, builder: Builder, reading: Reading) -> None:
    """Run the script at ``path`` and add what it prints to ``builder``; faults go to ``reading``.

    It is run with ``--list``, and with ``--host NAME`` for each of its hosts where that prints no
    ``_meta``. Raises InputError when it cannot be run, fails, or prints no JSON.
    """
    try:
        yamlsource.note(path, path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {reading.name(path)}", why=error.strerror) from None
    script = _Script(path, reading)
    listed = script.printed("--list")
    yamlsource.note(Path(f"{path} --list"), listed.text.encode())
    faults_before = len(reading.faults)
    walk = _Walk(listed, builder, reading)
    hosts = walk.groups()
    if walk.variables is not None:
        for name in hosts:
            walk.host(name, walk.variables.get(name), yamlsource.place_of_value(walk.variables, name))
    elif len(reading.faults) == faults_before:
        _ask_for_each(script, walk, hosts)


def _ask_for_each(script: _Script, walk: _Walk, hosts: list[str]) -> None:
    script.reading.warn(
        InputError(
            f"{script.name} prints no _meta and is run once more for each of {len(hosts)} hosts",
            why='Ansible is to give that up; print "_meta": {"hostvars": {…}}',
        )
    )
    texts: list[str] = []
    for name in hosts:
        printed = script.printed("--host", name)
        texts.append(printed.text)
        walk.document = printed
        walk.host(name, printed.data, None)
    yamlsource.note(Path(f"{script.path} --host"), "\0".join(texts).encode())


class _Script:
    """A script that may be run several times."""

    def __init__(self, path: Path, reading: Reading) -> None:
        self.path = path
        self.reading = reading
        self.name = reading.name(path)
        self.has_complained = False

    def printed(self, *arguments: str) -> Document:
        """What the script prints, as JSON with places. Raises InputError."""
        shown = " ".join((self.name, *arguments))
        words = (str(self.path), *arguments)
        found = programs.run(words, shown, directory=self.reading.base, timeout=self.reading.script_timeout)
        if found.complaints and not self.has_complained:
            self.has_complained = True
            self.reading.warn(InputError(f"{shown} wrote to stderr: {found.complaints}"))
        try:
            text = found.output.decode()
        except UnicodeDecodeError as error:
            raise InputError(f"{shown} prints no UTF-8 text", why=str(error)) from None
        if not text.strip() and arguments[0] == "--host":
            text = "{}"
        return Document(self.path, shown, text, self._data(text, f"output of {shown}"))

    def _data(self, text: str, name: str) -> Any:
        try:
            json.loads(text)
        except json.JSONDecodeError as error:
            place = Place(name, error.lineno, error.colno)
            what = f"no JSON: {error.msg if text.strip() else 'nothing was printed'}"
            why = "stdout must hold one JSON document and nothing else"
            raise InputError(what, place=place, why=why, excerpt=_excerpt(text, place)) from None
        except (ValueError, RecursionError) as error:
            raise InputError(f"{name}: no usable JSON", why=str(error)) from None

        def warn(duplicate: InputError) -> None:
            why = "as in Ansible the last one counts"
            self.reading.warn(InputError(duplicate.what, place=duplicate.place, why=why))

        try:
            data = values.load_yaml(text, name, on_duplicate=warn)
        except InputError as error:
            raise InputError(error.what, place=error.place, why=error.why, remedy=error.remedy) from None
        if not isinstance(data, yamlsource.Mapping):
            raise InputError(f"a mapping is expected, this is {kind(data)}", place=Place(name, 1, 1))
        return data


def _excerpt(text: str, place: Place | None) -> str | None:
    """The line at ``place``, unless it could be the whole output, with all secrets of all hosts."""
    line = yamlsource.excerpt(text, place) if place else None
    return line if line and len(line) <= _EXCERPT else None


class _Walk:
    """Walks over what a script has printed; faults are collected so that one visit tells them all."""

    def __init__(self, document: Document, builder: Builder, reading: Reading) -> None:
        self.document = document
        self.builder = builder
        self.reading = reading
        #: ``_meta.hostvars``; None where there is no ``_meta``.
        self.variables: yamlsource.Mapping | None = None

    def _fault(self, what: str, place: Place | None, **said: str | None) -> None:
        self.reading.faults.append(InputError(what, place=place, excerpt=_excerpt(self.document.text, place), **said))

    def groups(self) -> list[str]:
        """Add all groups; gives the hosts that they list, in order."""
        hosts: dict[str, None] = {}
        for name, body in self.document.data.items():
            if name == "_meta":
                self._meta(body)
            elif name:
                hosts.update(dict.fromkeys(self._group(name, body)))
            else:
                self._fault("a group's name is empty", self.document.data.key_places[name])
        return list(hosts)

    def _meta(self, meta: Any) -> None:
        self.variables = yamlsource.Mapping(self.document.data.key_places["_meta"])
        own = meta.get("hostvars") if isinstance(meta, yamlsource.Mapping) else None
        if not isinstance(own, yamlsource.Mapping):
            place = yamlsource.place_of_value(meta, "hostvars", self.document.data.key_places["_meta"])
            self._fault("_meta holds no mapping hostvars", place, remedy='print "_meta": {"hostvars": {}}')
            return
        self.variables = own
        if meta.get("profile", _PROFILE) != _PROFILE:
            what = f"_meta.profile is {meta['profile']!r}"
            self._fault(what, meta.value_places["profile"], why=f"only {_PROFILE} is known", remedy="leave it out")

    def _group(self, name: str, body: Any) -> list[str]:
        """Add one group; gives its hosts."""
        place = self.document.data.key_places[name]
        self.builder.add_group(name)
        if isinstance(body, yamlsource.Sequence):
            why = f'as in Ansible these are its hosts; print "{name}": {{"hosts": […]}}'
            self.reading.warn(InputError(f"group {name} is a list", place=place, why=why))
            return self._hosts(name, body, place)
        if not isinstance(body, yamlsource.Mapping):
            self._fault(f"group {name} is {kind(body)}", place, remedy=f'print "{name}": {{"hosts": [], "vars": {{}}}}')
            return []
        if not any(section in body for section in _SECTIONS):
            self._fault(
                f"group {name} has neither hosts nor vars nor children",
                place,
                why=f"Ansible would guess that {name} is a host, too",
                remedy=f'print "{name}": {{"hosts": []}}, or the variables of a host in _meta.hostvars',
            )
            return []
        for key in body:
            if key not in _SECTIONS:
                what, why = f"{key!r} of group {name} has no effect", "a group holds hosts, vars and children"
                self.reading.warn(InputError(what, place=body.key_places[key], why=why))
        hosts = self._hosts(name, body["hosts"], body.value_places["hosts"]) if "hosts" in body else []
        if "vars" in body:
            self._variables(name, body)
        if "children" in body:
            self._children(name, body)
        return hosts

    def _hosts(self, group: str, section: Any, place: Place) -> list[str]:
        if not isinstance(section, yamlsource.Sequence):
            self._fault(f"hosts of group {group} is {kind(section)}, not a list", place, remedy='print "hosts": ["…"]')
            return []
        file, directory = str(self.document.path), str(self.document.path.parent)
        names = [name for at, name in enumerate(section) if self._is_name(name, "host", section.item_places[at])]
        for name in names:
            self.builder.add_host(name, group, file, directory, None)
        return names

    def _is_name(self, name: Any, what: str, place: Place | None) -> bool:
        if isinstance(name, str) and name:
            return True
        self._fault(f"a {what}'s name must be text", place, why="it is empty" if name == "" else f"it is {kind(name)}")
        return False

    def _variables(self, group: str, body: yamlsource.Mapping) -> None:
        section = body["vars"]
        if not isinstance(section, yamlsource.Mapping):
            self._fault(f"vars of group {group} is {kind(section)}, not a mapping", body.value_places["vars"])
            return
        try:
            self.builder.set_group_variables(group, section)
        except InputError as error:
            place = yamlsource.place_of_key(section, "ansible_group_priority")
            self._fault(error.what, place, why=error.why, remedy=error.remedy)

    def _children(self, group: str, body: yamlsource.Mapping) -> None:
        section = body["children"]
        places = section.item_places if isinstance(section, yamlsource.Sequence) else []
        if isinstance(section, yamlsource.Mapping) and not any(section.values()):
            places = list(section.key_places.values())  # Ansible looks at the names alone
        elif not isinstance(section, yamlsource.Sequence):
            self._fault(
                f"children of group {group} is {kind(section)}, not a list of names",
                body.value_places["children"],
                remedy="print each group by itself, and its name here",
            )
            return
        for name, place in zip(section, places, strict=True):
            if not self._is_name(name, "group", place):
                continue
            self.builder.add_group(name)
            try:
                self.builder.add_child(group, name)
            except InputError as error:
                self._fault(error.what, place, why=error.why, remedy=error.remedy)

    def host(self, name: str, variables: Any, place: Place | None) -> None:
        """Give a host its variables; None where nothing is said of it."""
        if isinstance(variables, yamlsource.Mapping):
            try:
                self.builder.set_host_variables(name, variables)
            except InputError as error:
                self._fault(error.what, place, why=error.why, remedy=error.remedy)
        elif variables is not None or place is not None:
            self._fault(f"the variables of host {name} are {kind(variables)}, not a mapping", place)
