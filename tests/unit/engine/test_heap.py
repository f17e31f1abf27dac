"""Memory is given back once for each rest, and now and then while work goes on."""

from __future__ import annotations

import pytest

from opsrunner.engine import heap
from opsrunner.engine.heap import REST, WORK, Thrift


def test_memory_is_given_back_once_for_each_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []
    jobs: list[str] = []
    thrift = Thrift(lambda: len(jobs))

    def look(now: float, *done: str) -> None:
        jobs.extend(done)
        monkeypatch.setattr(heap, "give_back", lambda: given.append(now))
        thrift.look(now)

    look(100)
    look(102, "a")
    look(102 + REST - 0.1)
    assert given == []
    look(102 + REST)
    look(300)
    look(301, "b")
    look(303, "c")
    assert given == [102 + REST]
    look(400)
    assert given == [102 + REST, 400]
    for now in range(500, 500 + int(2 * WORK)):
        look(now, "d")
    assert given == [102 + REST, 400, 500 + WORK]


def test_this_system_does_both() -> None:
    heap.share_one_heap()
    heap.give_back()
