"""Which zone each host is in: ``opsrunner_zone``, rendered, else ``default``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from opsrunner.errors import InputError
from opsrunner.inventory import Inventory
from opsrunner.tagged import Encrypted

if TYPE_CHECKING:
    from opsrunner.templating import Templar

DEFAULT_ZONE = "default"


def zones_of(
    inventory: Inventory,
    hosts: Iterable[str],
    templar: Templar | None = None,
    extra_vars: Mapping[str, Any] | None = None,
) -> dict[str, tuple[str, ...]]:
    """Zone → its hosts, in the order given; ``templar`` None where no variable has to be rendered.

    Raises InputError when a zone cannot be rendered.
    """
    zones: dict[str, list[str]] = {}
    for host in hosts:
        variables = inventory.variables(host)
        zone: Any = (extra_vars or {}).get("opsrunner_zone", variables.get("opsrunner_zone", DEFAULT_ZONE))
        if templar and (isinstance(zone, Encrypted) or (isinstance(zone, str) and "{" in zone)):
            zone = _rendered(zone, inventory, host, templar, extra_vars or {})
        zones.setdefault(str(zone), []).append(host)
    return {zone: tuple(names) for zone, names in zones.items()}


def _rendered(zone: Any, inventory: Inventory, host: str, templar: Templar, extra_vars: Mapping[str, Any]) -> Any:
    from opsrunner.templating import Layer, Scope, TemplateFailure

    layers = [Layer(inventory.variables(host), True), Layer(inventory.magic(host)), Layer(extra_vars, True)]
    try:
        return templar.render(zone, Scope(templar, layers))
    except TemplateFailure as error:
        raise InputError(f"opsrunner_zone of {host} cannot be rendered", why=str(error)) from None
