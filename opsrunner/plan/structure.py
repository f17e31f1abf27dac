"""Resolves a play's roles, imports and includes: what is left are tasks and blocks, each knowing where it came from.

An import, and a role, becomes a Block. An include becomes a task and, behind it, one Block for each file or role
that a host may bring in by it (:class:`opsrunner.playbook.Choice`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from opsrunner.errors import Place
from opsrunner.plan import choices, roles
from opsrunner.plan.certainty import has_condition
from opsrunner.plan.choices import Chosen, HostScopes
from opsrunner.plan.codec import plain
from opsrunner.plan.inclusion import PARTS
from opsrunner.plan.model import Role
from opsrunner.plan.role_arguments import validation
from opsrunner.plan.role_paths import collection_of
from opsrunner.plan.role_search import RoleSearch
from opsrunner.plan.role_variables import Placed, RoleVariables, role_magic
from opsrunner.plan.scope import PlayScope
from opsrunner.plan.task_search import TaskSearch, Where
from opsrunner.playbook import SECTIONS, Block, Choice, Entry, Include, Keyword, Origin, Play, RoleEntry, Task
from opsrunner.playbook.model import SectionName

#: Tasks of one play, so that a loop around a loop does not make a plan that nobody can hold.
MOST_TASKS = 20_000
_PARTS = {"tasks_from": "tasks", "vars_from": "vars", "defaults_from": "defaults", "handlers_from": "handlers"}


class Structure:
    """The structure of one play; ``searches`` is the plan's list of lists of folders, and grows."""

    def __init__(
        self,
        reader: roles.Reader,
        scope: PlayScope,
        hosts: HostScopes,
        directory: Path,
        searches: list[tuple[str, ...]],
    ) -> None:
        self.reader = reader
        self.scope = scope
        self.faults = scope.faults
        self.hosts = hosts
        self.directory = directory
        self.role_search = RoleSearch(directory, reader.elsewhere, self.faults)
        self.searches = searches
        self.variables = RoleVariables()
        self.placed = self.variables.placed
        self.search = TaskSearch(directory, self.role_search, self.placed, searches)
        self.roles = self.variables.roles
        self.names: list[str] = []
        #: Keys of the roles that ran for every host that comes by.
        self._ran: list[Any] = []
        #: Handlers of roles that are brought in, and whether by an include, which comes after all imports.
        self._late_handlers: list[tuple[bool, Block]] = []
        self._tasks = 0

    def resolve(self, play: Play, file: Path) -> Play:
        """The play without anything that refers to other files."""
        here = Where(self.directory, (self.directory / file.name,), search=self.search.folders_of((), self.directory))
        first = [block for entry in play.roles if (block := self._listed(entry, here))]
        role_handlers = [block for number in range(len(self.placed)) for block in self.placed[number].handlers]
        self._late_handlers.clear()
        sections: dict[SectionName, tuple[Entry, ...]] = {}
        for name in SECTIONS:
            inner = tuple(self.entries(play.sections[name], here))
            sections[name] = (*first, *inner) if name == "tasks" else inner
        own = tuple(self.entries(play.handlers, replace(here, handlers=True)))
        late = [block for _, block in sorted(self._late_handlers, key=lambda one: one[0])]
        return replace(play, roles=(), sections=sections, handlers=(*role_handlers, *own, *late))

    def dependent_names(self) -> tuple[str, ...]:
        """Names of the roles that others depend on."""
        return tuple(dict.fromkeys(self.placed[one].name for role in self.placed for one in role.dependencies))

    # ------------------------------------------------------------------ entries
    def entries(self, found: Iterable[Entry], where: Where) -> Iterator[Task | Block]:
        """The same with everything resolved that is an include."""
        for entry in found:
            if isinstance(entry, Include):
                yield from self._include(entry, where)
            elif isinstance(entry, Block):
                avoidable = where.avoidable or has_condition(entry.keywords)
                inner = replace(where, vars={**where.vars, **plain(entry.vars)}, avoidable=avoidable)
                rescued = replace(inner, avoidable=avoidable or bool(entry.rescue))
                yield replace(
                    entry,
                    block=tuple(self.entries(entry.block, rescued)),
                    rescue=tuple(self.entries(entry.rescue, inner)),
                    always=tuple(self.entries(entry.always, inner)),
                )
            elif self._counted(entry):
                yield entry

    def _counted(self, task: Task) -> bool:
        self._tasks += 1
        if self._tasks == MOST_TASKS + 1:
            self.faults.add(f"the play has more than {MOST_TASKS} tasks with all that it includes", task.place)
        return self._tasks <= MOST_TASKS

    def _include(self, include: Include, where: Where) -> Iterator[Task | Block]:
        if ("name" if include.of_role else "file") not in include.arguments:
            return  # told when it was read
        avoidable = where.avoidable or has_condition(include.keywords)
        where = replace(where, vars={**where.vars, **plain(include.vars)}, avoidable=avoidable)
        if not include.dynamic:
            yield from self._import(include, where)
            return
        if any(self.scope.is_broken(value) for value in include.arguments.values()):
            return  # told with all other templates that cannot be read
        candidates = self.search.candidates(include, where)
        found = choices.chosen(include, self.hosts, self._known(where), self.faults, candidates)
        # A name that no file has fails on the hosts that come to it; when no name has one it is a slip.
        there = [one for one in found if self.search.is_there(include, one, where)]
        if found and not there and where.avoidable:
            what = f"{include.place}: {found[0].name} not found: a host that comes to it will fail there"
            self.reader.warnings.append(what)
        found = there or ([] if where.avoidable else found[:1])
        where = replace(where, avoidable=where.avoidable or len(found) > 1)
        blocks = [self._brought_in(include, one, where) for one in found]
        step = Task(
            place=include.place,
            name=include.name or (f"{include.action} : {include.arguments.get('name')}" if include.of_role else None),
            module=include.kind,
            action=include.action,
            arguments={name: include.arguments[name] for name in ("file", "name", *PARTS) if name in include.arguments},
            argument_places=include.argument_places,
            keywords=include.keywords,
            vars=include.vars,
            loop=include.loop,
            choices=tuple(Choice(one.key, one.item, one.index, one.position) for one in found),
        )
        if self._counted(step):
            yield step
            yield from blocks

    def _import(self, include: Include, where: Where) -> Iterator[Block]:
        rendered: dict[str, str] = {}
        for name in ("file", "name", *PARTS):
            if name in include.arguments:
                place = include.argument_places.get(name, include.place)
                value = self._rendered(include.arguments[name], place, where)
                if value is None:
                    return
                rendered[name] = value
        if include.of_role:
            entry = RoleEntry(include.place, rendered["name"], include.keywords, defaults=include.defaults)
            block = self._role(entry, where, parts=rendered, public=_flag(include, "public", True), include=include)
        else:
            block = self._file(include, rendered["file"], where)
        if block:
            yield replace(block, keywords=include.keywords, vars={**include.vars, **block.vars})

    def _rendered(self, value: Any, place: Place, where: Where) -> str | None:
        known = self._known(where)
        rendered = self.scope.render(
            value,
            place,
            "the name",
            more=known.vars,
            lowest=known.defaults,
            params=known.params,
            search=known.search,
        )
        if rendered is not None and not (isinstance(rendered, str) and rendered.strip()):
            self.faults.add(f"the name is {rendered!r}, which is no text", place)
            return None
        return rendered

    def _brought_in(self, include: Include, one: Chosen, where: Where) -> Block:
        """The tasks of one choice at an include, which hosts enter there."""
        params = {**where.params, **plain(include.vars), **one.variables}
        inner = replace(where, params=params, entered=True)
        if include.of_role:
            entry = RoleEntry(include.place, one.name, defaults=include.defaults)
            block = self._role(entry, inner, parts=one.parts, public=_flag(include, "public", False), include=include)
        else:
            block = self._file(include, one.name, inner)
        block = block or Block(include.place, None, ())
        return replace(block, keywords=include.applied, vars=include.applied_vars, entered=True)

    # ------------------------------------------------------------------ files of tasks
    def _file(self, include: Include, name: str, where: Where) -> Block | None:
        place = include.argument_places.get("file", include.place)
        tried = self.search.places(name, where)
        path = next((one for one in tried if os.path.isfile(one)), None)  # noqa: PTH113 -- long names, where Path raises
        if path is None:
            self.faults.add(f"{name} not found", place, why=f"looked for {', '.join(map(str, tried))}")
            return None
        if path in where.stack:
            self.faults.add(f"{name} brings in itself", place, why=" → ".join(map(str, (*where.stack, path))))
            return None
        inner = replace(
            where,
            folder=path.parent,
            stack=(*where.stack, path),
            search=self.search.folders_of(where.chain, path.parent),
        )
        found = self.reader.tasks(path, place, include.defaults, handlers=where.handlers and not include.dynamic)
        return Block(include.place, None, tuple(self.entries(found, inner)), origin=self._origin(inner))

    def _origin(self, where: Where) -> Origin:
        return Origin(where.role, where.search, where.params)

    # ------------------------------------------------------------------ roles
    def _listed(self, entry: RoleEntry, where: Where) -> Block | None:
        name = self._rendered(entry.name, entry.place, where)
        inner = replace(where, avoidable=where.avoidable or has_condition(entry.keywords))
        block = self._role(replace(entry, name=name), inner) if name else None
        return replace(block, keywords=entry.keywords) if block else None

    def _role(
        self,
        entry: RoleEntry,
        where: Where,
        *,
        parts: Mapping[str, str] | None = None,
        public: bool = True,
        include: Include | None = None,
        dependency: bool = False,
    ) -> Block | None:
        """The tasks of a role behind those of the roles it depends on; None when it is not found, or ran already."""
        path = self.role_search.find(entry, self.search.beside(where))
        if path is None:
            return None
        if of_collection := collection_of(path):
            entry = replace(entry, name=".".join(of_collection))
        parts = {folder: (parts or {}).get(argument, "main") for argument, folder in _PARTS.items()}
        meta = self.reader.meta(path, entry.place, entry.defaults)
        key = _key(entry, path, parts)
        duplicates = _flag(include, "allow_duplicates", True) if include else meta.allow_duplicates
        if key in self._ran and not duplicates:
            return None
        main = roles.located(path / "tasks", parts["tasks"])
        if (main or path) in where.stack:
            self.faults.add(f"role {entry.name} brings in itself", entry.place)
            return None
        self._check_parts(entry, path, parts)
        number = self._place(entry, path, parts)
        inner = self._within(number, main or path, where, include)
        blocks = self._dependencies(meta.dependencies, number, inner)
        self.variables.merge(number, where.chain)
        if not dependency:
            self.names.append(self.placed[number].name)
            if public:
                self.variables.publish(number)
        found = self._tasks_of_role(entry, path, parts["tasks"], validated=_flag(include, "rolespec_validate", True))
        block = Block(entry.place, None, (*blocks, *self.entries(found, inner)), origin=self._origin(inner))
        self._read_handlers(entry, path, parts, number, inner)
        if not where.entered:
            self._ran.append(key)
        return block

    def _within(self, number: int, main: Path, where: Where, include: Include | None) -> Where:
        """What the tasks of that role find around them, which ``main`` holds."""
        chain, folder = (*where.chain, number), self.placed[number].path / "tasks"
        return replace(
            where,
            chain=chain,
            folder=folder,
            stack=(*where.stack, main),
            params=self._parents(where, include),
            search=self.search.folders_of(chain, folder),
        )

    def _tasks_of_role(self, entry: RoleEntry, path: Path, name: str, *, validated: bool) -> tuple[Entry, ...]:
        """The role's tasks by that name, behind the one that looks whether its arguments are as it says."""
        main = roles.located(path / "tasks", name)
        found = self.reader.tasks(main, entry.place, entry.defaults) if main else ()
        spec = self.reader.argument_spec(path, name, entry.place) if validated else None
        return (validation(entry, path, name, spec), *found) if spec else found

    def _check_parts(self, entry: RoleEntry, path: Path, parts: Mapping[str, str]) -> None:
        for folder, name in parts.items():
            if name != "main" and not roles.has_part(path, folder, name):
                self.faults.add(
                    f"role {entry.name} has no {folder}/{name}", entry.place, why=f"looked in {path / folder}"
                )

    def _place(self, entry: RoleEntry, path: Path, parts: Mapping[str, str]) -> int:
        """Note the role; gives its number."""
        own = Role(
            entry.name,
            str(path),
            defaults=self.reader.variables(path, "defaults", parts["defaults"], entry.place),
            vars=self.reader.variables(path, "vars", parts["vars"], entry.place),
            params=plain(entry.params),
        )
        self.placed.append(Placed(entry.name, path, own, []))
        # With what it is called by, until the roles it depends on are known.
        self.roles.append(replace(own, vars={**own.vars, **plain(entry.vars)}))
        return len(self.placed) - 1

    def _parents(self, where: Where, include: Include | None) -> Mapping[str, Any]:
        """Includes' params with what tells an included role of the role around it."""
        if include is None or where.role is None:
            return where.params
        parent = self.placed[where.role]
        return {
            **where.params,
            **self.roles[where.role].params,
            "ansible_parent_role_names": [parent.name, *where.params.get("ansible_parent_role_names", ())],
            "ansible_parent_role_paths": [str(parent.path), *where.params.get("ansible_parent_role_paths", ())],
        }

    def _dependencies(self, entries: Iterable[RoleEntry], number: int, where: Where) -> list[Block]:
        blocks = []
        for entry in entries:
            name = self._rendered(entry.name, entry.place, where)
            if name is None:
                continue
            first = len(self.placed)
            block = self._role(replace(entry, name=name), where, dependency=True)
            if block:
                blocks.append(replace(block, keywords=entry.keywords))
                self.placed[number].dependencies += [first, *self.placed[first].dependencies]
            else:
                self.placed[number].dependencies += self._known_before(name, where)
        return blocks

    def _known_before(self, name: str, where: Where) -> list[int]:
        """A role that ran already gives its variables to whoever depends on it all the same."""
        path = self.role_search.located(name, self.search.beside(where))
        return [number for number, role in enumerate(self.placed) if role.path == path][-1:]

    def _read_handlers(self, entry: RoleEntry, path: Path, parts: Mapping[str, str], number: int, where: Where) -> None:
        file = roles.located(path / "handlers", parts["handlers"])
        if file is None:
            return
        inner = replace(
            where,
            folder=path / "handlers",
            handlers=True,
            search=self.search.folders_of(where.chain, path / "handlers"),
        )
        found = tuple(self.entries(self.reader.tasks(file, entry.place, entry.defaults, handlers=True), inner))
        given = where.vars if not where.entered else {}
        block = Block(entry.place, None, found, keywords=entry.keywords, vars=given, origin=self._origin(inner))
        self.placed[number].handlers = (block,)
        self._late_handlers.append((where.entered, block))

    def _known(self, where: Where) -> choices.Known:
        """Variables of no host that a name may refer to."""
        role = self.roles[where.role] if where.role is not None else None
        return choices.Known(
            self.scope,
            defaults={**self.variables.defaults, **(role.defaults if role else {})},
            vars={**self.variables.vars, **(role.vars if role else {}), **where.vars},
            params={**(role.params if role else {}), **where.params, **role_magic(role)},
            search=self.searches[where.search],
        )


def _flag(include: Include | None, name: str, default: bool) -> bool:
    return bool(include.arguments.get(name, default)) if include else default


def _key(entry: RoleEntry, path: Path, parts: Mapping[str, str]) -> Any:
    """What makes two entries the same role, which runs once."""
    keywords: Mapping[str, Keyword] = entry.keywords
    said = [plain(keywords[name].value) if name in keywords else None for name in ("when", "tags")]
    return (path, *parts.values(), *said, plain(entry.params), plain(entry.vars))
