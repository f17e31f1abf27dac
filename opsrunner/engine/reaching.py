"""How hosts are reached, found out once for all steps that do not change it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from opsrunner.inventory.connection import Connection, connection
from opsrunner.modules.contract import INCLUDED
from opsrunner.plan.model import Step
from opsrunner.templating import is_constant, possibly_template

if TYPE_CHECKING:
    from opsrunner.engine.context import RunContext

Made = TypeVar("Made")

#: Variables that tell how a host is reached, and as whom.
_TELLING = ("ansible_", "opsrunner_")
#: What steps have of the tool itself, and what is no way to reach a host.
_NO_CONNECTION = frozenset(
    (
        *("ansible_failed_result", "ansible_failed_task", "ansible_loop", "ansible_loop_var", "ansible_index_var"),
        *("ansible_parent_role_names", "ansible_parent_role_paths"),
    )
)


class Reaching:
    """What follows from the variables of a run's hosts that begin so, remembered for as long as they say the same.

    To read them anew for every host × step costs more than to send the command.
    """

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._templated: dict[tuple[str, int], bool] = {}
        self._lasting: dict[tuple[str, int, int], dict[object, Any]] = {}
        #: Step → whether it gives itself such variables.
        self._giving: dict[int, bool] = {}

    def forget(self) -> None:
        """The inventory says something else of hosts now."""
        self._templated, self._lasting = {}, {}

    def lasting(self, host: str, step: Step, play: int) -> dict[object, Any] | None:
        """What was found out of the host so far; None where a step gave the host, or itself, such variables."""
        giving = self._giving.get(step.number)
        if giving is None:
            giving = self._giving[step.number] = self._gives(step, play)
        values = self._context.values(host)
        if giving or (values and _tells(name.removeprefix(INCLUDED) for name in values)):
            return None
        version = -1
        if self._is_template(host, play):
            if step.vars or step.params or step.loop is not None:
                return None
            version = self._context.version(host)
        key = (host, play, version)
        known = self._lasting.get(key)
        if known is None:
            known = self._lasting[key] = {}
        return known

    def reached(
        self, host: str, scope: Mapping[str, Any], step: Step, play: int, made: Callable[[str, Connection], Made]
    ) -> Made:
        """How to reach a host: its variables, else the step's keywords, else the command line's.

        ``made`` is what the caller makes of that; it is remembered, too.
        """
        lasting = self.lasting(host, step, play)
        keywords = (step.remote_user, step.port, step.connection)
        if lasting is None or not all(map(is_constant, keywords)):
            return made(host, self._read(host, scope, step))
        key = ("reached", *keywords)
        if key not in lasting:
            lasting[key] = made(host, self._read(host, scope, step))
        known: Made = lasting[key]
        return known

    def _gives(self, step: Step, play: int) -> bool:
        written = self._context.plan.plays[play]
        role = written.roles[step.role] if step.role is not None else None
        of_role = (*role.defaults, *role.vars, *role.params) if role else ()
        of_files = (name for layer in written.host_files.layers for name in layer) if written.host_files else ()
        return _tells((*step.vars, *step.params, *of_role, *of_files))

    def _is_template(self, host: str, play: int) -> bool:
        """Whether what a step registers could change how the host is reached."""
        known = self._templated.get((host, play))
        if known is None:
            context = self._context
            written = context.plan.plays[play]
            of_play = (written.role_defaults, written.vars, written.vars_from_files, written.role_vars)
            layers = (context.inventory.variables(host), *of_play, context.plan.extra_vars)
            known = self._templated[host, play] = any(
                possibly_template(value)
                for layer in layers
                for name, value in layer.items()
                if name.startswith(_TELLING) and isinstance(value, str)
            )
        return known

    def _read(self, host: str, scope: Mapping[str, Any], step: Step) -> Connection:
        options, render = self._context.plan.options, self._context.templar.render
        fallback = {
            "ansible_user": render(step.remote_user, scope) or options.remote_user,
            "ansible_port": render(step.port, scope),
            "ansible_connection": render(step.connection, scope),
            "ansible_ssh_private_key_file": options.private_key,
            "ansible_password": options.connection_password,
            "ansible_timeout": options.connection_timeout,
        }
        return connection(host, _Fallback(scope, {key: value for key, value in fallback.items() if value is not None}))


def _tells(names: Iterable[str]) -> bool:
    return any(name.startswith(_TELLING) and name not in _NO_CONNECTION for name in names)


class _Fallback(Mapping[str, Any]):
    """Variables of a host, with what keywords and options say where it has none of its own."""

    _OLD_SPELLINGS: Mapping[str, tuple[str, ...]] = {
        "ansible_user": ("ansible_ssh_user",),
        "ansible_port": ("ansible_ssh_port",),
        "ansible_password": ("ansible_ssh_password", "ansible_ssh_pass"),
        "ansible_ssh_private_key_file": ("ansible_private_key_file",),
        "ansible_timeout": ("ansible_ssh_timeout",),
    }

    def __init__(self, first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
        self._first = first
        self._second = {
            name: value
            for name, value in second.items()
            if name not in first and not any(old in first for old in self._OLD_SPELLINGS.get(name, ()))
        }

    def __getitem__(self, name: str) -> Any:
        return self._second[name] if name in self._second else self._first[name]

    def get(self, name: str, default: Any = None) -> Any:
        # As in Scope: of the names that are asked for a host has few.
        if name in self:
            return self[name]
        return default

    def __contains__(self, name: object) -> bool:
        return name in self._second or name in self._first

    def __iter__(self) -> Iterator[str]:
        yield from self._second
        yield from (name for name in self._first if name not in self._second)

    def __len__(self) -> int:
        return sum(1 for _ in self)
