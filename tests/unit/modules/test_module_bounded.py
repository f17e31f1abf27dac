"""Work in a helper process: it ends, whatever is searched for, and the next work finds another helper."""

from __future__ import annotations

import threading
import time

import pytest

from opsrunner.modules import bounded as room
from opsrunner.modules.bounded import bounded
from opsrunner.modules.contract import ModuleFailure
from opsrunner.modules.lineinfile import with_line, without
from opsrunner.modules.replace import replaced


def test_the_answer_is_that_of_the_work_itself() -> None:
    assert bounded(without, b"a\nb\n", regexp=b"a") == without(b"a\nb\n", regexp=b"a")
    assert bounded(replaced, b"\xff a", "a", "b", None, "utf-8") == (b"\xff b", 1)


def test_failures_come_back_as_failures() -> None:
    with pytest.raises(ModuleFailure, match="a group that regexp does not have"):
        bounded(with_line, b"a\n", line=b"\\2", regexp=b"a", backrefs=True)
    with pytest.raises(RuntimeError, match="TypeError"):
        bounded(without, 1)  # type: ignore[arg-type]


def test_an_expression_without_end_is_ended_and_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_SECONDS", 0.3)
    failures: list[str] = []

    def search() -> None:
        try:
            bounded(without, b"a" * 60, regexp=b"(a+)+$b")
        except ModuleFailure as failure:
            failures.append(failure.msg)

    threads = [threading.Thread(target=search) for _ in range(2)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    turns = 0
    while any(thread.is_alive() for thread in threads):
        turns += 1
        time.sleep(0.01)
    assert len(failures) == 2
    assert all("does not come to an end: more than 0.3 seconds" in failure for failure in failures)
    # This thread had its turns meanwhile, which a search in this process would not have given it.
    assert turns > 5
    assert time.monotonic() - started < 30
    assert bounded(without, b"a\n", regexp=b"a")[2] == 1


def test_memory_has_an_end() -> None:
    with pytest.raises(ModuleFailure, match=r"MiB of memory|larger than 64 MiB"):
        bounded(replaced, b"a" * 40_000, "", "b" * 40_000, None, "utf-8")
