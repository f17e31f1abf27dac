"""Variables from JSON or YAML texts, wherever they come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from opsrunner import yamlsource
from opsrunner.errors import InputError
from opsrunner.inventory.document import last_counts
from opsrunner.inventory.values import load_yaml

#: Told of a key that stands twice, of which the last one counts.
Warn = Callable[[InputError], None]


def read(path: Path, warn: Warn, *, name: str | None = None) -> Any:
    """The data in a file. Raises InputError."""
    shown = name or str(path)
    return parse(yamlsource.read_file(path, name=shown), shown, warn)


def parse(text: str, name: str, warn: Warn) -> Any:
    """The data in a text: JSON when it is JSON, else YAML; ``name`` is what errors call it."""
    return load_yaml(text, name, on_duplicate=lambda duplicate: warn(last_counts(duplicate)))
