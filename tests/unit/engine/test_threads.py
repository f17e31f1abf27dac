"""Host threads: every job once, as many at once as are wanted, and no more than help."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest

from opsrunner.engine.gate import Ahead
from opsrunner.engine.threads import FEW, HostThreads

#: Seconds after which something hangs; nothing is waited for that long where all is well.
PATIENCE = 60


@pytest.fixture
def threads() -> Iterator[HostThreads]:
    threads = HostThreads(3 * FEW)
    yield threads
    threads.close()


def test_every_job_is_done_once_whoever_hands_it_in(threads: HostThreads) -> None:
    done: Counter[int] = Counter()
    lock = threading.Lock()
    over = threading.Semaphore(0)

    def job(number: int) -> None:
        with lock:
            done[number] += 1
        over.release()

    def hand_in(first: int) -> None:
        for number in range(first, 2000, 4):
            threads.begin((lambda number=number: job(number),))  # type: ignore[misc]

    givers = [threading.Thread(target=hand_in, args=(first,)) for first in range(4)]
    for giver in givers:
        giver.start()
    for giver in givers:
        giver.join()
    assert all(over.acquire(timeout=PATIENCE) for _ in range(2000))
    assert done == dict.fromkeys(range(2000), 1)


def test_jobs_that_wait_for_each_other_are_at_work_at_once(threads: HostThreads) -> None:
    """More than are set to work at first: who waits for its host must not keep others from theirs."""
    meeting = threading.Barrier(3 * FEW + 1)
    threads.begin(lambda: meeting.wait(PATIENCE) and None for _ in range(3 * FEW))
    meeting.wait(PATIENCE)


def test_no_more_than_so_many_are_at_work(threads: HostThreads) -> None:
    at_work: list[int] = []
    most: list[int] = []
    over = threading.Semaphore(0)
    gate = threading.Event()

    def job() -> None:
        at_work.append(1)
        most.append(len(at_work))
        gate.wait(PATIENCE if len(most) < 3 * FEW else 0)
        if len(most) >= 3 * FEW:
            gate.set()
        at_work.pop()
        over.release()

    threads.begin([job] * 200)
    assert all(over.acquire(timeout=PATIENCE) for _ in range(200))
    assert max(most) == 3 * FEW


def test_some_come_before_all_that_wait() -> None:
    alone = HostThreads(1)
    gate = threading.Event()
    done: list[str] = []
    over = threading.Event()
    alone.begin([lambda: gate.wait(PATIENCE) and None])
    alone.begin([partial(done.append, "waits"), partial(done.append, "waits"), over.set])
    alone.begin_first(partial(done.append, "first"))
    gate.set()
    assert over.wait(PATIENCE)
    assert done == ["first", "waits", "waits"]
    alone.close()


def test_no_more_are_started_ahead_than_threads_could_take(threads: HostThreads) -> None:
    ahead = Ahead(threads, most=2)
    assert [ahead.take() for _ in range(3)] == [True, True, False]
    ahead.give()
    assert ahead.take()
    ahead.give()
    ahead.give()
    assert not Ahead(HostThreads(0), most=2).take(), "nobody would send it"


def test_a_job_that_raises_costs_no_thread(threads: HostThreads, caplog: pytest.LogCaptureFixture) -> None:
    over = threading.Semaphore(0)

    def fail() -> None:
        raise ValueError("a defect")

    threads.begin([fail] * 50)
    threads.begin([over.release] * 50)
    assert all(over.acquire(timeout=PATIENCE) for _ in range(50))
    assert "a job of a host thread failed" in caplog.text


def test_once_closed_nothing_is_begun(threads: HostThreads) -> None:
    over = threading.Event()
    threads.begin([over.set])
    assert over.wait(PATIENCE)
    threads.close()
    begun = threading.Event()
    threads.begin([begun.set])
    assert not begun.wait(0.2)
