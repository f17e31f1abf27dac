"""``opsrunner run PLAYBOOK``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from opsrunner.cli import context
from opsrunner.cli.options import (
    asked_variable,
    comma_separated,
    connection_options,
    default_sources,
    inventory_options,
    playbook_options,
    run_options,
)


@click.command(
    "run",
    epilog="Examples: opsrunner run playbooks/restart.yml · opsrunner run patch.yml -l 'web:!web3' -e version=2 · "
    "opsrunner run patch.yml --check --output json",
)
@click.argument("playbook", type=click.Path(path_type=Path))
@inventory_options
@playbook_options
@connection_options
@run_options
def command(playbook: Path, **given: Any) -> int:
    """Run a playbook: compile it touching nothing, hand it to the workers, show it to its end.

    ^C leaves the run going; `opsrunner watch` shows it again, `opsrunner cancel` stops it.
    """
    from opsrunner.cli.start import options_from, start
    from opsrunner.plan.extra_vars import parse_extra_vars
    from opsrunner.plan.read import read_playbook

    given["tags"] = comma_separated(given["tags"])
    given["skip_tags"] = comma_separated(given["skip_tags"])
    extra_vars = parse_extra_vars(given["extra_vars"], Path.cwd(), context.warn)
    compiled = read_playbook(
        playbook,
        default_sources(given["inventories"]),
        options_from(given),
        extra_vars,
        base=Path.cwd(),
        allow_empty=given["allow_empty"],
        script_timeout=context.settings().script_timeout,
        ask=asked_variable,
    )
    for warning in compiled.warnings:
        context.warn(warning)
    if not any(play.hosts or play.late for play in compiled.plan.plays):
        return 0
    return start(compiled.plan, compiled.files, given)
