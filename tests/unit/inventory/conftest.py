"""Inventories written out in a temporary folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from opsrunner.inventory import Inventory, load

Loaded = Callable[..., Inventory]


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    """Writes ``files`` (name → text; a text alone is hosts.yml) and loads ``sources``."""

    def write_and_load(files: str | dict[str, str], *sources: str, playbook: str | None = None) -> Inventory:
        for name, text in ({"hosts.yml": files} if isinstance(files, str) else files).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        directory = tmp_path / playbook if playbook else None
        return load(sources or ["hosts.yml"], base=tmp_path, playbook_directory=directory)

    return write_and_load
