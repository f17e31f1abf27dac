"""Carries out the lookups of a plan before it is sent: workers share neither disk nor environment with this machine.

Each call of a lookup that looks at this machine is rendered by itself, for the play and for every host of it and
every item of the step's loop; what it asks is written down (:class:`opsrunner.plan.machine.Recorder`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from random import Random
from typing import Any, Final

from opsrunner import modules
from opsrunner.errors import Place
from opsrunner.inventory import Inventory
from opsrunner.plan.loops import first_found_folder, items_of
from opsrunner.plan.machine import Recorder
from opsrunner.plan.model import Step
from opsrunner.plan.role_variables import Around
from opsrunner.plan.scope import PlayScope
from opsrunner.plan.texts import texts_in
from opsrunner.playbook import Faults
from opsrunner.templating import LOOKUPS_OF_THE_MACHINE, LookupCall, Scope, Templar, TemplateFailure, UndefinedVariable

#: What may be a lookup, or a filter or test that looks at the disk: what it passes is parsed.
_CALL: Final = re.compile(
    r"\b(?:(?:lookup|query|q|select\w*|reject\w*)\s*\(|(?:expanduser|expandvars|fileglob|realpath)\b"
    r"|is\s+(?:not\s+)?(?:ansible\.\w+\.)?"
    r"(?:is_\w+|directory|file|link|exists|link_exists|mount|same_file|vaulted_file)\b)"
)
_EXPRESSION: Final = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_EXPRESSIONS: Final = frozenset(("when", "until", "failed_when", "changed_when"))
_NO_VALUES: Final = frozenset(
    ("number", "module", "place", "section", "path", "tags", "literal", "listen", "loop", "inclusions", "params")
)
_NOTHING: Final = Around()
_NO_VARS: Final[Mapping[str, Any]] = {}


class Foresight:
    """Finds and carries out the lookups of the plays that are compiled."""

    def __init__(self, templar: Templar, recorder: Recorder, inventory: Inventory, faults: Faults) -> None:
        self._templar = templar
        self._recorder = recorder
        self._inventory = inventory
        self._faults = faults
        #: What the last call that failed said.
        self._failure: TemplateFailure | None = None

    def learn(self, inventory: Inventory) -> None:
        """The inventory as it is from here on: with variables of groups that the run may make."""
        self._inventory = inventory

    def look_at_variables(
        self,
        play: PlayScope,
        hosts: Iterable[str],
        variables: Iterable[Mapping[str, Any]],
        arounds: Iterable[Around] = (_NOTHING,),
    ) -> None:
        """Lookups in variables of the play, of its hosts and roles, as each of ``arounds`` sees them.

        What needs a step's result is left alone.
        """
        hosts = dict.fromkeys(hosts)
        texts = [text for layer in (*variables, *self._of_groups(hosts)) for text in _texts(layer)]
        of_hosts = [(host, self._calls(_texts(own))) for host, own in self._of_hosts(hosts)]
        for around in arounds:
            for call in self._calls([*texts, *(text for layer in around.layers for text in _texts(layer))]):
                self._carry_out(call, self._scopes(play, hosts, around))
            for host, calls in of_hosts:
                for call in calls:
                    self._carry_out(call, self._of_host(play, host, around))

    def _of_groups(self, hosts: Collection[str]) -> Iterator[Mapping[str, Any]]:
        """The variables of the groups that one of the hosts is in, or may come to be in."""
        members = self._inventory.groups_variable()
        layers = [{name: group.variables for name, group in self._inventory.groups.items()}]
        for layer in (*layers, *(layer.groups for layer in self._inventory.all_layers)):
            for name, variables in layer.items():
                if name == "all" or name not in members or any(host in hosts for host in members[name]):
                    yield variables

    def _of_hosts(self, hosts: Collection[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The hosts' own variables."""
        layers = [{name: host.variables for name, host in self._inventory.hosts.items() if host.variables}]
        for layer in (*layers, *(layer.hosts for layer in self._inventory.all_layers)):
            yield from ((name, variables) for name, variables in layer.items() if name in hosts)

    def look_at(self, step: Step, place: Place, play: PlayScope, hosts: Iterable[str], around: Around) -> None:
        """Lookups in a step; one that cannot be carried out for any host is a fault."""
        hosts = list(hosts)
        if step.loop and step.loop.kind in LOOKUPS_OF_THE_MACHINE:
            loop = step.loop
            outer = self._scopes(play, hosts, around, step.vars)
            every = LookupCall(lambda scope: items_of(loop, step.module, self._templar, scope, Random(0)), False)
            if not self._carry_out(every, outer) and not self.likely(step, play, around):
                self._refuse(f"with_{loop.kind}", place, hosts)
        for text, expression in _step_texts(step):
            for call in self._calls_in(text, expression=expression):
                if not self._carry_out(call, self.scopes(step, play, hosts, around)) and call.needed:
                    self._refuse(f"a lookup in {text.strip()!r}", place, hosts)

    def likely(self, step: Step, play: PlayScope, around: Around) -> list[str]:
        """Files that with_first_found may come to where parts of their names are known on the host only."""
        machine = self._templar.lookups.machine
        if step.loop is None or step.loop.kind != "first_found" or machine is None:
            return []
        folder, search = first_found_folder(step.module), play.scope(search=around.search).search
        found = (machine.like(pattern, folder, search) for pattern in _patterns(step.loop.over))
        return [path for one in found for path in one.values()]

    def look_into(self, text: str, step: Step, play: PlayScope, hosts: Iterable[str], around: Around) -> None:
        """Lookups in a template file."""
        for call in self._calls([text] if _CALL.search(text) else []):
            self._carry_out(call, self.scopes(step, play, list(hosts), around))

    def scopes(self, step: Step, play: PlayScope, hosts: Iterable[str], around: Around) -> Iterator[Scope]:
        """The variables of the step for each item of its loop: without a host, then for each host."""
        for scope in self._scopes(play, hosts, around, step.vars):
            if step.loop is None:
                yield scope
                continue
            try:
                items = items_of(step.loop, step.module, self._templar, scope, Random(0))
            except TemplateFailure:
                continue
            for index, item in enumerate(items):
                named = {step.loop.variable: item, step.loop.index_variable or "ansible_index_var": index}
                yield scope.child(named)

    def _calls(self, texts: Iterable[str]) -> list[LookupCall]:
        return [call for text in dict.fromkeys(texts) for call in self._calls_in(text, expression=False)]

    def _calls_in(self, text: str, *, expression: bool) -> list[LookupCall]:
        if "expanduser" in text:
            self._recorder.ask("env", "HOME")  # whatever its path is
        return self._templar.machine_lookups(text, expression=expression)

    def _carry_out(self, call: LookupCall, scopes: Iterable[Scope]) -> bool:
        """Whether it could be rendered, or asked for something, in one of the scopes. It is tried in all of them."""
        if call.alike_everywhere:
            scopes = islice(scopes, 1)
        return sum(self._attempt(call, scope) for scope in scopes) > 0

    def _attempt(self, call: LookupCall, scope: Scope) -> bool:
        before = self._recorder.asked
        try:
            call.carry_out(scope)
        except TemplateFailure as failure:
            self._failure = failure
            return self._recorder.asked > before
        return True

    def _refuse(self, what: str, place: Place, hosts: list[str]) -> None:
        if not hosts:
            return
        what = f"{what} cannot be carried out before the run"
        if self._failure is not None and not isinstance(self._failure, UndefinedVariable):
            self._faults.add(what, place, why=self._failure.message)
            return
        self._faults.add(
            what,
            place,
            why="lookups look at the machine that submits, and this one names something that only a step tells",
            remedy="let a step look on the host itself (slurp, find, command), or write the name out",
        )

    def _scopes(
        self, play: PlayScope, hosts: Iterable[str], around: Around, own: Mapping[str, Any] = _NO_VARS
    ) -> Iterator[Scope]:
        """The variables without a host, then those of each; ``own`` are a step's ``vars``."""
        for host in (None, *hosts):
            yield from self._of_host(play, host, around, own)

    def _of_host(
        self, play: PlayScope, host: str | None, around: Around, own: Mapping[str, Any] = _NO_VARS
    ) -> Iterator[Scope]:
        """What the variables of a host may be, or of nobody."""
        return (self._scope_of(one, host, around, own) for one in play.possibilities())

    def _scope_of(self, play: PlayScope, host: str | None, around: Around, own: Mapping[str, Any] = _NO_VARS) -> Scope:
        return play.scope(
            {**around.vars, **own},
            lowest={**around.defaults, **(self._inventory.variables(host) if host else {})},
            params=around.params,
            magic_of_host=self._inventory.magic(host) if host else None,
            search=around.search,
        )


