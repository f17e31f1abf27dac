"""What ansible-core makes of an inventory, in this process, and how it is compared with ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from opsrunner.errors import InputError
from opsrunner.inventory import Inventory, load, match
from opsrunner.inventory import listing as shapes


def written(files: dict[str, str], base: Path) -> Path:
    for name, text in files.items():
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return base


class Reference:
    """What ansible-core makes of the same sources, in this process."""

    def __init__(self, sources: list[str], base: Path, *, secrets: Any = ()) -> None:
        from ansible import constants
        from ansible.inventory.manager import InventoryManager
        from ansible.parsing.dataloader import DataLoader
        from ansible.vars.manager import VariableManager

        self.internal = constants.INTERNAL_STATIC_VARS
        loader = DataLoader()
        loader.set_vault_secrets(list(secrets))
        given = [source if "," in source else str(base / source) for source in sources]
        self.manager = InventoryManager(loader=loader, sources=given)
        self.variable_manager = VariableManager(loader=loader, inventory=self.manager)

    def variables(self, host: str) -> dict[str, Any]:
        return {name: normal(value) for name, value in self.raw_variables(host).items()}

    def raw_variables(self, host: str) -> dict[str, Any]:
        """As Ansible holds them, tags and all."""
        found = self.variable_manager.get_vars(
            host=self.manager.get_host(host), include_hostvars=False, stage="all", use_cache=False
        )
        return {name: value for name, value in found.items() if name not in self.internal}

    def match(self, pattern: Any, limit: str | None = None) -> list[str]:
        # Ansible remembers under which name the implicit localhost was first asked for; each command
        # line begins anew.
        data = self.manager._inventory
        if data.localhost is not None and data.localhost.implicit:
            data.localhost = None
        self.manager.subset(limit)
        self.manager.clear_caches()
        try:
            return [str(host.name) for host in self.manager.get_hosts(pattern)]
        finally:
            self.manager.subset(None)


def normal(value: Any) -> Any:
    """Ansible's tagged values as plain ones."""
    if isinstance(value, dict):
        return {normal(key): normal(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [normal(item) for item in value]
    return value


def empty_configuration(home: str) -> str:
    path = Path(home) / "ansible.cfg"
    path.touch()
    return str(path)


def order_is_fixed(inventory: Inventory, group: str) -> bool:
    """Whether Ansible visits the groups below ``group`` in an order that does not depend on chance.

    It walks them level by level, in sets: only where several groups of one level bring in new ones
    does the order of those vary.
    """
    seen = {group, *inventory.groups[group].children}
    level = list(inventory.groups[group].children)
    while level:
        bring_in = {name: [c for c in inventory.groups[name].children if c not in seen] for name in level}
        if sum(1 for children in bring_in.values() if children) > 1:
            return False
        level = [child for children in bring_in.values() for child in children]
        seen.update(level)
    return True


def compare(sources: list[str], base: Path, patterns: list[str]) -> None:
    inventory, reference = load(sources, base=base), Reference(sources, base)
    assert list(inventory.hosts) == [str(name) for name in reference.manager.hosts]
    assert list(inventory.groups) == [str(name) for name in reference.manager.groups]
    for name, group in inventory.groups.items():
        other = reference.manager.groups[name]
        assert (name, group.depth, group.priority) == (name, other.depth, other.priority)
        assert group.children == [child.name for child in other.child_groups]
        assert list(group.hosts) == [host.name for host in other.hosts]
        names = [host.name for host in other.get_hosts()]
        if order_is_fixed(inventory, name):
            assert list(inventory.hosts_of(name)) == names
        else:
            assert sorted(inventory.hosts_of(name)) == sorted(names)
    for host in (*inventory.hosts, "localhost"):
        assert shapes.host_variables(inventory, host) == reference.variables(host)
        assert inventory.groups_of(host) == reference.manager.get_host(host).get_magic_vars()["group_names"]
        own, theirs = inventory.magic(host), reference.manager.get_host(host).get_vars()
        # Of a host list Ansible says that it lies in the folder "None".
        # What is said of a host with a group's name goes to the group, there even its file.
        for key in ("inventory_hostname", "inventory_hostname_short", "inventory_file"):
            assert own.get(key) == theirs.get(key) or (key == "inventory_file" and host in inventory.groups)
    fixed = all(order_is_fixed(inventory, name) for name in inventory.groups)
    for pattern in patterns:
        compare_pattern(inventory, reference, pattern, fixed)


def compare_pattern(inventory: Inventory, reference: Reference, pattern: str, fixed: bool) -> None:
    from ansible.errors import AnsibleError

    try:
        expected = reference.match(pattern)
    except AnsibleError:
        with pytest.raises(InputError):
            match(inventory, pattern, allow_empty=True)
        return
    found = match(inventory, pattern, allow_empty=True)
    if fixed:
        assert (pattern, found) == (pattern, expected)
    elif "[" not in pattern:
        assert (pattern, sorted(found)) == (pattern, sorted(expected))


PATTERNS = [
    *("all", "*", "ungrouped", "web", "db", "web:db", "db:web", "web,db", "web:&db", "web:!db", "!web", "&web"),
    *("all:!ungrouped", "web[0]", "web[-1]", "web[1:2]", "web[1:]", "web[0:0]", "all[0]", "w*", "w*:!web[0]"),
    *("~w.*1", "~^(web|db)", "*1*", "?eb", "web1", "web1:web2", "!web1:web", "nobody", "all:!nobody", "web[99]"),
    *("web[5:9]", "web*[0:1]", "*.example.org", "h", "h:!all", "::1", "localhost", "deep:!c", "a:b:c:&h"),
]
