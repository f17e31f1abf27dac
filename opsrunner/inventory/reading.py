"""What one visit to all sources of an inventory gathers beside the inventory itself."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct, field

from opsrunner.errors import InputError
from opsrunner.inventory.origins import Origins
from opsrunner.settings import SCRIPT_TIMEOUT


class Reading(Struct, frozen=True):
    """Passed to whoever reads a source, so that one visit tells all faults and warnings of all files."""

    #: The folder that relative paths are against; absolute.
    base: Path
    faults: list[InputError] = field(default_factory=list)
    warnings: list[InputError] = field(default_factory=list)
    #: Seconds that one run of an inventory script may take.
    script_timeout: float = SCRIPT_TIMEOUT
    #: Where every variable was written; None when nobody asks.
    origins: Origins | None = None

    def name(self, path: Path) -> str:
        """What messages call ``path``: relative to ``base`` where it lies below."""
        # Text, as a file for each of 20,000 hosts is named: the comparison of paths takes as long as reading one.
        shown, base = str(path), str(self.base)
        return "." if shown == base else shown.removeprefix(os.path.join(base, ""))  # noqa: PTH118

    def warn(self, warning: InputError) -> None:
        """Keep a warning: what was read is taken as Ansible takes it, and the operator hears of it."""
        self.warnings.append(warning)
