"""Real parts that rooms of these tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.stack import Redis


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A Redis of the module's own; what one test stores, the next one finds."""
    with Redis(tmp_path_factory.mktemp("r"), "--appendonly", "no") as running:
        yield running
