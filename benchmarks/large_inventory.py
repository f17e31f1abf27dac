"""Writes one large inventory in every form: datacentres of racks of hosts, roles across them, variables everywhere.

.venv/bin/python benchmarks/large_inventory.py HOSTS FOLDER
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

DATACENTRES = 10
RACK = 40
ROLES = ("web", "db", "cache")


@dataclass
class Shape:
    """Who is in what: group → hosts, group → groups, host → variables."""

    hosts: dict[str, list[str]] = field(default_factory=dict)
    children: dict[str, list[str]] = field(default_factory=dict)
    variables: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def groups(self) -> list[str]:
        return [*self.children, *self.hosts]


def shape(hosts: int) -> Shape:
    made = Shape()
    made.children = {f"dc{number}": [] for number in range(DATACENTRES)}
    roles: dict[str, list[str]] = {role: [] for role in ROLES}
    for rack in range(max(1, hosts // RACK)):
        name, datacentre = f"rack{rack:04}", rack % DATACENTRES
        made.children[f"dc{datacentre}"].append(name)
        made.hosts[name] = [f"host-{rack:04}-{unit:02}.example.org" for unit in range(min(RACK, hosts))]
        for unit, host in enumerate(made.hosts[name]):
            made.variables[host] = {
                "ansible_host": f"10.{datacentre}.{rack % 256}.{unit}",
                "serial_number": f"SN{rack * RACK + unit:07}",
            }
        # Every other host has a role beside its rack.
        roles[ROLES[rack % len(ROLES)]] += made.hosts[name][::2]
    made.hosts.update(roles)
    return made


def as_yaml(made: Shape) -> str:
    lines = ["all:", "  children:"]
    for datacentre, racks in made.children.items():
        lines += [f"    {datacentre}:", "      children:"]
        for rack in racks:
            lines += [f"        {rack}:", "          hosts:"]
            for host in made.hosts[rack]:
                lines.append(f"            {host}:")
                lines += [f"              {name}: {value}" for name, value in made.variables[host].items()]
    for role in ROLES:
        lines += [f"    {role}:", "      hosts:", *(f"        {host}:" for host in made.hosts[role])]
    return "\n".join(lines) + "\n"


def as_ini(made: Shape) -> str:
    lines: list[str] = []
    for group, hosts in made.hosts.items():
        lines.append(f"[{group}]")
        for host in hosts:
            said = made.variables[host].items() if group not in ROLES else ()
            lines.append(" ".join([host, *(f"{name}={value}" for name, value in said)]))
    for datacentre, racks in made.children.items():
        lines += [f"[{datacentre}:children]", *racks]
    return "\n".join(lines) + "\n"


def as_json(made: Shape) -> str:
    """What an inventory script prints."""
    groups = {group: {"hosts": hosts} for group, hosts in made.hosts.items()}
    parents = {group: {"children": children} for group, children in made.children.items()}
    return json.dumps({**groups, **parents, "_meta": {"hostvars": made.variables}})


def write(folder: Path, hosts: int) -> dict[str, Path]:
    """Make ``folder`` with a source in each form and the variable files beside them; form → source."""
    made = shape(hosts)
    for name in ("group_vars", "host_vars"):
        (folder / name).mkdir(parents=True)
    (folder / "hosts.yml").write_text(as_yaml(made))
    (folder / "hosts.ini").write_text(as_ini(made))
    (folder / "hosts.json").write_text(as_json(made))
    script = folder / "hosts.sh"
    script.write_text('#!/bin/sh\nexec cat "$(dirname "$0")/hosts.json"\n')
    script.chmod(0o755)
    for group in ["all", *made.groups]:
        text = "".join(f"{group}_v{number}: value {number} of {group}\n" for number in range(10))
        (folder / "group_vars" / f"{group}.yml").write_text(text)
    for host in list(made.variables)[:: 10 * RACK]:
        (folder / "host_vars" / f"{host}.yml").write_text("maintenance: true\n")
    return {"YAML": folder / "hosts.yml", "INI": folder / "hosts.ini", "script": script}


def write_host_files(folder: Path, hosts: int) -> None:
    """A file of variables for every host."""
    for host in shape(hosts).variables:
        (folder / "host_vars" / f"{host}.yml").write_text(f"asset: A-{host}\nrack_unit: 12\nroles: [web, db]\n")


if __name__ == "__main__":
    write(Path(sys.argv[2]), int(sys.argv[1]))
