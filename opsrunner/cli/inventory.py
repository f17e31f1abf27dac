"""``opsrunner inventory``: what the inventory says, in the shapes of ansible-inventory."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click
from msgspec.structs import replace

from opsrunner.cli import context
from opsrunner.cli.groups import Group
from opsrunner.cli.options import allow_empty_option, default_sources, inventory_options, limit_option, together
from opsrunner.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from opsrunner.inventory import Inventory
    from opsrunner.inventory.origins import Origins


def _refused(option: str, why: str) -> Any:
    """An option of ansible-inventory that is not ours; a callback that says so."""

    def refuse(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value:
            raise click.UsageError(f"there is no {option}: {why}")

    return refuse


#: Gives ``form``: json, yaml, or None where neither is asked for.
_format_options = together(
    click.option("--json", "form", flag_value="json", help="As JSON (the default)."),
    click.option("--yaml", "form", flag_value="yaml", help="As YAML."),
    click.option(
        "--toml",
        is_flag=True,
        hidden=True,
        expose_value=False,
        callback=_refused("--toml", "use --yaml or --json."),
    ),
)

#: Gives playbook_directory: Path | None.
_playbook_directory_option = click.option(
    "--playbook-dir",
    "playbook_directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="The folder of the playbook, for the group_vars/ and host_vars/ in it; default: where you are.",
)


@click.group(cls=Group)
def command() -> None:
    """Look at the inventory: what is there, and what each host is told.

    \b
    Examples:
      opsrunner inventory graph
      opsrunner inventory list -i staging/ --yaml
      opsrunner inventory host web1
      opsrunner inventory hosts 'web:!web3' --fold
    """


@command.command("list")
@inventory_options
@limit_option
@allow_empty_option
@_playbook_directory_option
@_format_options
@click.option("--export", is_flag=True, help="Variables where they are written, not merged into each host.")
@click.option("--output", type=click.Path(dir_okay=False), metavar="FILE", help="Write to FILE, not to the terminal.")
def list_(
    inventories: tuple[str, ...],
    limit: str | None,
    allow_empty: bool,
    playbook_directory: Path | None,
    form: str | None,
    export: bool,
    output: str | None,
) -> None:
    """Show all groups, hosts and variables, as ansible-inventory --list does.

    \b
    Examples:
      opsrunner inventory list | jq ._meta.hostvars.web1
      opsrunner inventory list --export --yaml --output all.yml
    """
    from opsrunner.inventory import json_text, listing, match, yaml_text

    # As in Ansible the folder where you are takes a playbook's place, but its variables are not exported.
    inventory = _load(inventories, playbook_directory or (None if export else Path.cwd()))
    hosts = match(inventory, "all", limit=limit, allow_empty=allow_empty) if limit else None
    with _written_to(output) as file:
        # Written as it is made: the text of 20,000 hosts is larger than all that it is made of.
        if form == "yaml":
            yaml_text.write(listing.tree(inventory, export=export, hosts=hosts), file)
        else:
            file.writelines(json_text.parts(listing.listing(inventory, export=export, hosts=hosts), mark_unsafe=True))
            file.write("\n")


@command.command()
@inventory_options
@_playbook_directory_option
@click.argument("group", default="all")
@click.option("--vars", "variables", is_flag=True, help="With the variables of groups and hosts.")
@click.option(
    "-l",
    "--limit",
    hidden=True,
    expose_value=False,
    callback=_refused("--limit", "the graph is that of all hosts, in Ansible, too; list and hosts take it."),
)
def graph(inventories: tuple[str, ...], playbook_directory: Path | None, group: str, variables: bool) -> None:
    """Show the groups as a tree, from GROUP or from all.

    \b
    Examples:
      opsrunner inventory graph
      opsrunner inventory graph web --vars
    """
    from opsrunner.inventory import listing

    inventory = _load(inventories, playbook_directory or Path.cwd())
    if group not in inventory.groups:
        raise InputError(f"no group is called {group}", remedy=did_you_mean(group, inventory.groups))
    click.echo("\n".join(listing.graph(inventory, group, variables=variables)))


@command.command()
@inventory_options
@_playbook_directory_option
@_format_options
@click.argument("name")
@click.argument("variable", nargs=-1)
@click.option("--explain", is_flag=True, help="With the file and line of each variable, and what it overrode.")
def host(
    inventories: tuple[str, ...],
    playbook_directory: Path | None,
    form: str | None,
    name: str,
    variable: tuple[str, ...],
    explain: bool,
) -> None:
    """Show the variables of one host, merged by Ansible's precedence: all, or each VARIABLE.

    \b
    Examples:
      opsrunner inventory host web1
      opsrunner inventory host web1 --yaml
      opsrunner inventory host web1 --explain
      opsrunner inventory host web1 http_port 'ansible_*' --explain
    """
    from opsrunner.inventory import explanation, listing, match
    from opsrunner.inventory.origins import Origins

    origins = Origins() if explain else None
    inventory = _load(inventories, playbook_directory or Path.cwd(), origins)
    names = match(inventory, name)
    if len(names) != 1:
        raise InputError(f"{name} names {len(names)} hosts", remedy="name one; `inventory hosts` lists several")
    if origins is None:
        data: dict[str, Any] = _named(listing.host_variables(inventory, names[0]), variable)
    else:
        explained = explanation.explain(inventory, origins, names[0])
        explained = replace(explained, variables=_named(explained.variables, variable))
        if form is None:
            from opsrunner.output.harmless import harmless_line

            click.echo("\n".join(map(harmless_line, explanation.as_text(explained, _width()))))
            return
        data = explanation.as_data(explained)
    click.echo(listing.as_yaml(data) if form == "yaml" else listing.as_json(data))


def _named(variables: Mapping[str, Any], wanted: tuple[str, ...]) -> dict[str, Any]:
    """Those of ``variables`` that are wanted by name or shell wildcard; nothing wanted is all of them."""
    if not wanted:
        return dict(variables)
    for one in wanted:
        if not any(fnmatchcase(name, one) for name in variables):
            remedy = did_you_mean(one, variables)
            raise InputError(f"the host has no variable {one} in its inventory", remedy=remedy)
    return {name: value for name, value in variables.items() if any(fnmatchcase(name, one) for one in wanted)}


@command.command()
@inventory_options
@limit_option
@allow_empty_option
@click.argument("pattern")
@click.option("--fold", is_flag=True, help="On one line: web[01-20],db1.")
@click.option("--json", "as_json", is_flag=True, help="As a JSON list.")
def hosts(
    inventories: tuple[str, ...], limit: str | None, allow_empty: bool, pattern: str, fold: bool, as_json: bool
) -> None:
    """Show the hosts that PATTERN matches, in the order in which they would be visited.

    \b
    Examples:
      opsrunner inventory hosts all --fold
      opsrunner inventory hosts 'web:&frankfurt:!web3'
      opsrunner inventory hosts 'web[01-20,25]' -l '!@failed-of-last'
      opsrunner inventory hosts 'db[0]' -l @retry.txt
    """
    if fold and as_json:
        raise click.UsageError("--fold and --json exclude each other.")
    from opsrunner.inventory.patterns import folded, match

    inventory = _load(inventories)
    selections = context.selections(pattern, limit)
    names = match(inventory, pattern, limit=limit, allow_empty=allow_empty, selections=selections)
    if as_json:
        click.echo(json.dumps(names))
    elif fold:
        click.echo(folded(inventory, names))
    elif names:
        click.echo("\n".join(names))


def _load(
    inventories: tuple[str, ...], playbook_directory: Path | None = None, origins: Origins | None = None
) -> Inventory:
    from opsrunner import inventory

    loaded = inventory.load(
        default_sources(inventories),
        base=Path.cwd(),
        playbook_directory=playbook_directory,
        script_timeout=context.settings().script_timeout,
        origins=origins,
    )
    for warning in loaded.warnings:
        context.warn(warning)
    return loaded


def _width() -> int | None:
    """Columns of the terminal; None where the text goes to a file or another program."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


@contextmanager
def _written_to(path: str | None) -> Iterator[TextIO]:
    """The file to write to: standard output without a path. Raises InputError where it cannot be written."""
    if path is None:
        yield sys.stdout
        return
    try:
        with Path(path).open("w", encoding="utf-8", errors="backslashreplace") as file:
            yield file
    except OSError as error:
        raise InputError(f"cannot write {path}", why=error.strerror or str(error)) from None
