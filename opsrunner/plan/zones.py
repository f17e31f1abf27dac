"""Which zone each host is in: ``opsrunner_zone``, rendered, else ``default``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from opsrunner.errors import InputError
from opsrunner.inventory import Inventory
from opsrunner.tagged import Encrypted
from opsrunner.templating import Layer, Scope, Templar, TemplateFailure

DEFAULT_ZONE = "default"


def zones_of(
    inventory: Inventory, hosts: Iterable[str], templar: Templar, extra_vars: Mapping[str, Any] | None = None
) -> dict[str, tuple[str, ...]]:
    """Zone → its hosts, in the order given. Raises InputError when a zone cannot be rendered."""
    zones: dict[str, list[str]] = {}
    for host in hosts:
        variables = inventory.variables(host)
        zone: Any = (extra_vars or {}).get("opsrunner_zone", variables.get("opsrunner_zone", DEFAULT_ZONE))
        if isinstance(zone, Encrypted) or (isinstance(zone, str) and "{" in zone):
            try:
                layers = [Layer(variables, True), Layer(inventory.magic(host)), Layer(extra_vars or {}, True)]
                zone = templar.render(zone, Scope(templar, layers))
            except TemplateFailure as error:
                raise InputError(f"opsrunner_zone of {host} cannot be rendered", why=str(error)) from None
        zones.setdefault(str(zone), []).append(host)
    return {zone: tuple(names) for zone, names in zones.items()}
