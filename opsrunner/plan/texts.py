"""The texts in a value, however deep. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def texts_in(value: Any) -> Iterator[str]:
    """Every text that is a value or an item there; keys are none."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for content in value.values():
            yield from texts_in(content)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from texts_in(item)
