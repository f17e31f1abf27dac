"""A Templar over known surroundings, and scopes over a few variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from opsrunner.templating import Layer, LookupContext, Scope, Templar

FILES = {"motd": "  welcome\n\n", "greeting.j2": "hi {{ name }}"}


def read(files: Mapping[str, str]) -> Callable[[str], str]:
    def reader(path: str) -> str:
        if path not in files:
            raise FileNotFoundError(path)
        return files[path]

    return reader


@pytest.fixture(scope="session")
def surroundings() -> LookupContext:
    return LookupContext(
        environment={"HOME": "/home/op", "EDITOR": "ed"},
        read_file=read(FILES),
        directory="/playbooks",
        read_template=None,
    )


@pytest.fixture(scope="session")
def templar(surroundings: LookupContext) -> Templar:
    """Its clock stands at 2001-09-09 01:46:40 UTC."""
    return Templar(lookups=surroundings, clock=lambda: 1_000_000_000.0)


@pytest.fixture
def scoped(templar: Templar) -> Callable[..., Scope]:
    """``scoped(written, told)``: variables the operator wrote, and above them what hosts told."""

    def make(written: Mapping[str, Any] | None = None, told: Mapping[str, Any] | None = None) -> Scope:
        return Scope(templar, [Layer(written or {}, templated=True), Layer(told or {})])

    return make
