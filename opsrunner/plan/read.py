"""From what an operator names to a plan that knows its sources, and from such a plan to what it would be now."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from opsrunner import inventory, yamlsource
from opsrunner.errors import InputError
from opsrunner.inventory import patterns, sources
from opsrunner.plan.model import Compiled, Options, Plan, Sources
from opsrunner.settings import SCRIPT_TIMEOUT

if TYPE_CHECKING:
    from opsrunner.plan.prompts import Ask

_NO_TEXT = re.compile("[\ud800-\udfff]")


def read_playbook(
    path: Path,
    inventories: Sequence[str],
    options: Options,
    extra_vars: Mapping[str, Any],
    *,
    base: Path,
    allow_empty: bool = False,
    script_timeout: float = SCRIPT_TIMEOUT,
    ask: Ask | None = None,
    answers: Mapping[str, Mapping[str, Any]] | None = None,
) -> Compiled:
    """Load the inventories (relative to ``base``) and compile the playbook against them.

    Without ``ask`` nobody can be asked.

    Raises InputError or InputErrors, as :func:`opsrunner.inventory.load` and :func:`compile_playbook` do.
    """
    from opsrunner.plan.compile import compile_playbook
    from opsrunner.plan.prompts import nobody

    with yamlsource.noting() as files:
        loaded = inventory.load(inventories, base=base, script_timeout=script_timeout)
        compiled = compile_playbook(
            path, loaded, options, extra_vars, allow_empty=allow_empty, ask=ask or nobody, answers=answers, base=base
        )
    made_from = _sources(inventories, base, files)
    made_from = replace(made_from, playbook=_absolute(path), allow_empty=allow_empty)
    _refuse_what_is_no_text(compiled.plan)
    return replace(compiled, plan=replace(compiled.plan, sources=made_from))


def read_command(
    pattern: str,
    words: Sequence[str],
    inventories: Sequence[str],
    options: Options,
    extra_vars: Mapping[str, Any],
    *,
    base: Path,
    timeout: float | None = None,
    allow_empty: bool = False,
    script_timeout: float = SCRIPT_TIMEOUT,
) -> Compiled:
    """Load the inventories (relative to ``base``) and compile one command for the hosts of a pattern.

    Raises InputError or InputErrors, as :func:`opsrunner.inventory.load` and :func:`compile_exec` do.
    """
    from opsrunner.plan.command import compile_exec

    with yamlsource.noting() as files:
        loaded = inventory.load(inventories, base=base, script_timeout=script_timeout)
        compiled = compile_exec(
            pattern, words, loaded, options, extra_vars, directory=base, timeout=timeout, allow_empty=allow_empty
        )
    made_from = replace(_sources(inventories, base, files), allow_empty=allow_empty)
    _refuse_what_is_no_text(compiled.plan)
    return replace(compiled, plan=replace(compiled.plan, sources=made_from))


def absent(made_from: Sources) -> str | None:
    """The path without which nothing can be read again here, None when it is there."""
    paths = [made_from.playbook] if made_from.playbook else [one for one in made_from.inventories if one[:1] == "/"]
    return next((path for path in paths if not os.path.exists(path)), None)  # noqa: PTH110 -- a text, and no link followed


def read_again(plan: Plan, *, script_timeout: float = SCRIPT_TIMEOUT, ask: Ask | None = None) -> Compiled:
    """What the plan's sources give now, inventory scripts run anew, with the run's own options and extra variables.

    ``plan.sources`` must be there. Raises InputError or InputErrors where they no longer compile.
    """
    made_from = plan.sources
    assert made_from is not None
    base = Path(made_from.directory)
    options = replace(plan.options, limit=_absolute_limit(plan.options, base))
    given = (made_from.inventories, options, plan.extra_vars)
    how: Any = {"base": base, "allow_empty": made_from.allow_empty, "script_timeout": script_timeout}
    if made_from.playbook:
        return read_playbook(Path(made_from.playbook), *given, ask=ask, answers=plan.answers, **how)
    play, step = plan.plays[0], plan.plays[0].steps[0]
    words = step.arguments["argv"] if step.module == "command" else [step.arguments["_raw_params"]]
    return read_command(play.pattern, words, *given, timeout=step.timeout, **how)


def _refuse_what_is_no_text(plan: Plan) -> None:
    """Bytes that are no UTF-8 come from a command line or an inventory script. Raises InputError."""
    for text in (plan.title, *(host for play in plan.plays for host in play.hosts)):
        if _NO_TEXT.search(text):
            raise InputError(
                f"{text!r} is no UTF-8",
                why="runs and hosts are named by texts",
                remedy="write it in UTF-8, in a locale that has it (LANG=C.UTF-8)",
            )


def _sources(inventories: Sequence[str], base: Path, files: Mapping[str, str]) -> Sources:
    found = [sources.resolve(one, base) for one in inventories]
    names = tuple(one.text if isinstance(one, sources.HostList) else str(one) for one in found)
    return Sources(names, _absolute(base), socket.gethostname(), files=dict(files))


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 -- links stay as the operator wrote them


def _absolute_limit(options: Options, base: Path) -> str | None:
    """``-l @FILE`` names a file relative to where the run was started, not to where it is resumed."""
    limit = options.limit
    if limit is None or "@" not in limit:
        return limit
    return ",".join(
        f"@{base / part[1:]}" if part.startswith("@") and part[1:] not in options.selections else part
        for part in patterns.split(limit)
    )
