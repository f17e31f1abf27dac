"""``opsrunner inventory``: what the inventory says, in the shapes of ansible-inventory."""

from __future__ import annotations

import difflib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opsrunner.cli import context
from opsrunner.cli.options import allow_empty_option, default_sources, inventory_options, limit_option
from opsrunner.errors import InputError

if TYPE_CHECKING:
    from opsrunner.inventory import Inventory

_FORMATS = (
    click.option("--json", "form", flag_value="json", default="json", help="As JSON (the default)."),
    click.option("--yaml", "form", flag_value="yaml", help="As YAML."),
)


def _format_options(function: Any) -> Any:
    for option in reversed(_FORMATS):
        function = option(function)
    return function


@click.group()
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
@_format_options
@click.option("--export", is_flag=True, help="Variables where they are written, not merged into each host.")
def list_(inventories: tuple[str, ...], form: str, export: bool) -> None:
    """Show all groups, hosts and variables, as ansible-inventory --list does.

    \b
    Examples:
      opsrunner inventory list | jq ._meta.hostvars.web1
      opsrunner inventory list --export --yaml > all.yml
    """
    from opsrunner.inventory import json_text, listing, yaml_text

    inventory = _load(inventories)
    # Written as it is made: the text of 20,000 hosts is larger than all that it is made of.
    if form == "yaml":
        yaml_text.write(listing.tree(inventory, export=export), sys.stdout)
    else:
        sys.stdout.writelines(json_text.parts(listing.listing(inventory, export=export)))
        click.echo()


@command.command()
@inventory_options
@click.argument("group", default="all")
@click.option("--vars", "variables", is_flag=True, help="With the variables of groups and hosts.")
def graph(inventories: tuple[str, ...], group: str, variables: bool) -> None:
    """Show the groups as a tree, from GROUP or from all.

    \b
    Examples:
      opsrunner inventory graph
      opsrunner inventory graph web --vars
    """
    from opsrunner.inventory import listing

    inventory = _load(inventories)
    if group not in inventory.groups:
        near = difflib.get_close_matches(group, inventory.groups, 1)
        raise InputError(f"no group is called {group}", remedy=f"did you mean {near[0]}?" if near else None)
    click.echo("\n".join(listing.graph(inventory, group, variables=variables)))


@command.command()
@inventory_options
@_format_options
@click.argument("name")
def host(inventories: tuple[str, ...], form: str, name: str) -> None:
    """Show the variables of one host, merged by Ansible's precedence.

    \b
    Examples:
      opsrunner inventory host web1
      opsrunner inventory host web1 --yaml
    """
    from opsrunner.inventory import listing, match

    inventory = _load(inventories)
    names = match(inventory, name)
    if len(names) != 1:
        raise InputError(f"{name} names {len(names)} hosts", remedy="name one; `inventory hosts` lists several")
    variables = listing.host_variables(inventory, names[0])
    click.echo(listing.as_yaml(variables) if form == "yaml" else listing.as_json(variables))


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


def _load(inventories: tuple[str, ...]) -> Inventory:
    from opsrunner import inventory

    loaded = inventory.load(
        default_sources(inventories), base=Path.cwd(), script_timeout=context.settings().script_timeout
    )
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    return loaded
