"""The inventory in the shapes of ansible-inventory: ``--list``, ``--list --yaml``, ``--graph``, ``--host``."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from opsrunner.errors import InputError
from opsrunner.inventory import json_text, yaml_text
from opsrunner.inventory.inventory import Inventory
from opsrunner.inventory.values import as_json_has_it
from opsrunner.tagged import Encrypted
from opsrunner.yamlshape import MAX_DEPTH

#: Lines of a graph.
MAX_LINES = 1_000_000
#: Names that Ansible sets itself; a listing leaves them out.
INTERNAL = frozenset(
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


def as_json(data: Any, *, mark_unsafe: bool = False) -> str:
    """``data`` as ansible-inventory prints JSON: keys sorted, four blanks a level; see :func:`json_text.parts`."""
    return "".join(json_text.parts(data, mark_unsafe=mark_unsafe))


def on_one_line(value: Any) -> str:
    """``value`` as JSON on one line."""
    return json.dumps(as_json_has_it(value), ensure_ascii=False)


def as_yaml(data: Any) -> str:
    """``data`` as ansible-inventory prints YAML: keys sorted, blocks only."""
    text = io.StringIO()
    yaml_text.write(data, text)
    return text.getvalue().rstrip("\n")


def host_variables(inventory: Inventory, host: str, *, export: bool = False) -> dict[str, Any]:
    """The variables of ``host``, merged, or with ``export`` only what the host says itself."""
    found = inventory.own_variables(host) if export else inventory.variables(host)
    return {name: value for name, value in found.items() if name not in INTERNAL}


def group_variables(inventory: Inventory, group: str) -> dict[str, Any]:
    """What ``group`` says itself, its priority included where it is not the usual one."""
    found = inventory.group_variables(group)
    if inventory.groups[group].priority != 1:
        found["ansible_group_priority"] = inventory.groups[group].priority
    return {name: value for name, value in found.items() if name not in INTERNAL}


def listing(inventory: Inventory, *, export: bool = False, hosts: Sequence[str] | None = None) -> dict[str, Any]:
    """What ``ansible-inventory --list`` says: each group's hosts and children, ``_meta.hostvars``.

    ``hosts`` are those that a limit leaves, None for all.
    """
    hosts = inventory.hosts_of("all") if hosts is None else hosts
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


def tree(inventory: Inventory, *, export: bool = False, hosts: Sequence[str] | None = None) -> dict[str, Any]:
    """What ``ansible-inventory --list --yaml`` says: groups in each other, as an inventory is written.

    ``hosts`` are those that a limit leaves, None for all. Raises InputError where groups go deeper
    than YAML is ever read again.
    """
    if max(group.depth for group in inventory.groups.values()) > MAX_DEPTH:
        raise InputError(f"groups go deeper than {MAX_DEPTH} levels: no YAML is written", remedy="take --json")
    hosts = inventory.hosts_of("all") if hosts is None else hosts
    return _branch(inventory, "all", export, set(), set(hosts), set())


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
    With ``variables`` encrypted values are shown opened, as there; raises InputError where no secret opens one.
    """
    count = _lines_of(inventory)[start]
    if count > MAX_LINES:
        raise InputError(
            f"the graph of {start} would have {count:,} lines",
            why="a group is written out below each of its parents",
            remedy="`opsrunner inventory list` has each group once",
        )
    return _lines(inventory, start, variables)


def _lines_of(inventory: Inventory) -> dict[str, int]:
    """Lines of each group in the graph, without variables."""
    lines: dict[str, int] = {}
    for group in sorted(inventory.groups.values(), key=lambda group: group.depth, reverse=True):
        lines[group.name] = 1 + len(group.hosts) + sum(lines[child] for child in group.children)
    return lines


def _lines(inventory: Inventory, start: str, variables: bool) -> Iterator[str]:
    open_groups = [_graph(inventory, start, 0, variables)]
    while open_groups:
        part = next(open_groups[-1], None)
        if isinstance(part, str):
            yield part
        elif part:
            open_groups.append(_graph(inventory, *part, variables))
        else:
            open_groups.pop()


def _graph(inventory: Inventory, name: str, depth: int, variables: bool) -> Iterator[str | tuple[str, int]]:
    """The lines of one group; a child stands as its name and depth, so that no stack limits how deep groups go."""
    group = inventory.groups[name]
    yield _indented(f"@{name}:", depth)
    for child in group.children:
        yield child, depth + 1
    for host in group.hosts if name != "all" else ():
        yield _indented(host, depth + 1)
        if variables:
            yield from _shown(host_variables(inventory, host), depth + 2)
    if variables:
        yield from _shown(group_variables(inventory, name), depth + 1)


def _shown(variables: dict[str, Any], depth: int) -> Iterator[str]:
    for name, value in sorted(variables.items()):
        yield _indented(f"{{{name} = {value.read() if isinstance(value, Encrypted) else value}}}", depth)


def _indented(text: str, depth: int) -> str:
    return "  |" * depth + "--" + text if depth else text
