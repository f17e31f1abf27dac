"""Deadlines that hold."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from opsrunner.ssh.watchdog import Watchdog


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    made = Watchdog(lambda: None, every=60.0, monotonic=time.monotonic)
    yield made
    made.close()


def test_it_bites_at_the_deadline(watchdog: Watchdog) -> None:
    bitten = threading.Event()
    began = time.monotonic()
    with watchdog.watch(0.1, bitten.set) as watch:
        assert bitten.wait(30)
        assert watch.fired
    assert time.monotonic() - began >= 0.1


def test_a_later_shorter_deadline_is_not_overslept(watchdog: Watchdog) -> None:
    bitten = threading.Event()
    with watchdog.watch(30, lambda: None):
        time.sleep(0.05)
        with watchdog.watch(0.05, bitten.set):
            assert bitten.wait(20)


def test_who_left_in_time_is_not_bitten() -> None:
    now = 0.0
    watchdog = Watchdog(lambda: None, every=60.0, monotonic=lambda: now)
    bites: list[int] = []
    with watchdog.watch(0.05, lambda: bites.append(1)) as early:
        pass
    now = 1.0
    last = threading.Event()
    with watchdog.watch(0.0, last.set):
        assert last.wait(30)
    watchdog.close()
    assert bites == []
    assert not early.fired


def test_it_sweeps_from_time_to_time() -> None:
    sweeps: list[int] = []
    done = threading.Event()
    watchdog = Watchdog(
        lambda: (sweeps.append(1), done.set() if len(sweeps) > 2 else None), every=0.02, monotonic=time.monotonic
    )
    with watchdog.watch(30, lambda: None):
        assert done.wait(30)
    watchdog.close()


def test_closing_ends_its_thread() -> None:
    watchdog = Watchdog(lambda: None, every=60.0, monotonic=time.monotonic)
    with watchdog.watch(30, lambda: None):
        thread = watchdog._thread
        assert thread is not None and thread.is_alive()
        watchdog.close()
        assert not thread.is_alive()
