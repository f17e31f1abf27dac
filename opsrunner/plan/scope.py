"""Renders what must be known before any host is: patterns, batch sizes, tags, paths of vars_files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any

from opsrunner.errors import Place
from opsrunner.playbook import Faults
from opsrunner.playbook.values import is_template
from opsrunner.templating import Layer, Scope, Templar, TemplateFailure


class PlayScope:
    """The variables of one play that belong to no host.

    As in Ansible the play's vars are the weakest, then vars_files, then the command line's, then
    what is set by the tool itself (playbook_dir, groups …).
    """

    def __init__(
        self,
        templar: Templar,
        faults: Faults,
        *,
        play_vars: Mapping[str, Any],
        extra_vars: Mapping[str, Any],
        magic: Mapping[str, Any],
    ) -> None:
        self.templar = templar
        self.faults = faults
        self._play_vars = play_vars
        self._extra_vars = extra_vars
        self._magic = magic
        self._from_files: dict[str, Any] = {}
        self._of_hosts: tuple[Mapping[str, Any], ...] = ()
        #: Names of variables whose values nobody is shown.
        self._hidden: frozenset[str] = frozenset()

    def add_play_vars(self, variables: Mapping[str, Any]) -> None:
        """Variables that count as the play's own, over those that it has."""
        self._play_vars = {**self._play_vars, **variables}

    def add_file(self, variables: Mapping[str, Any]) -> None:
        """Variables of a vars_files file: the last one read wins."""
        self._from_files.update(variables)

    def add_host_files(self, contents: Iterable[Mapping[str, Any]]) -> None:
        """Variables of files of which each host takes its own."""
        self._of_hosts = tuple(contents)

    def possibilities(self) -> Iterator[PlayScope]:
        """Itself, and as it is for a host that takes one of those files."""
        yield self
        for variables in self._of_hosts:
            one = copy(self)
            one._from_files = {**self._from_files, **variables}
            one._of_hosts = ()
            yield one

    def learn(self, magic: Mapping[str, Any]) -> None:
        """More that the tool sets, known only now."""
        self._magic = {**self._magic, **magic}

    @property
    def from_files(self) -> Mapping[str, Any]:
        """All variables of vars_files read so far."""
        return self._from_files

    def names(self) -> set[str]:
        """Names of all variables that are there."""
        return {*self._play_vars, *self._from_files, *self._extra_vars, *self._magic}

    def render(self, value: Any, place: Place | None, what: str, **around: Any) -> Any:
        """The rendered value, or None when it cannot be rendered and the fault is noted; ``what`` is its keyword.

        ``around`` is as for :meth:`try_render`.
        """
        if not is_template(value):
            return value
        try:
            return self.try_render(value, **around)
        except TemplateFailure as failure:
            if self.is_broken(value):
                return None
            self.faults.add(
                f"{what} cannot be rendered: {failure.message}",
                place,
                why="it must be known before any host is: only vars, vars_files and -e of the play count",
                remedy="give the variable with -e",
            )
            return None

    def hide(self, names: Iterable[str]) -> None:
        """What was asked for is never shown."""
        self._hidden = frozenset(names)

    def shown(self, text: str, more: Mapping[str, Any], params: Mapping[str, Any]) -> str:
        """A name as the play's variables make it; as written where it needs a host's, or what is not to be seen."""
        if not is_template(text):
            return text
        without = PlayScope(
            self.templar,
            self.faults,
            play_vars=self._visible(self._play_vars),
            extra_vars=self._visible(self._extra_vars),
            magic=self._magic,
        )
        without.add_file(self._visible(self._from_files))
        try:
            rendered = without.try_render(text, self._visible(more), params=self._visible(params))
        except TemplateFailure:
            return text
        return rendered if isinstance(rendered, str) else text

    def _visible(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in variables.items() if name not in self._hidden}

    def is_broken(self, value: Any) -> bool:
        """Whether the template cannot be read at all, which is told of every text already."""
        return bool(self.templar.check(value))

    def try_render(self, value: Any, more: Mapping[str, Any] | None = None, **around: Any) -> Any:
        """The rendered value; ``more`` and ``around`` are as for :meth:`scope`. Raises TemplateFailure."""
        return self.templar.render(value, self.scope(more, **around))

    def scope(
        self,
        more: Mapping[str, Any] | None = None,
        *,
        lowest: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        magic_of_host: Mapping[str, Any] | None = None,
        search: Sequence[str] = (),
    ) -> Scope:
        """The play's variables with others.

        ``more`` are the vars of roles and of a task, ``lowest`` what a role's defaults and the inventory say,
        ``params`` what an include was given. ``search`` are the folders in which lookups look.
        """
        layers = [
            Layer({} if lowest is None else lowest, templated=True),
            Layer(self._play_vars, templated=True),
            Layer(self._from_files, templated=True),
            Layer(more or {}, templated=True),
            Layer(params or {}, templated=True),
            Layer(self._extra_vars, templated=True),
            Layer({**(magic_of_host or {}), **self._magic}, templated=False),
        ]
        made = {"vars": Scope.every, "ansible_search_path": lambda _scope: list(search or (self.directory,))}
        return Scope(self.templar, layers, made=made)

    @property
    def directory(self) -> str:
        """The folder of the play's playbook."""
        return str(self._magic.get("playbook_dir", ""))
