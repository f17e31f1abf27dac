"""Reads a play's ``vars_files`` on the submitting machine."""

from __future__ import annotations

import functools
import glob
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from opsrunner.errors import InputError
from opsrunner.plan import datafile
from opsrunner.plan.check import NO_FACT
from opsrunner.plan.choices import HostScopes
from opsrunner.plan.codec import plain
from opsrunner.plan.model import HostFile, HostFiles
from opsrunner.plan.scope import PlayScope
from opsrunner.playbook import Keyword, Play
from opsrunner.playbook.values import is_template
from opsrunner.templating import TemplateFailure, UndefinedVariable

_EXPRESSION = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_STATEMENTS = re.compile(r"\{.*\}", re.DOTALL)


#: Tells the names of all variables that hosts may have.
OfHosts = Callable[[], Collection[str]]


def read_all(
    play: Play, scope: PlayScope, directory: Path, warn: datafile.Warn, of_hosts: OfHosts
) -> tuple[Mapping[str, Any], HostFiles]:
    """Read every entry into ``scope``; of alternatives the first that exists.

    What names a fact, or one of ``of_hosts``, is not read. Returned are the variables of the entries before the
    first such, and those entries with the variables of the others behind them. A file that is not there is a
    fault: its variables would be missed in the middle of a run.
    """
    return _Reader(scope, directory, warn, of_hosts).read(play)


def candidates(directory: Path, folder: str, path: str) -> list[Path]:
    """Where Ansible looks for a file of the playbook, the first that exists is taken."""
    if path.startswith(("/", "~")):
        return [Path(os.path.expanduser(path))]  # noqa: PTH111 -- leaves ~nobody as it is, where Path raises
    places = [directory / path]
    # Who writes files/x means that folder, not files/files/x.
    if path.split("/")[0] != folder:
        places.insert(0, directory / folder / path)
    return places


class _Asked(dict[str, Any]):
    """The layer below all others: what is known of a host, if one is meant; writes down what only a run can tell."""

    def __init__(self, variables: Mapping[str, Any]) -> None:
        super().__init__(variables)
        self.names: set[str] = set()

    def __contains__(self, name: object) -> bool:
        # A fact is stronger than the inventory's variable of that name.
        if _is_fact(str(name)):
            self.names.add(str(name))
        elif not super().__contains__(name):
            self.names.add(str(name))
            return False
        return super().__contains__(name)


class _OfHosts(Exception):
    """The entry names what only a host can tell."""


class _Wrong(Exception):
    """The entry cannot be read, and the fault is noted."""


class _Reader:
    def __init__(self, scope: PlayScope, directory: Path, warn: datafile.Warn, of_hosts: OfHosts) -> None:
        self.scope = scope
        self.directory = directory
        self.warn = warn
        self._of_hosts = of_hosts

    @functools.cached_property
    def of_hosts(self) -> Collection[str]:
        return self._of_hosts()

    def read(self, play: Play) -> tuple[Mapping[str, Any], HostFiles]:
        before: dict[str, Any] = {}
        entries: list[tuple[tuple[str, ...], dict[str, Any]]] = []
        for alternatives in play.vars_files:
            try:
                read = self._entry(alternatives)
            except _OfHosts:
                entries.append((tuple(one.value for one in alternatives), {}))
                continue
            except _Wrong:
                continue
            for variables in read:
                self.scope.add_file(variables)
                (entries[-1][1] if entries else before).update(variables)
        return before, HostFiles(tuple(HostFile(*entry) for entry in entries), str(self.directory))

    def _entry(self, alternatives: tuple[Keyword, ...]) -> list[dict[str, Any]]:
        tried: list[Path] = []
        for one in alternatives:
            for place in candidates(self.directory, "vars", self._path(one)):
                tried.append(place)
                if os.path.isfile(place):  # noqa: PTH113 -- a name too long is no file, where Path raises
                    return self._variables(place, alternatives[0])
        self.scope.faults.add(
            f"vars_files: {' or '.join(str(one.value) for one in alternatives)} not found",
            alternatives[0].place,
            why=f"looked for {', '.join(map(str, tried))}",
        )
        raise _Wrong

    def _path(self, written: Keyword) -> str:
        path = written.value
        if is_template(path) and not self.scope.is_broken(path):
            asked = _Asked({})
            try:
                path = self.scope.try_render(path, lowest=asked)
            except UndefinedVariable as undefined:
                if asked.names:
                    # Without any host nobody's variables are missing.
                    if self.of_hosts and not any(map(self._is_of_hosts, asked.names)):
                        what = f"{written.place}: vars_files: {undefined.message}"
                        self.warn(InputError(f"{what}: passed over unless facts of a host define it"))
                    raise _OfHosts from None
            except TemplateFailure:
                pass
            if any(map(self._is_of_hosts, asked.names)):
                raise _OfHosts
        path = self.scope.render(path, written.place, "vars_files")
        if path is not None and (not isinstance(path, str) or not path):
            self.scope.faults.add(f"vars_files takes paths, not {path!r}", written.place)
        if not isinstance(path, str) or not path:
            raise _Wrong
        return path

    def _is_of_hosts(self, name: str) -> bool:
        return name in self.of_hosts or _is_fact(name)

    def _variables(self, path: Path, keyword: Keyword) -> list[dict[str, Any]]:
        try:
            return variables_in(path, self.warn)
        except InputError as error:
            if error.place is None:
                error.place = keyword.place
            self.scope.faults.take(error)
            raise _Wrong from None


