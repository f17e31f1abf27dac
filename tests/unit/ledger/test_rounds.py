"""Threads that look again and again: they rest until they are woken, and go on after what goes wrong."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from opsrunner.ledger.client import Refused
from opsrunner.ledger.rounds import Rounds

#: Seconds that a busy machine may take.
SOON = 60.0
SHORT = 0.01


class Told(Rounds):
    """Each round is told, and waits for what comes of it."""

    def __init__(self) -> None:
        super().__init__("teller", pause=SHORT)
        self.rounds: SimpleQueue[None] = SimpleQueue()
        self.comes: SimpleQueue[float | Exception | None] = SimpleQueue()

    def look(self) -> float | None:
        self.rounds.put(None)
        what = self.comes.get()
        if isinstance(what, Exception):
            raise what
        return what

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()


@pytest.fixture
def rounds() -> Iterator[Told]:
    told = Told()
    told.begin()
    told.rounds.get(timeout=SOON)
    yield told
    told.close()
    told.comes.put(None)
    told.end()
    assert not told.alive


def test_it_looks_again_after_as_long_as_it_says(rounds: Told) -> None:
    for pause in (0.0, SHORT):
        rounds.comes.put(pause)
        rounds.rounds.get(timeout=SOON)


def test_it_rests_until_it_is_woken(rounds: Told) -> None:
    rounds.comes.put(None)
    assert rounds.rounds.empty()
    rounds.wake()
    rounds.rounds.get(timeout=SOON)


def test_what_wakes_it_while_it_looks_is_not_missed(rounds: Told) -> None:
    rounds.wake()
    rounds.comes.put(None)
    rounds.rounds.get(timeout=SOON)


def test_neither_an_absent_redis_nor_a_defect_ends_it(rounds: Told, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        rounds.comes.put(Refused("it is away"))
        rounds.rounds.get(timeout=SOON)
        assert caplog.records == []
        rounds.comes.put(ZeroDivisionError())
        rounds.rounds.get(timeout=SOON)
    assert [record.getMessage() for record in caplog.records] == ["the teller stumbled"]


@pytest.mark.parametrize("pause", [None, 3600.0])
def test_it_ends_at_once_whatever_it_waits_for(pause: float | None) -> None:
    told = Told()
    told.begin()
    told.comes.put(pause)
    told.rounds.get(timeout=SOON)
    enders = [threading.Thread(target=told.end) for _ in range(2)]
    for ender in enders:
        ender.start()
    for ender in enders:
        ender.join(SOON)
    told._thread.join(SOON)
    assert not told.alive
