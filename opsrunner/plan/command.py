"""One command for the hosts of a pattern, as a plan."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from opsrunner.errors import InputError
from opsrunner.inventory import Inventory, patterns
from opsrunner.plan.batches import batches
from opsrunner.plan.codec import plain
from opsrunner.plan.model import Compiled, Options, Plan, Play, Step
from opsrunner.plan.zones import zones_of
from opsrunner.tagged import Encrypted


def compile_exec(
    pattern: str,
    words: Sequence[str],
    inventory: Inventory,
    options: Options,
    extra_vars: Mapping[str, Any] | None = None,
    *,
    directory: Path | None = None,
    timeout: float | None = None,
    allow_empty: bool = False,
) -> Compiled:
    """Compile one command for the hosts of a pattern.

    One word is a line for a shell; several are a program and its arguments, run without a shell.
    Neither is a template. ``timeout`` is in seconds, None the setting's; ``directory`` defaults to
    the current one. Raises InputError.
    """
    if not words or not any(words):
        raise InputError("there is no command to run", remedy="opsrunner exec PATTERN -- COMMAND")
    directory = directory or Path.cwd()
    if not patterns.split(pattern):
        raise InputError(f"the pattern {pattern!r} says nothing", remedy="all hosts are all")
    hosts = patterns.match(
        inventory, pattern, limit=options.limit, allow_empty=allow_empty, selections=options.selections
    )
    step = _typed_command(words, timeout)
    play = Play(
        number=0,
        name=step.name,
        place=step.place,
        pattern=pattern,
        hosts=tuple(hosts),
        batches=batches(hosts, ()),
        steps=(step,),
    )
    given = extra_vars or {}
    lookups, zones = _variables_and_zones(play, inventory, given, directory)
    plan = Plan(
        title=step.name,
        kind="exec",
        directory=str(directory),
        plays=(play,),
        inventory=inventory.to_data(),
        searches=((str(directory),),),
        extra_vars=plain(dict(given)),
        lookups=lookups,
        options=options,
        zones=zones,
    )
    nobody = () if hosts else (f"no host matches {pattern!r}",)
    return Compiled(plan, {}, (*map(str, inventory.warnings), *nobody))


def _variables_and_zones(
    play: Play, inventory: Inventory, extra_vars: Mapping[str, Any], directory: Path
) -> tuple[Mapping[str, Any], dict[str, tuple[str, ...]]]:
    """What lookups in variables came to, and the zones of hosts."""
    if any(map(_is_more_than_data, _variables(inventory, extra_vars))):
        # Importing Jinja2 costs more than all the rest of a command.
        from opsrunner.plan.command_variables import rendered

        return rendered(play, inventory, extra_vars, directory)
    return {}, zones_of(inventory, play.hosts, extra_vars=extra_vars)


def _typed_command(words: Sequence[str], timeout: float | None) -> Step:
    line = words[0] if len(words) == 1 else shlex.join(words)
    return Step(
        number=0,
        name=line,
        module="shell" if len(words) == 1 else "command",
        place="command line",
        arguments={"_raw_params": line} if len(words) == 1 else {"argv": list(words), "expand_argument_vars": False},
        timeout=timeout,
        literal=True,
    )


def _variables(inventory: Inventory, extra_vars: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every mapping of variables that there is."""
    yield extra_vars
    yield from (group.variables for group in inventory.groups.values())
    yield from (host.variables for host in inventory.hosts.values() if host.variables)
    for layer in inventory.all_layers:
        yield from layer.groups.values()
        yield from layer.hosts.values()


def _is_more_than_data(value: Any) -> bool:
    """Whether a template or an encrypted value may be in it; who looks closer may find that there is none."""
    if isinstance(value, str):
        # So begin all of Jinja's marks, and the line with which a text changes them.
        return "{" in value or value.startswith("#jinja2:")
    if isinstance(value, Mapping):
        return any(map(_is_more_than_data, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_is_more_than_data, value))
    return isinstance(value, Encrypted)
