"""One sshd fleet, one Redis and two workers for all tests of the engine in a process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.integration.engine.marks import Marks
from tests.integration.stack import Stack

#: Hosts of the inventory that every test starts from.
HOSTS = 50


@pytest.fixture(scope="session")
def engine_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet.start(tmp_path_factory.mktemp("sshd"))
    yield fleet
    fleet.stop()


@pytest.fixture(scope="session")
def shared_stack(tmp_path_factory: pytest.TempPathFactory, engine_fleet: Fleet) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack")) as stack:
        stack.worker("one")
        stack.worker("two")
        yield stack


@pytest.fixture
def stack(shared_stack: Stack, engine_fleet: Fleet) -> Stack:
    """The shared servers with a fresh inventory: h0001 … h0050 in the group fleet."""
    shared_stack.inventory(engine_fleet.inventory_yaml(HOSTS))
    return shared_stack


@pytest.fixture
def marks(tmp_path: Path) -> Marks:
    return Marks(tmp_path / "marks")
