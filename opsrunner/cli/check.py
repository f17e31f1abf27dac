"""``opsrunner check PLAYBOOK…``: everything that is wrong, at once, without a host or a worker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opsrunner.cli import context
from opsrunner.cli.options import extra_vars_option, inventory_options
from opsrunner.errors import InputError, InputErrors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opsrunner.plan.model import Compiled


@click.command(
    "check",
    epilog="Examples: opsrunner check site.yml · opsrunner check playbooks/a.yml playbooks/b.yml -i inventory --json",
)
@click.argument("playbooks", metavar="PLAYBOOK…", nargs=-1, required=True, type=click.Path(path_type=Path))
@inventory_options
@extra_vars_option
@click.option("--json", "as_json", is_flag=True, help="One object of lists: errors and warnings.")
def command(
    playbooks: tuple[Path, ...], inventories: tuple[str, ...], extra_vars: tuple[str, ...], as_json: bool
) -> int:
    """Tell everything that is wrong with playbooks, each with its file, line and column. No inventory is needed.

    Without -i patterns may name any host. Exit code 65 when something is wrong.
    """
    from opsrunner.plan.extra_vars import parse_extra_vars

    given = parse_extra_vars(extra_vars, Path.cwd(), context.warn)
    errors: list[InputError] = []
    warnings: list[str] = []
    for playbook in playbooks:
        try:
            warnings += _compiled(playbook, inventories, given).warnings
        except InputErrors as found:
            errors += found.errors
        except InputError as found:
            errors.append(found)
    errors = list({str(error): error for error in errors}.values())
    if as_json:
        click.echo(json.dumps({"errors": [_data(error) for error in errors], "warnings": warnings}, indent=2))
    else:
        _tell(errors, warnings, len(playbooks))
    return InputError.exit_code if errors else 0


def _compiled(playbook: Path, inventories: Sequence[str], extra_vars: Mapping[str, Any]) -> Compiled:
    from opsrunner.plan.model import Options
    from opsrunner.plan.read import read_playbook

    return read_playbook(
        playbook,
        inventories,
        Options(),
        extra_vars,
        base=Path.cwd(),
        allow_empty=not inventories,
        script_timeout=context.settings().script_timeout,
        ask=lambda prompt: prompt.default or "",
    )


def _tell(errors: Sequence[InputError], warnings: Sequence[str], playbooks: int) -> None:
    from opsrunner.output.harmless import harmless

    for warning in warnings:
        context.warn(harmless(warning))
    for error in errors:
        for line in error.lines():
            click.echo(harmless(line))
    things = "1 thing is" if len(errors) == 1 else f"{len(errors)} things are"
    click.echo(f"{things} wrong" if errors else f"{playbooks} fine", err=bool(errors))


def _data(error: InputError) -> dict[str, Any]:
    file, line, column = error.place or (None, None, None)
    return {
        "file": file,
        "line": line,
        "column": column,
        "what": error.what,
        "why": error.why,
        "remedy": error.remedy,
        "excerpt": error.excerpt,
    }
