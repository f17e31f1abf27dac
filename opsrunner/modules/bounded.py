"""Work whose cost a task's own text decides (regular expressions), done where it can be ended.

Python's ``re`` holds the interpreter while it searches: one expression that backtracks without end would
stop every host of the worker. So the search runs in a helper process, which the kernel ends when it has
used up its time. Helpers are kept for the next search; they end with the worker, whose end they read.
"""

from __future__ import annotations

import contextlib
import importlib
import marshal
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import IO, Any, ParamSpec, TypeVar, cast

from opsrunner.modules.contract import ModuleFailure
from opsrunner.processes import our_program

#: Seconds of processor time for one piece of work, as for one rendering of a template.
MAX_SECONDS = 3.0
#: Bytes of memory that a helper may take.
MAX_MEMORY = 1024 * 1024 * 1024
#: Bytes of what it may give back.
MAX_RESULT = 64 * 1024 * 1024
_SIZE = 8

Given = ParamSpec("Given")
Found = TypeVar("Found")

_idle: list[Helper] = []
#: One for each processor: more would not be faster, and would take memory.
_free = threading.BoundedSemaphore(os.cpu_count() or 1)
# A child that was forked has the helpers' pipes, but must not speak on them.
os.register_at_fork(after_in_child=_idle.clear)


def bounded(work: Callable[Given, Found], *given: Given.args, **named: Given.kwargs) -> Found:
    """``work(…)`` of plain values: numbers, text, bytes, and lists, tuples and dicts of them.

    ``work`` is a function of a module's top level. Raises ModuleFailure as it does, and where it takes
    more than :data:`MAX_SECONDS` or :data:`MAX_MEMORY`.
    """
    request: Any = (work.__module__, work.__qualname__, given, named, MAX_SECONDS)
    with _free:
        helper = _idle.pop() if _idle else Helper()
        answer = helper.ask(marshal.dumps(request))
        if answer is not None:
            _idle.append(helper)
    if answer is None:
        raise ModuleFailure(
            f"the regular expression does not come to an end: more than {MAX_SECONDS:g} seconds of work;"
            " write it so that it backtracks less"
        )
    kind, value = marshal.loads(answer)
    if kind == "failure":
        raise ModuleFailure(value)
    if kind == "error":
        raise RuntimeError(value)
    return cast(Found, value)


class Helper:
    """One helper process, waiting for work."""

    def __init__(self) -> None:
        words, environment = our_program("opsrunner.modules.bounded")
        # A session of its own: what interrupts the worker must not end the search of a step that is to be finished.
        self._process = subprocess.Popen(
            words,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def ask(self, request: bytes) -> bytes | None:
        """The answer; None when the helper was ended, and is gone."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            _write(process.stdin, request)
            answer = _read(process.stdout)
        except BaseException as error:
            self._end()
            if not isinstance(error, BrokenPipeError):
                raise
            return None
        if answer is None:
            self._end()
        return answer

    def _end(self) -> None:
        self._process.kill()
        self._process.communicate()


def _write(stream: IO[bytes], data: bytes) -> None:
    stream.write(len(data).to_bytes(_SIZE, "big"))
    stream.write(data)
    stream.flush()


def _read(stream: IO[bytes]) -> bytes | None:
    """One message; None when the other side is gone."""
    head = stream.read(_SIZE)
    size = int.from_bytes(head, "big")
    data = stream.read(size) if len(head) == _SIZE else b""
    return data if len(head) == _SIZE and len(data) == size else None


def _answer(request: bytes) -> tuple[str, Any]:
    module, name, given, named, seconds = marshal.loads(request)
    try:
        # Nothing handles its signal: the kernel ends the process when the time is up.
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        return "found", getattr(importlib.import_module(module), name)(*given, **named)
    except ModuleFailure as failure:
        return "failure", failure.msg
    except MemoryError:
        return "failure", f"the regular expression needs more than {MAX_MEMORY // 1024**2} MiB of memory"
    except Exception as error:
        return "error", f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def serve() -> None:
    """Answer requests from standard input until it ends."""
    with contextlib.suppress(ValueError, OSError):  # macOS knows no limit of memory
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    while (request := _read(sys.stdin.buffer)) is not None:
        answer = marshal.dumps(_answer(request))
        if len(answer) > MAX_RESULT:
            answer = marshal.dumps(("failure", f"the result is larger than {MAX_RESULT // 1024**2} MiB"))
        _write(sys.stdout.buffer, answer)


if __name__ == "__main__":
    serve()
