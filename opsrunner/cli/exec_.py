"""``opsrunner exec PATTERN -- COMMAND…``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from opsrunner.cli import context
from opsrunner.cli.options import (
    allow_empty_option,
    connection_options,
    default_sources,
    extra_vars_option,
    inventory_options,
    limit_option,
    run_options,
    seconds,
)
from opsrunner.errors import UsageError


class _Exec(click.Command):
    def make_context(self, *arguments: Any, **given: Any) -> click.Context:
        """Tell whoever left out the ``--`` where it goes."""
        try:
            return super().make_context(*arguments, **given)
        except click.NoSuchOption as error:
            told = f"{error.format_message()} The command, with its own options, stands behind --."
            raise click.UsageError(told, error.ctx) from None


@click.command(
    "exec",
    cls=_Exec,
    epilog="Examples: opsrunner exec all -- uptime · opsrunner exec @failed-of-last -- uptime · "
    "opsrunner exec 'web:!web3' -b -- 'journalctl -u nginx | tail -3'",
    context_settings={"ignore_unknown_options": False},
)
@click.argument("pattern")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND…")
@inventory_options
@limit_option
@extra_vars_option
@allow_empty_option
@connection_options
@run_options
@click.option("--timeout", metavar="TIME", help="Kill the command after that long (30s, 5m).")
@click.option("--fold/--no-fold", default=True, help="Show equal outputs once, with the hosts folded.")
def command(pattern: str, words: tuple[str, ...], **given: Any) -> int:
    """Run one command on the hosts that PATTERN names.

    One word is a line for /bin/sh ('ps aux | grep x'); several words are run as they stand, without a shell.
    Nothing in them is a template.
    """
    from opsrunner.cli.start import options_from, start
    from opsrunner.plan.extra_vars import parse_extra_vars
    from opsrunner.plan.read import read_command

    if not words:
        raise UsageError("no command given", remedy="opsrunner exec PATTERN -- COMMAND…")
    extra_vars = parse_extra_vars(given["extra_vars"], Path.cwd(), context.warn)
    compiled = read_command(
        pattern,
        words,
        default_sources(given["inventories"]),
        options_from({**given, "pattern": pattern}),
        extra_vars,
        base=Path.cwd(),
        timeout=seconds(given["timeout"]) if given["timeout"] else None,
        allow_empty=given["allow_empty"],
        script_timeout=context.settings().script_timeout,
    )
    for warning in compiled.warnings:
        context.warn(warning)
    if not any(play.hosts for play in compiled.plan.plays):
        return 0
    return start(compiled.plan, compiled.files, given, fold=given["fold"])
