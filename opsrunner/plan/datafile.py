"""Variables from JSON or YAML texts, wherever they come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from opsrunner import tagged, yamlsource


def read(path: Path, *, name: str | None = None) -> Any:
    """The data in a file. Raises InputError."""
    shown = name or str(path)
    return parse(yamlsource.read_file(path, name=shown), shown)


def parse(text: str, name: str) -> Any:
    """The data in a text: JSON when it is JSON, else YAML; ``name`` is what errors call it.

    JSON goes first because YAML 1.1 reads some of it otherwise (``1e3`` is a text there).
    """
    if text.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(text, object_pairs_hook=_unique)
        except (ValueError, RecursionError):
            pass  # YAML has the better words for what is wrong
    return yamlsource.load(text, name)


def _unique(pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    value = tagged.of_json(found)
    return found if value is None else value