def _patterns(over: Any) -> Iterator[str]:
    """Names with ``*`` for each template in them; those that are nothing but a template may be anything."""
    terms = over if isinstance(over, (list, tuple)) else [over]
    for term in terms:
        if isinstance(term, Mapping):
            names = [one for one in _listed(term.get("files")) if isinstance(one, str)]
            folders = [one for one in _listed(term.get("paths")) if isinstance(one, str)]
            both = [f"{folder}/{name}" for folder in folders for name in names] if folders else names
            yield from _patterns(both)
        elif isinstance(term, str) and "{{" in term:
            pattern = _EXPRESSION.sub("*", term)
            if pattern.strip("*/"):
                yield pattern


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [] if value is None else [value]


def _step_texts(step: Step) -> Iterator[tuple[str, bool]]:
    """The texts of a step that call lookups, and whether each is a bare expression."""
    if step.literal:
        return
    for field in Step.__struct_fields__:
        if field not in _NO_VALUES | {"arguments"}:
            for text in _texts(getattr(step, field)):
                yield text, field in _EXPRESSIONS
    unrendered = modules.get(step.module).SPEC.unrendered
    for name, value in step.arguments.items():
        for text in _texts(value):
            yield text, name in unrendered
    if step.loop:
        for value in (step.loop.over, step.loop.label):
            for text in _texts(value):
                yield text, False
        for text in _texts(step.loop.break_when):
            yield text, True


def _texts(value: Any) -> Iterator[str]:
    """Every text in ``value`` that may call a lookup."""
    return filter(_CALL.search, texts_in(value))
