"""What ansible-inventory prints, from its own functions, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from opsrunner.inventory import listing as shapes
from opsrunner.inventory import load, match


class AnsibleInventory:
    """``ansible-inventory`` on some sources, without its command line and without a process of its own."""

    def __init__(self, sources: list[str], base: Path, **options: Any) -> None:
        from ansible import context
        from ansible.cli.inventory import InventoryCLI
        from ansible.inventory.manager import InventoryManager
        from ansible.parsing.dataloader import DataLoader
        from ansible.utils.context_objects import CLIArgs
        from ansible.vars.manager import VariableManager

        given = {"export": False, "yaml": False, "toml": False, "basedir": None, "show_vars": False, "pattern": "all"}
        context.CLIARGS = CLIArgs({**given, **options})
        self.command = InventoryCLI(["ansible-inventory"])
        self.command.loader = DataLoader()
        # Else the folder where the tests run would take the playbook's place.
        self.command.loader.set_basedir(options.get("basedir") or str(base / "nowhere"))
        self.command.inventory = InventoryManager(
            loader=self.command.loader,
            sources=[source if "," in source else str(base / source) for source in sources],
        )
        self.command.vm = VariableManager(loader=self.command.loader, inventory=self.command.inventory)

    def listed(self, limit: str | None = None) -> str:
        self.command.inventory.subset(limit)
        return self._dumped(self.command.json_inventory(self.command._get_group("all")))

    def tree(self, limit: str | None = None) -> str:
        self.command.inventory.subset(limit)
        return self._dumped(self.command.yaml_inventory(self.command._get_group("all")))

    def host(self, pattern: str) -> str:
        (host,) = self.command.inventory.get_hosts(pattern)
        return self._dumped(self.command._get_host_variables(host=host))

    def graph(self) -> str:
        return str(self.command.inventory_graph())

    def _dumped(self, data: Any) -> str:
        return str(self.command.dump(data)).rstrip("\n")


def compare_listings(sources: list[str], base: Path, *, limit: str | None = None, basedir: str | None = None) -> None:
    """Assert that every listing of these sources is ansible-inventory's to the letter."""
    playbook = Path(basedir) if basedir else None
    inventory = load(sources, base=base, playbook_directory=playbook)
    hosts = match(inventory, "all", limit=limit) if limit else None
    for export in (False, True):
        options: dict[str, Any] = {"export": export, "basedir": basedir}
        ours = shapes.listing(inventory, export=export, hosts=hosts)
        # ansible-core's own mark, which says nothing about the inventory.
        ours["_meta"]["profile"] = "inventory_legacy"
        assert shapes.as_json(ours) == AnsibleInventory(sources, base, **options).listed(limit)
        tree = shapes.tree(inventory, export=export, hosts=hosts)
        assert shapes.as_yaml(tree) == AnsibleInventory(sources, base, yaml=True, **options).tree(limit)
    theirs = AnsibleInventory(sources, base, show_vars=True, basedir=basedir)
    assert "\n".join(shapes.graph(inventory, variables=True)) == theirs.graph()
    for host in (*list(inventory.hosts)[:3], "localhost"):
        variables = shapes.host_variables(inventory, *match(inventory, host))
        assert shapes.as_json(variables) == theirs.host(host)
