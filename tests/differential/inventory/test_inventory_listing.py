"""The listings of ansible-inventory, to the letter."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from differential.inventory.reference import empty_configuration

from opsrunner.inventory import listing as shapes
from opsrunner.inventory import load

ROOT = Path(__file__).parents[3]


@functools.cache
def ansible_inventory(source: str, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    with tempfile.TemporaryDirectory() as home:
        environment |= {"ANSIBLE_CONFIG": empty_configuration(home), "ANSIBLE_HOME": home, "ANSIBLE_LOCAL_TEMP": home}
        command = [sys.executable, "-m", "ansible.cli.inventory", "-i", source, *arguments]
        done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, check=True)
    return done.stdout.rstrip("\n")


def test_the_commands_print_the_same_text():
    source = str(ROOT / "inventory")
    inventory = load([source], base=ROOT)
    for export, arguments in ((False, ()), (True, ("--export",))):
        ours = shapes.listing(inventory, export=export)
        # ansible-core's own mark, which says nothing about the inventory.
        ours["_meta"]["profile"] = "inventory_legacy"
        assert shapes.as_json(ours) == ansible_inventory(source, "--list", *arguments)
        ours = shapes.tree(inventory, export=export)
        assert shapes.as_yaml(ours) == ansible_inventory(source, "--list", "--yaml", *arguments)
    assert "\n".join(shapes.graph(inventory, variables=True)) == ansible_inventory(source, "--graph", "--vars")
    assert shapes.as_json(shapes.host_variables(inventory, "db1")) == ansible_inventory(source, "--host", "db1")
