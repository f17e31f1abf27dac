"""Opens the encrypted values that a plan may use: here and now, as workers have no vault passwords.

Each costs milliseconds, and an inventory may hold thousands of them for hosts and names that a run never touches:
so the names that the plan's templates lead to are followed, and all others are left as they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct, field

from opsrunner import modules
from opsrunner.errors import InputError
from opsrunner.inventory import Inventory
from opsrunner.plan import check
from opsrunner.plan.bundle import JINJA_RULES, Bundle
from opsrunner.plan.model import Loop, Play, Step
from opsrunner.plan.paths import key_of
from opsrunner.plan.texts import texts_in
from opsrunner.playbook import Faults
from opsrunner.tagged import Encrypted
from opsrunner.templating import Templar, possibly_template

#: Fields of a step that hold expressions, and those that are no values of the operator's.
_EXPRESSIONS = frozenset(("when", "until", "failed_when", "changed_when"))
_NO_VALUES = frozenset(
    (
        *("number", "name", "module", "place", "section", "path", "tags", "literal", "listen"),
        *("role", "search", "known_as", "inclusions"),
    )
)
#: A look-up of which the plugin, or the variable that it gives, is known to none before it is rendered.
_DYNAMIC = re.compile(
    r"""\b(?:lookup|query|q)\s*\((?!\s*(?P<quote>['"])(?!(?:ansible\.builtin\.)?(?:vars|template)(?P=quote)))"""
)
_OF_ALL_HOSTS = "hostvars"
_OF_ALL_NAMES = frozenset((_OF_ALL_HOSTS, "vars"))


class _Used(Struct):
    """What a plan may look at: names with the place of a step each, everything, other hosts."""

    names: dict[str, str] = field(default_factory=dict)
    everything: bool = False
    all_hosts: bool = False


def open_used(
    plays: Collection[Play],
    inventory: Inventory,
    extra_vars: Mapping[str, Any],
    *,
    templar: Templar,
    bundle: Bundle | None,
    faults: Faults,
) -> None:
    """Open every encrypted value that the plays may use; one that stays closed and is named by them is a fault."""
    steps = [step for play in plays for step in play.steps]
    for value, _ in _encrypted_in((step.place, _values(step)) for step in steps):
        _open(value, faults)
    layers = [*_host_independent(plays, inventory, extra_vars), *_of_hosts(inventory)]
    if not any(True for _ in _encrypted_in(_pairs(layers))):
        return
    used = _Search(templar, bundle, layers).used(steps, plays)
    hosts = {host for play in plays for host in play.hosts}
    if any(play.late for play in plays):
        hosts = {*inventory.hosts, *(name for layer in inventory.all_layers for name in layer.hosts)}
    elif used.all_hosts or any(step.delegate_to is not None for step in steps):
        hosts = set(inventory.hosts)
    wanted = [*_host_independent(plays, inventory, extra_vars), *_of_hosts(inventory, hosts)]
    closed: dict[str, list[Encrypted]] = {}
    for value, name in _encrypted_in(_pairs(wanted)):
        if used.everything or name in used.names or _is_ours(name):
            try:
                value.read()
            except InputError:
                closed.setdefault(name, []).append(value)
    if closed:
        _tell(closed, used, plays, inventory, extra_vars, faults)


def _open(value: Encrypted, faults: Faults) -> None:
    try:
        value.read()
    except InputError as error:
        faults.add(error.what, error.place, why=error.why, remedy=error.remedy)


def _is_ours(name: str) -> bool:
    """Whether the tool itself looks at a variable of that name."""
    return name.startswith("opsrunner_") or check.NO_FACT.fullmatch(name) is not None


# ---------------------------------------------------------------------- where variables stand
def _host_independent(
    plays: Iterable[Play], inventory: Inventory, extra_vars: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    yield extra_vars
    for play in plays:
        yield from (play.role_defaults, play.vars, *play.vars_of_files, play.role_vars)
        for role in play.roles:
            yield from (role.defaults, role.vars, role.params)
    for group in inventory.groups.values():
        yield group.variables
    for layer in inventory.all_layers:
        yield from layer.groups.values()


def _of_hosts(inventory: Inventory, hosts: Collection[str] | None = None) -> Iterator[Mapping[str, Any]]:
    """What hosts say themselves; ``hosts`` are those that count."""
    for name, host in inventory.hosts.items():
        if host.variables and (hosts is None or name in hosts):
            yield host.variables
    for layer in inventory.all_layers:
        for name, variables in layer.hosts.items():
            if hosts is None or name in hosts:
                yield variables


def _pairs(layers: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    for layer in layers:
        yield from layer.items()


def _encrypted_in(pairs: Iterable[tuple[str, Any]]) -> Iterator[tuple[Encrypted, str]]:
    """Encrypted values with the name that each stands below."""
    for name, value in pairs:
        if isinstance(value, Encrypted):
            yield value, name
        elif isinstance(value, Mapping):
            yield from ((inner, name) for inner, _ in _encrypted_in(value.items()))
        elif isinstance(value, (list, tuple)):
            yield from ((inner, name) for inner, _ in _encrypted_in((name, item) for item in value))


def _values(step: Step) -> list[Any]:
    values = [getattr(step, name) for name in Step.__struct_fields__ if name not in _NO_VALUES | {"loop"}]
    return [*values, step.loop.over] if step.loop else values


# ---------------------------------------------------------------------- which are used
class _Search:
    """Follows the names in a plan's templates to the variables, and on through the templates in those."""

    def __init__(self, templar: Templar, bundle: Bundle | None, layers: Iterable[Mapping[str, Any]]) -> None:
        self.templar = templar
        self.bundle = bundle
        self.found = _Used()
        self.waiting: list[str] = []
        #: Name → the templates in all values that it has anywhere.
        self.templates: dict[str, dict[str, None]] = {}
        for name, value in _pairs(layers):
            for text in texts_in(value):
                if possibly_template(text):
                    self.templates.setdefault(name, {})[text] = None

    def used(self, steps: Iterable[Step], plays: Iterable[Play]) -> _Used:
        """All that the steps may look at."""
        for step in steps:
            self.look_at(step)
        plays = list(plays)
        for play in plays:
            for text in texts_in([entry.alternatives for entry in play.host_files.entries] if play.host_files else []):
                self.look_into(text, play.place, expression=False)
        for name in [name for name in self.templates if _is_ours(name)]:
            self.add({name}, next((play.place for play in plays), ""))
        while self.waiting and not self.found.everything:
            name = self.waiting.pop()
            for text in self.templates.get(name, ()):
                self.look_into(text, self.found.names[name], expression=False)
        return self.found

    def look_at(self, step: Step) -> None:
        if step.literal:
            return
        unrendered = modules.get(step.module).SPEC.unrendered
        for name in Step.__struct_fields__:
            if name in _NO_VALUES or name in ("loop", "arguments"):
                continue
            for text in texts_in(getattr(step, name)):
                self.look_into(text, step.place, expression=name in _EXPRESSIONS)
        for name, value in step.arguments.items():
            for text in (*texts_in(name), *texts_in(value)):
                self.look_into(text, step.place, expression=name in unrendered)
        if step.loop:
            self.look_at_loop(step.loop, step.place)
        if step.module == "template":
            self.look_into_file(step)
        if step.module == "include_vars" and self.bundle:
            for text in texts_in(list(self.bundle.variables())):
                self.look_into(text, step.place, expression=False)

    def look_at_loop(self, loop: Loop, place: str) -> None:
        if loop.kind in ("template", "vars"):
            self.found.everything = self.found.all_hosts = True
        for text in texts_in([loop.over, loop.label, loop.pause, loop.extended, loop.extended_allitems]):
            self.look_into(text, place, expression=False)
        for text in texts_in(loop.break_when):
            self.look_into(text, place, expression=True)

    def look_into_file(self, step: Step) -> None:
        digest = self._digest(step, str(step.arguments.get("src")))
        if digest is None or JINJA_RULES & step.arguments.keys():
            self.found.everything = self.found.all_hosts = True  # which file, and how it is read, is not known yet
        else:
            assert self.bundle
            self.look_into(self.bundle.contents[digest].decode("utf-8", "replace"), step.place, expression=False)

    def _digest(self, step: Step, path: str) -> str | None:
        return self.bundle.keys.get(key_of(step.search, "templates", path)) if self.bundle else None

    def look_into(self, text: str, place: str, *, expression: bool) -> None:
        """Take the names in a template, or in an expression."""
        is_template = possibly_template(text)
        if not (is_template or expression):
            return
        names = self.templar.expression_names(text) if expression else self.templar.names(text)
        # A template in an expression gives an expression, and that may hold any name.
        if names & _OF_ALL_NAMES or _DYNAMIC.search(text) or (expression and is_template):
            self.found.everything = True
        self.found.all_hosts |= _OF_ALL_HOSTS in names or self.found.everything
        self.add(names, place)

    def add(self, names: Iterable[str], place: str) -> None:
        for name in names:
            if name not in self.found.names:
                self.found.names[name] = place
                self.waiting.append(name)


# ---------------------------------------------------------------------- which cannot be opened
def _tell(
    closed: Mapping[str, list[Encrypted]],
    used: _Used,
    plays: Iterable[Play],
    inventory: Inventory,
    extra_vars: Mapping[str, Any],
    faults: Faults,
) -> None:
    """Note the values that count for a host of the plays; what hides one may be another group's or play's."""
    names = [name for name in closed if name in used.names or _is_ours(name)]
    told: list[Encrypted] = []
    waiting = sum(len(closed[name]) for name in names)
    for play in plays:
        around = list(_around_hosts(play, names, extra_vars))
        for host in play.hosts:
            if waiting == len(told):
                return
            own = _only(names, inventory.variables(host))
            for value, name in _encrypted_in(_pairs({**below, **own, **above} for below, above in around)):
                if not value.is_open and not any(value is one for one in told):
                    told.append(value)
                    _tell_of(value, name, used.names.get(name, play.place), faults)


def _around_hosts(
    play: Play, names: Collection[str], extra_vars: Mapping[str, Any]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """What of ``names`` stands below the variables of hosts and what above them: in the play, and in each role."""
    of_play = (play.vars, *play.vars_of_files, play.role_vars)
    yield _only(names, play.role_defaults), _only(names, *of_play, extra_vars)
    for role in play.roles:
        if any(name in own for own in (role.defaults, role.vars, role.params) for name in names):
            below = _only(names, play.role_defaults, role.defaults)
            yield below, _only(names, *of_play, role.vars, role.params, extra_vars)


def _only(names: Iterable[str], *layers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: layer[name] for layer in layers for name in names if name in layer}


def _tell_of(value: Encrypted, name: str, user: str, faults: Faults) -> None:
    try:
        value.read()
    except InputError as error:
        why = f"{error.why}; {user} uses it" if user else error.why
        faults.add(f"{name}: {error.what}", error.place, why=why, remedy=error.remedy)
