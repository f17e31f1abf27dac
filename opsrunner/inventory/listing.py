"""The inventory in the shapes of ansible-inventory: ``--list``, ``--list --yaml``, ``--graph``, ``--host``."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from opsrunner.errors import InputError
from opsrunner.inventory import json_text, yaml_text
from opsrunner.inventory.inventory import Inventory

#: Lines of a graph.
MAX_LINES = 1_000_000
#: Names that Ansible sets itself; a listing leaves them out.
_INTERNAL = frozenset(
    {
        *("ansible_async_path", "ansible_collection_name", "ansible_config_file", "ansible_dependent_role_names"),
        *("ansible_diff_mode", "ansible_facts", "ansible_forks", "ansible_inventory_sources", "ansible_limit"),
        *("ansible_play_batch", "ansible_play_hosts", "ansible_play_hosts_all", "ansible_play_role_names"),
        *("ansible_playbook_python", "ansible_role_name", "ansible_role_names", "ansible_run_tags"),
        *("ansible_skip_tags", "ansible_verbosity", "ansible_version", "inventory_dir", "inventory_file"),
        *("inventory_hostname", "inventory_hostname_short", "groups", "group_names", "hostvars", "playbook_dir"),
        *("play_hosts", "role_name", "role_names", "role_path", "role_uuid"),
    }
)


def as_json(data: Any) -> str:
    """``data`` as ansible-inventory prints JSON: keys sorted, four blanks a level."""
    return "".join(json_text.parts(data))


def as_yaml(data: Any) -> str:
    """``data`` as ansible-inventory prints YAML: keys sorted, blocks only."""
    text = io.StringIO()
    yaml_text.write(data, text)
    return text.getvalue().rstrip("\n")


def host_variables(inventory: Inventory, host: str, *, export: bool = False) -> dict[str, Any]:
    """The variables of ``host``, merged, or with ``export`` only what the host says itself."""
    found = inventory.own_variables(host) if export else inventory.variables(host)
    return {name: value for name, value in found.items() if name not in _INTERNAL}


def group_variables(inventory: Inventory, group: str) -> dict[str, Any]:
    """What ``group`` says itself, its priority included where it is not the usual one."""
    found = inventory.group_variables(group)
    if inventory.groups[group].priority != 1:
        found["ansible_group_priority"] = inventory.groups[group].priority
    return {name: value for name, value in found.items() if name not in _INTERNAL}


def listing(inventory: Inventory, *, export: bool = False) -> dict[str, Any]:
    """What ``ansible-inventory --list`` says: each group's hosts and children, ``_meta.hostvars``."""
    hosts = inventory.hosts_of("all")
    listed = set(hosts)
    result: dict[str, Any] = {}
    waiting = ["all"]
    while waiting:
        name = waiting.pop()
        if name in result:
            continue
        group = inventory.groups[name]
        entry: dict[str, Any] = {
            "hosts": [] if name == "all" else [host for host in group.hosts if host in listed],
            "children": list(group.children),
            "vars": group_variables(inventory, name) if export else {},
        }
        result[name] = {key: value for key, value in entry.items() if value}
        waiting.extend(group.children)
    variables = {host: host_variables(inventory, host, export=export) for host in hosts}
    shown = {name: entry for name, entry in result.items() if entry}
    return {**shown, "_meta": {"hostvars": {host: own for host, own in variables.items() if own}}}


def tree(inventory: Inventory, *, export: bool = False) -> dict[str, Any]:
    """What ``ansible-inventory --list --yaml`` says: groups in each other, as an inventory is written."""
    return _branch(inventory, "all", export, set(), set(inventory.hosts_of("all")), set())


def _branch(
    inventory: Inventory, name: str, export: bool, seen_groups: set[str], listed: set[str], seen_hosts: set[str]
) -> dict[str, Any]:
    group = inventory.groups[name]
    children: dict[str, Any] = {}
    for child in group.children:
        if child in seen_groups:
            children[child] = {}
        else:
            children.update(_branch(inventory, child, export, seen_groups, listed, seen_hosts))
            seen_groups.add(child)
    hosts: dict[str, Any] = {}
    for host in group.hosts if name != "all" else ():
        if host in listed:
            hosts[host] = {} if host in seen_hosts else host_variables(inventory, host, export=export)
            seen_hosts.add(host)
    variables = group_variables(inventory, name) if export else {}
    entry = {key: value for key, value in (("children", children), ("hosts", hosts), ("vars", variables)) if value}
    return {name: entry} if entry else {}


def graph(inventory: Inventory, start: str = "all", *, variables: bool = False) -> Iterator[str]:
    """The lines of ``ansible-inventory --graph``.

    Raises KeyError for an unknown group, InputError where groups stand in so many others that it would hardly end.
    """
    count = _lines_of(inventory, start, {})
    if count > MAX_LINES:
        raise InputError(
            f"the graph of {start} would have {count:,} lines",
            why="a group is written out below each of its parents",
            remedy="`opsrunner inventory list` has each group once",
        )
    return _graph(inventory, start, 0, variables)


def _lines_of(inventory: Inventory, name: str, known: dict[str, int]) -> int:
    """Lines of a group in the graph, without variables."""
    if name not in known:
        group = inventory.groups[name]
        known[name] = 1 + len(group.hosts) + sum(_lines_of(inventory, child, known) for child in group.children)
    return known[name]


def _graph(inventory: Inventory, name: str, depth: int, variables: bool) -> Iterator[str]:
    group = inventory.groups[name]
    yield _indented(f"@{name}:", depth)
    for child in group.children:
        yield from _graph(inventory, child, depth + 1, variables)
    for host in group.hosts if name != "all" else ():
        yield _indented(host, depth + 1)
        if variables:
            yield from _shown(host_variables(inventory, host), depth + 2)
    if variables:
        yield from _shown(group_variables(inventory, name), depth + 1)


def _shown(variables: dict[str, Any], depth: int) -> Iterator[str]:
    for name, value in sorted(variables.items()):
        yield _indented(f"{{{name} = {value}}}", depth)


def _indented(text: str, depth: int) -> str:
    return "  |" * depth + "--" + text if depth else text
