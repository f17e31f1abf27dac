"""What the variables of one command need before it is sent: lookups carried out, secrets opened, zones rendered."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opsrunner.inventory import Inventory
from opsrunner.plan import machine
from opsrunner.plan.foresight import Foresight
from opsrunner.plan.model import Play
from opsrunner.plan.scope import PlayScope
from opsrunner.plan.secrets import open_used
from opsrunner.plan.zones import zones_of
from opsrunner.playbook import Faults
from opsrunner.templating import Templar


def rendered(
    play: Play, inventory: Inventory, extra_vars: Mapping[str, Any], directory: Path
) -> tuple[Mapping[str, Any], dict[str, tuple[str, ...]]]:
    """The answers to the lookups in variables, and the zones; encrypted values that may be used are open then.

    Raises InputError or InputErrors.
    """
    recorder, faults = machine.Recorder(machine.Here(directory).ask), Faults()
    templar = Templar(lookups=machine.lookups(recorder.ask, str(directory)))
    scope = PlayScope(templar, faults, play_vars={}, extra_vars=extra_vars, magic={})
    Foresight(templar, recorder, inventory, faults).look_at_variables(scope, play.hosts, (extra_vars,))
    open_used([play], inventory, extra_vars, templar=templar, bundle=None, faults=faults)
    faults.raise_all()
    return recorder.answers, zones_of(inventory, play.hosts, templar, extra_vars)
