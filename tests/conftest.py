"""What tests in several folders share."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.fleet import Fleet, FleetUnavailable

HOME = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """A home of this process's own: what somebody keeps in theirs decides no test, and none writes there."""
    config.stash[HOME] = Path(tempfile.mkdtemp(prefix="opsrunner-home-"))
    os.environ["HOME"] = str(config.stash[HOME])
    foreign = [name for name in os.environ if name.startswith(("OPSRUNNER_", "CELERY_", "XDG_"))]
    for name in set(foreign) - {"OPSRUNNER_SSH_SHELL"}:  # by which all tests go the other way
        del os.environ[name]
    # Whatever ansible-core's import sets the locale to, programs and the system speak one language.
    os.environ["LC_ALL"] = "C.UTF-8"

    # How long an example takes says more of the machine than of what is tested.
    settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("patient")

    # Behind ``&`` in a script ^C is ignored, and would be by every command that a test starts.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[HOME], ignore_errors=True)


def pytest_collection_finish() -> None:
    # Thousands of tests stay to the end: to look through them for garbage each time would take a seventh of all time.
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """A test whose state directory is nobody's would start, or find, servers that are not its own."""
    state = item.config.stash[HOME] / ".local" / "state"
    if state.exists():
        found = sorted(str(path.relative_to(state)) for path in state.rglob("*"))
        shutil.rmtree(state, ignore_errors=True)
        pytest.fail(f"this test wrote into the home of whoever runs it (set OPSRUNNER_STATE_DIR): {found}")


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
