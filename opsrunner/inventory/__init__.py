"""The inventory room: inventories, their variables, host patterns and connection details."""

from __future__ import annotations

from opsrunner.inventory.connection import Connection, connection
from opsrunner.inventory.inventory import Inventory
from opsrunner.inventory.loading import load
from opsrunner.inventory.model import Group, Host
from opsrunner.inventory.patterns import match

__all__ = ["Connection", "Group", "Host", "Inventory", "connection", "load", "match"]