def variables_in(path: Path, warn: datafile.Warn) -> list[dict[str, Any]]:
    """The mappings of variables in a file. Raises InputError."""
    data = datafile.read(path, warn)
    entries = data if isinstance(data, list) else [{} if data is None else data]
    for entry in entries:
        problem = _problem(entry)
        if problem:
            raise InputError(f"vars_files: {path} {problem}")
    return [{name: plain(value) for name, value in entry.items()} for entry in entries]


def _is_fact(name: str) -> bool:
    return name.startswith("ansible_") and not NO_FACT.fullmatch(name)


def _problem(entry: Any) -> str | None:
    if not isinstance(entry, Mapping):
        return "holds no mapping of variables"
    strange = [key for key in entry if not isinstance(key, str)]
    return f"has {strange[0]!r}, which is no name of a variable" if strange else None


# ---------------------------------------------------------------------- files of which a host takes one
def take_along(files: HostFiles, play: Play, scope: PlayScope, hosts: HostScopes, warn: datafile.Warn) -> HostFiles:
    """The files that the entries may name on ``hosts``.

    Of a template that only facts decide, these are all files that its text fits; an entry that fits none is a fault.
    """
    places = {one.value: one.place for several in play.vars_files for one in several}
    directory = Path(files.directory)
    contents: dict[str, Mapping[str, Any]] = {}
    unusable: dict[str, str] = {}
    for entry in files.entries:
        found: dict[str, None] = {}
        for template in entry.alternatives:
            patterns = dict.fromkeys(_pattern(template, scope, host) for host in hosts.known())
            found |= dict.fromkeys(_files(patterns, directory))
        if hosts.hosts and not found:
            scope.faults.add(
                f"vars_files: no file fits {' or '.join(entry.alternatives)}",
                places[entry.alternatives[0]],
                why="each host tells which it is, so all that may be meant must be there before the run",
                remedy="put the files into a folder that is named before the template, such as vars/",
            )
        for path in (path for path in found if path not in contents):
            try:
                variables = variables_in(Path(path), warn)
            except InputError as error:
                unusable[path] = str(error).strip()
                warn(InputError(f"{error.what}: a host whose vars_files name it will fail", place=error.place))
                continue
            # What fits by chance may be a playbook.
            if not any("hosts" in one for one in variables):
                contents[path] = {name: value for one in variables for name, value in one.items()}
    return HostFiles(files.entries, files.directory, contents, unusable)


def _files(patterns: Iterable[str], directory: Path) -> Iterator[str]:
    """The files that patterns fit, by absolute path."""
    for pattern in patterns:
        for candidate in candidates(directory, "vars", pattern):
            # Nothing but an expression, beside the playbook: that would be everything that lies there.
            if not pattern.strip("*/") and candidate.parent == directory:
                continue
            for path in sorted(Path("/").glob(str(candidate).lstrip("/"))):
                if path.is_file():
                    yield os.path.normpath(path)


def _pattern(template: str, scope: PlayScope, host: Mapping[str, Any]) -> str:
    """The path on that host, with ``*`` for what only the run tells."""
    whole = _literal(template, scope, host)
    if whole is not None:
        return whole
    expressions = _STATEMENTS if "{%" in template or "{#" in template else _EXPRESSION
    pattern, end = "", 0
    for match in expressions.finditer(template):
        piece = _literal(match[0], scope, host)
        pattern += glob.escape(template[end : match.start()]) + ("*" if piece is None else piece)
        end = match.end()
    return pattern + glob.escape(template[end:])


def _literal(text: str, scope: PlayScope, host: Mapping[str, Any]) -> str | None:
    """What a template comes to on that host; None where only the run tells."""
    asked = _Asked(host)
    try:
        rendered = scope.try_render(text, lowest=asked)
    except TemplateFailure:
        return None
    return None if any(map(_is_fact, asked.names)) else glob.escape(str(rendered))
