"""What tests in several folders share."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet import Fleet, FleetUnavailable


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    """A real sshd that is every 127.x.y.z; one for each test process."""
    # Not pytest's own directory: it is closed to the other users that sshd serves here.
    directory = Path(tempfile.mkdtemp(prefix="opsrunner-fleet-"))
    directory.chmod(0o755)
    try:
        running = Fleet.start(directory)
    except FleetUnavailable as error:
        shutil.rmtree(directory, ignore_errors=True)
        pytest.fail(str(error))
    yield running
    running.stop()
    shutil.rmtree(directory, ignore_errors=True)
