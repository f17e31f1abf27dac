"""ansible-core with an empty configuration, in this process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest
from differential.inventory.reference import empty_configuration


@pytest.fixture(scope="module")
def ansible() -> Iterator[None]:
    """ansible-core imported with an empty configuration and a home of its own."""
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("ANSIBLE_")]:
            patch.delenv(name)
        patch.setenv("ANSIBLE_CONFIG", empty_configuration(home))
        patch.setenv("ANSIBLE_HOME", home)
        patch.setenv("ANSIBLE_LOCAL_TEMP", f"{home}/tmp")
        from ansible import constants

        patch.setattr(constants, "INVENTORY_ANY_UNPARSED_IS_FAILED", True)
        patch.setattr(constants, "INVENTORY_UNPARSED_WARNING", False)
        yield
