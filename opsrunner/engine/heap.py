"""The C library's memory, kept small: Python frees what hosts have printed, and glibc would keep it for itself."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from contextlib import suppress

#: glibc's name for how many heaps threads are spread over (malloc.h).
_ARENA_MAX = -8
#: Seconds of rest after which memory is given back: between two steps it would be wanted again.
REST = 5.0
#: Seconds after which that is done in the midst of work, too: runs that have ended are let go by it.
WORK = 60.0


def share_one_heap() -> None:
    """Have all threads take memory from one heap; called before there are many.

    Each would else have one of its own, up to eight for each processor, and none can use what others have freed. They
    hold the interpreter while they ask for memory, so they need not wait for each other.
    """
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)


def give_back() -> None:
    """Give the system what lies free; some hundredths of a second.

    What holds each other is looked for first: garbage is collected so rarely that a run would be kept for hours.
    """
    gc.collect()
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class Thrift:
    """Gives back what lies free whenever nothing has ended for a while, and each minute while work goes on."""

    def __init__(self, done: Callable[[], int]) -> None:
        """``done`` counts what came to its end."""
        self._done = done
        self._seen = -1
        #: When something last came to its end, and since when there is something to be given back; None: nothing.
        self._last = 0.0
        self._since: float | None = None

    def look(self, now: float) -> None:
        """To be called now and then; ``now`` is a clock in seconds."""
        done = self._done()
        if done != self._seen:
            self._seen, self._last = done, now
            self._since = now if self._since is None else self._since
        if self._since is not None and (now - self._last >= REST or now - self._since >= WORK):
            self._since = None
            give_back()
