"""Magic variables of a host × step, each worked out only when a template asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jinja2.utils import missing

from opsrunner.ledger.client import patiently
from opsrunner.plan import magic
from opsrunner.plan.model import Play, Step
from opsrunner.templating import Scope
from opsrunner.version import VERSION

if TYPE_CHECKING:
    from opsrunner.engine.context import RunContext


class Magic(Mapping[str, Any]):
    """What nothing overrides: the run's own variables, with ``play`` those of the play, too."""

    def __init__(self, context: RunContext, play: Play | None, batch: int) -> None:
        self._context = context
        self._play = play
        self._batch = batch
        self._constant = context.magic if play is None else {**context.magic, **_of_play(context, play)}

    def __getitem__(self, name: str) -> Any:
        if self._play is not None and name in _OF_PLAY:
            return _OF_PLAY[name](self, self._play)
        return self._context.inventory.groups_variable() if name == "groups" else self._constant[name]

    def __contains__(self, name: object) -> bool:
        return name == "groups" or name in self._constant or (self._play is not None and name in _OF_PLAY)

    def __iter__(self) -> Iterator[str]:
        yield from self._constant
        yield "groups"
        if self._play is not None:
            yield from _OF_PLAY

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def remaining(self, hosts: tuple[str, ...]) -> list[str]:
        """Those of ``hosts`` that the run has not ended for."""
        ended = patiently(lambda: self._context.reader.ended(self._context.run_id))
        return [host for host in hosts if host not in ended]

    def hosts_of_batch(self, play: Play) -> list[str]:
        return self.remaining(play.batches[self._batch])

    def hostvars(self, _play: Play) -> HostVars:
        return HostVars(self._context)


def _of_play(context: RunContext, play: Play) -> dict[str, Any]:
    of_roles = magic.of_roles(play.role_names, play.dependent_role_names)
    return {**magic.of_play(play.name, play.directory or context.plan.directory), **of_roles}


_OF_PLAY: dict[str, Callable[[Magic, Play], Any]] = {
    "ansible_play_hosts": lambda found, play: found.remaining(play.hosts),
    "ansible_play_batch": Magic.hosts_of_batch,
    "play_hosts": Magic.hosts_of_batch,
    "ansible_play_hosts_all": lambda _found, play: list(play.hosts),
    "hostvars": Magic.hostvars,
}


def of_context(context: RunContext) -> dict[str, Any]:
    """The variables that are the same for all hosts of a run, whatever the play."""
    plan = context.plan
    sources = plan.sources.inventories if plan.sources else None
    own = {"opsrunner_run_id": context.run_id, "opsrunner_version": VERSION}
    return {**magic.of_run(plan.options, plan.directory, sources), **own}


class HostVars(Mapping[str, Any]):
    """``hostvars``: every host's variables, each host's read when it is asked for.

    The implicit localhost is there for whoever asks by name, as in Ansible.
    """

    def __init__(self, context: RunContext) -> None:
        self._context = context

    def __getitem__(self, host: str) -> Scope:
        if host not in self:
            raise KeyError(host)
        self._context.refresh(host)
        return self._context.scope(host)

    def __contains__(self, host: object) -> bool:
        return isinstance(host, str) and self._context.inventory.knows(host)

    def __iter__(self) -> Iterator[str]:
        return iter(self._context.inventory.hosts)

    def __len__(self) -> int:
        return len(self._context.inventory.hosts)


class Made(Mapping[str, Callable[[Scope], Any]]):
    """What templates of a step find although no variable has it: ``vars``, and how the host is reached by default.

    As in Ansible they are no variables: neither ``vars`` nor ``hostvars`` has them.
    """

    def __init__(self, context: RunContext, host: str, play: Play, step: Step) -> None:
        self._context = context
        self._host = host
        self._play = play
        self._step = step

    def __getitem__(self, name: str) -> Callable[[Scope], Any]:
        if name == "vars":
            return Scope.every
        if name == "ansible_search_path":
            return lambda _scope: list(self._context.plan.searches[self._step.search])
        spellings = _SPELLINGS[name]
        return lambda scope: self._reached_by(spellings, scope)

    def __contains__(self, name: object) -> bool:
        return name in _SPELLINGS or name in _OF_STEP

    def __iter__(self) -> Iterator[str]:
        yield from (*_OF_STEP, *_SPELLINGS)

    def __len__(self) -> int:
        return len(_OF_STEP) + len(_SPELLINGS)

    def _reached_by(self, spellings: tuple[str, ...], scope: Scope) -> Any:
        """What the variables of the host that the step goes to say under any of their names, else the default."""
        rendered = self._context.templar.render(self._step.delegate_to, scope)
        target = str(rendered) if rendered else self._host
        there = scope if target == self._host else self._context.scope(target, self._play, self._step)
        for name in spellings:
            if name in there:
                return there[name]
        value = self._default(spellings[-1], scope, target)
        return missing if value is None else value

    def _default(self, name: str, scope: Scope, target: str) -> Any:
        options, render = self._context.plan.options, self._context.templar.render
        if name == "ansible_host":
            implicit = target == self._host and target not in self._context.inventory.hosts
            return "127.0.0.1" if implicit else target
        if name == "ansible_user":
            return render(self._step.remote_user, scope) or options.remote_user
        if name == "ansible_connection":
            return render(self._step.connection, scope) or "ssh"
        # The keyword `port` makes no variable, in Ansible neither.
        return {
            "ansible_private_key_file": options.private_key,
            "ansible_password": options.connection_password,
        }.get(name)


_OF_STEP = ("vars", "ansible_search_path")
#: Names of one thing, in the order in which Ansible asks for them.
_SPELLINGS: dict[str, tuple[str, ...]] = {
    name: spellings
    for spellings in (
        ("ansible_ssh_host", "ansible_host"),
        ("ansible_ssh_user", "ansible_user"),
        ("ansible_ssh_port", "ansible_port"),
        ("ansible_ssh_private_key_file", "ansible_private_key_file"),
        ("ansible_ssh_pass", "ansible_password"),
        ("ansible_connection",),
    )
    for name in spellings
}
