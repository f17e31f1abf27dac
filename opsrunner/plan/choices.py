"""What hosts may bring in at an include: its name and its loop rendered for each host, as far as they are known now."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from opsrunner import yamlsource
from opsrunner.errors import InputError
from opsrunner.plan.inclusion import PARTS, name_of
from opsrunner.plan.loops import items_of, loop_of, position
from opsrunner.plan.model import Loop
from opsrunner.plan.scope import PlayScope
from opsrunner.playbook import Faults, Include
from opsrunner.playbook.values import READERS, Wrong, is_template
from opsrunner.tagged import Verbatim
from opsrunner.templating import Scope, TemplateFailure

#: Files or roles that one name may stand for, and iterations of one loop.
MOST_NAMES, MOST_ITERATIONS = 50, 500
_EXPRESSION = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_ENDINGS = (".yml", ".yaml", ".json")


class Known(Struct, frozen=True):
    """Variables around an include that belong to no host."""

    scope: PlayScope
    defaults: Mapping[str, Any] = field(default_factory=dict)
    vars: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    #: The folders in which lookups look.
    search: Sequence[str] = ()


class HostScopes:
    """The hosts of a play with what is known of each before the run; ``others`` may come that nothing is known of."""

    def __init__(
        self, hosts: Sequence[str], variables: Callable[[str], Mapping[str, Any]], *, others: bool = False
    ) -> None:
        self.hosts = hosts
        self._others = others
        self._variables = variables

    def of(self, known: Known) -> Iterator[Renderer]:
        """What renders for each host; where there is none, or others may come, for nobody."""
        for scope in known.scope.possibilities():
            one = replace(known, scope=scope)
            yield from (Renderer(one, variables) for variables in self.known())

    def known(self) -> Iterator[Mapping[str, Any]]:
        """What is known of each host; where there is none, or others may come, of nobody."""
        for host in self.hosts:
            yield self._variables(host)
        if self._others or not self.hosts:
            yield {}


class Renderer(Struct, frozen=True):
    """Renders with what is known of one host."""

    known: Known
    host: Mapping[str, Any]

    def render(self, value: Any, more: Mapping[str, Any]) -> Any:
        """The rendered value. Raises TemplateFailure."""
        return self.known.scope.templar.render(value, self.scope(more))

    def yes(self, value: Any) -> bool:
        """Whether a keyword says yes, as far as it can be known."""
        try:
            return READERS["bool"](self.render(value, {})) is True
        except (TemplateFailure, Wrong):
            return False

    def items(self, loop: Loop, module: str) -> list[Any]:
        """The items of a loop. Raises TemplateFailure."""
        return items_of(loop, module, self.known.scope.templar, self.scope({}), Random(0))

    def scope(self, more: Mapping[str, Any]) -> Scope:
        known = self.known
        lowest = {**known.defaults, **self.host}
        params = {**known.params, **more}
        return known.scope.scope(known.vars, lowest=lowest, params=params, search=known.search)


class Candidates(Struct, frozen=True):
    """Where files or roles may lie whose name is not known yet; ``without`` are those that are being read."""

    folders: Sequence[Path]
    of_roles: bool
    without: Sequence[Path]

    def like(self, name: str) -> list[str]:
        """Names that a template may stand for, its expressions being any text without a slash."""
        pattern = _EXPRESSION.sub("*", name)
        found: dict[str, None] = {}
        for folder in self.folders:
            for path in _matching(folder, pattern):
                if self._fits(path):
                    found[path] = None
        return list(found)

    def _fits(self, path: str) -> bool:
        whole = next((folder / path for folder in self.folders if (folder / path).exists()), Path(path))
        if self.of_roles:
            return whole.is_dir() and any((whole / part).is_dir() for part in ("tasks", "handlers", "vars", "defaults"))
        return whole.is_file() and whole.suffix in _ENDINGS and whole not in self.without and _holds_tasks(whole)


def _holds_tasks(path: Path) -> bool:
    """Whether a file that lies there by chance is a list of tasks: playbooks and variables have the same endings."""
    try:
        found = yamlsource.load_file(path)
    except InputError:
        return False
    plays = ("hosts", "import_playbook", "ansible.builtin.import_playbook")
    return isinstance(found, list) and not any(
        isinstance(one, dict) and any(key in one for key in plays) for one in found
    )


def _matching(folder: Path, pattern: str) -> Iterator[str]:
    if pattern.startswith("/"):
        return (str(path) for path in sorted(Path("/").glob(pattern.lstrip("/"))))
    return (os.path.relpath(path, folder) for path in sorted(folder.glob(pattern)))


class Chosen(Struct, frozen=True):
    """One file or role that a host may bring in; ``variables`` are those of the loop."""

    name: str
    parts: Mapping[str, str]
    item: Any = None
    index: int | None = None
    position: Any = None
    variables: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return name_of({"name": self.name, **self.parts})


def chosen(include: Include, hosts: HostScopes, known: Known, faults: Faults, candidates: Candidates) -> list[Chosen]:
    """Everything that a host may bring in there, in the order in which Ansible would; what is wrong is noted."""
    arguments = {name: include.arguments[name] for name in ("file", "name", *PARTS) if name in include.arguments}
    place = include.argument_places.get("name" if include.of_role else "file", include.place)
    if not all(isinstance(value, str) for value in arguments.values()):
        faults.add("the names of an include are texts", place)
        return []
    if include.loop is None and not any(is_template(value) for value in arguments.values()):
        return [_made(arguments, {})]
    listed = _Listed(include, arguments, candidates)
    for renderer in hosts.of(known):
        listed.add_host(renderer)
        if len(listed.found) > MOST_ITERATIONS:
            faults.add(f"the loop of an include has more than {MOST_ITERATIONS} iterations", place)
            return []
    for problem in listed.problems() if hosts.hosts else ():  # nobody's variables are missing where nobody comes
        faults.add(problem.what, problem.place, why=problem.why, remedy=problem.remedy)
    return listed.found


class _Problem(Struct, frozen=True):
    what: str
    place: Any
    why: str | None
    remedy: str | None


class _Listed:
    """The choices at one include, gathered host by host."""

    def __init__(self, include: Include, arguments: Mapping[str, str], candidates: Candidates) -> None:
        self.include = include
        self.arguments = arguments
        self.candidates = candidates
        self.found: list[Chosen] = []
        self._loop_failure: str | None = None
        self._loop_known = include.loop is None
        self._name_failure: str | None = None
        self._guessed: dict[str, list[str]] = {}

    def add_host(self, renderer: Renderer) -> None:
        used: set[int] = set()
        for variables in self._iterations(renderer):
            for one in self._choices(renderer, variables):
                self._add(one, used)

    def _add(self, one: Chosen, used: set[int]) -> None:
        """A host brings in the first such that it has not brought in already, as Ansible has it."""
        for number, known in enumerate(self.found):
            if number not in used and known == one:
                used.add(number)
                return
        used.add(len(self.found))
        self.found.append(one)

    def _iterations(self, renderer: Renderer) -> list[dict[str, Any]]:
        loop = self.include.loop
        if loop is None:
            return [{}]
        try:
            items = renderer.items(loop_of(loop), self.include.kind)
        except TemplateFailure as failure:
            self._loop_failure = failure.message
            return []
        self._loop_known = True
        told = self._extended(renderer)
        return [self._variables(item, index, told(items, index)) for index, item in enumerate(items)]

    def _extended(self, renderer: Renderer) -> Callable[[list[Any], int], Any]:
        """What makes the variable ``ansible_loop``, None where it is not asked for."""
        loop = self.include.loop
        assert loop is not None
        extended, with_all = (
            keyword is not None and renderer.yes(keyword.value) for keyword in (loop.extended, loop.extended_allitems)
        )
        if not extended:
            return lambda _items, _index: None
        every = with_all or loop.extended_allitems is None
        return lambda items, index: position(items, index, with_all=every)

    def _variables(self, item: Any, index: int, position: Any) -> dict[str, Any]:
        loop = self.include.loop
        assert loop is not None
        found = {loop.variable: _verbatim(item), "ansible_loop_var": loop.variable}
        if loop.index_variable:
            found |= {loop.index_variable: index, "ansible_index_var": loop.index_variable}
        if position is not None:
            found["ansible_loop"] = _verbatim(position)
        return found

    def _choices(self, renderer: Renderer, variables: dict[str, Any]) -> list[Chosen]:
        try:
            rendered = {name: renderer.render(value, variables) for name, value in self.arguments.items()}
        except TemplateFailure as failure:
            return self._guess(variables, failure.message)
        if any(not isinstance(value, str) or not value.strip() for value in rendered.values()):
            return []
        return [self._chosen(rendered, variables)]

    def _chosen(self, rendered: Mapping[str, str], variables: dict[str, Any]) -> Chosen:
        loop = self.include.loop
        item = variables[loop.variable] if loop else None
        index = variables[loop.index_variable] if loop and loop.index_variable else None
        return _made(rendered, variables, item, index, variables.get("ansible_loop"))

    def _guess(self, variables: dict[str, Any], message: str) -> list[Chosen]:
        """What lies there that the name may mean, when only the run knows what it is."""
        key = "name" if self.include.of_role else "file"
        name = self.arguments[key]
        unknown_parts = any(is_template(self.arguments[part]) for part in PARTS if part in self.arguments)
        if name not in self._guessed:
            self._guessed[name] = [] if unknown_parts or "{%" in name else self.candidates.like(name)
        names = self._guessed[name]
        if not names or len(names) > MOST_NAMES:
            self._name_failure = message
            return []
        return [self._chosen({**self.arguments, key: one}, variables) for one in names]

    def problems(self) -> Iterator[_Problem]:
        loop = self.include.loop
        if loop is not None and not self._loop_known:
            yield _Problem(
                f"the list of an include's loop must be known when the run is submitted: {self._loop_failure}",
                loop.over.place,
                "the variables of inventory, play and role, and -e, count; what tasks register or gather does not",
                "loop inside of the included file",
            )
        if self._name_failure is not None and not self.found:
            key = "name" if self.include.of_role else "file"
            yield _Problem(
                f"nothing can be found for the name {self.arguments[key]!r}: {self._name_failure}",
                self.include.argument_places.get(key, self.include.place),
                f"no file, or more than {MOST_NAMES}, would fit it",
                "give its variables in inventory, vars or with -e",
            )


def _verbatim(value: Any) -> Any:
    """A value that was rendered, so that it is not rendered again."""
    if isinstance(value, str):
        return Verbatim(value) if is_template(value) else value
    if isinstance(value, Mapping):
        return {key: _verbatim(content) for key, content in value.items()}
    return [_verbatim(one) for one in value] if isinstance(value, (list, tuple)) else value


def _made(
    rendered: Mapping[str, str],
    variables: Mapping[str, Any],
    item: Any = None,
    index: int | None = None,
    position: Any = None,
) -> Chosen:
    parts = {name: rendered[name] for name in PARTS if name in rendered}
    return Chosen(rendered["file"] if "file" in rendered else rendered["name"], parts, item, index, position, variables)
