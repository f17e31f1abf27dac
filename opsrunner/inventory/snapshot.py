"""An inventory as compact JSON-able data, for the plan that travels to the workers.

Hosts without variables cost their name only, and a group's hosts are runs of positions, so that
20,000 hosts in nested groups stay within a few hundred kilobytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opsrunner.inventory.model import NO_VARIABLES, Group, Host, Layer, tell_hosts
from opsrunner.inventory.values import decode, encode

Parts = tuple[dict[str, Group], dict[str, Host], tuple[Layer, ...], Layer | None]


def to_data(
    groups: Mapping[str, Group],
    hosts: Mapping[str, Host],
    layers: Sequence[Layer],
    playbook_layer: Layer | None,
) -> dict[str, Any]:
    """``files``, ``hosts``, ``groups``, ``layers`` and ``playbook_layer`` as JSON values."""
    position = {name: number for number, name in enumerate(hosts)}
    origins = list(dict.fromkeys((host.file, host.directory) for host in hosts.values()))
    origin_number = {origin: number for number, origin in enumerate(origins)}
    return {
        "files": [list(origin) for origin in origins],
        "hosts": list(hosts),
        "host_files": _runs_of_equals(origin_number[host.file, host.directory] for host in hosts.values()),
        "host_variables": {name: encode(dict(host.variables)) for name, host in hosts.items() if host.variables},
        "groups": {name: _group_to_data(group, position) for name, group in groups.items()},
        "layers": [_layer_to_data(layer) for layer in layers],
        "playbook_layer": _layer_to_data(playbook_layer) if playbook_layer else None,
    }


def from_data(data: Mapping[str, Any]) -> Parts:
    """Groups, hosts, layers and the playbook's layer that :func:`to_data` was given."""
    names: list[str] = data["hosts"]
    variables = data["host_variables"]
    files = [file for count, number in data["host_files"] for file in [data["files"][number]] * count]
    hosts = {
        name: Host(name, file, directory, decode(variables[name]) if name in variables else NO_VARIABLES)
        for name, (file, directory) in zip(names, files, strict=True)
    }
    groups = {name: _group_from_data(name, entry, names) for name, entry in data["groups"].items()}
    for group in groups.values():
        for child in group.children:
            groups[child].parents.append(group.name)
    tell_hosts(groups, hosts)
    layers = tuple(_layer_from_data(layer) for layer in data["layers"])
    playbook_layer = data["playbook_layer"]
    return groups, hosts, layers, _layer_from_data(playbook_layer) if playbook_layer else None


def _group_to_data(group: Group, position: Mapping[str, int]) -> dict[str, Any]:
    entry: dict[str, Any] = {"depth": group.depth}
    if group.priority != 1:
        entry["priority"] = group.priority
    if group.variables:
        entry["variables"] = encode(group.variables)
    if group.children:
        entry["children"] = group.children
    if group.hosts:
        entry["hosts"] = _runs(position[name] for name in group.hosts)
    return entry


def _group_from_data(name: str, entry: Mapping[str, Any], names: Sequence[str]) -> Group:
    runs = entry.get("hosts", [])
    return Group(
        name=name,
        variables=decode(entry.get("variables", {})),
        priority=entry.get("priority", 1),
        depth=entry["depth"],
        children=list(entry.get("children", [])),
        hosts={names[number]: None for first, count in runs for number in range(first, first + count)},
    )


def _runs(positions: Iterable[int]) -> list[list[int]]:
    """``3 4 5 9`` as ``[[3, 3], [9, 1]]``: the first of each run and its length."""
    runs: list[list[int]] = []
    for position in positions:
        if runs and position == sum(runs[-1]):
            runs[-1][1] += 1
        else:
            runs.append([position, 1])
    return runs


def _runs_of_equals(numbers: Iterable[int]) -> list[list[int]]:
    """``7 7 7 2`` as ``[[3, 7], [1, 2]]``: how often, and what."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number:
            runs[-1][0] += 1
        else:
            runs.append([1, number])
    return runs


def _layer_to_data(layer: Layer) -> dict[str, Any]:
    return {
        "groups": {name: encode(dict(variables)) for name, variables in layer.groups.items()},
        "hosts": {name: encode(dict(variables)) for name, variables in layer.hosts.items()},
    }


def _layer_from_data(data: Mapping[str, Any]) -> Layer:
    return Layer(
        groups={name: decode(variables) for name, variables in data["groups"].items()},
        hosts={name: decode(variables) for name, variables in data["hosts"].items()},
    )
