"""One command for the hosts of a pattern, as a plan."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from opsrunner.errors import InputError
from opsrunner.inventory import Inventory, patterns
from opsrunner.plan import machine
from opsrunner.plan.batches import batches
from opsrunner.plan.codec import plain
from opsrunner.plan.compile import Compiled
from opsrunner.plan.foresight import Foresight
from opsrunner.plan.model import Options, Plan, Play, Step
from opsrunner.plan.scope import PlayScope
from opsrunner.plan.secrets import open_used
from opsrunner.plan.zones import zones_of
from opsrunner.playbook import Faults
from opsrunner.templating import Templar


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
    recorder, faults = machine.Recorder(machine.Here(directory).ask), Faults()
    templar = Templar(lookups=machine.lookups(recorder.ask, str(directory)))
    scope = PlayScope(templar, faults, play_vars={}, extra_vars=extra_vars or {}, magic={})
    Foresight(templar, recorder, inventory, faults).look_at_variables(scope, hosts, (extra_vars or {},))
    open_used([play], inventory, extra_vars or {}, templar=templar, bundle=None, faults=faults)
    faults.raise_all()
    plan = Plan(
        title=step.name,
        kind="exec",
        directory=str(directory),
        plays=(play,),
        inventory=inventory.to_data(),
        searches=((str(directory),),),
        extra_vars=plain(dict(extra_vars or {})),
        lookups=recorder.answers,
        options=options,
        zones=zones_of(inventory, hosts, templar, extra_vars),
    )
    nobody = () if hosts else (f"no host matches {pattern!r}",)
    return Compiled(plan, {}, (*map(str, inventory.warnings), *nobody))


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
