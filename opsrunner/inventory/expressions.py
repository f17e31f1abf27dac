"""Regular expressions of host patterns, which end in time whatever they are."""

from __future__ import annotations

import re
import signal
import threading
import warnings
from collections.abc import Callable
from types import FrameType

from opsrunner.errors import InputError

#: Seconds of processor time for all names that one expression is held against; 100,000 take a tenth of one.
MAX_SECONDS = 1.0


class _Late(Exception):
    """The time is over."""


def matcher(expression: str) -> Callable[[str], object]:
    """Tells whether a name fits from its beginning, as Ansible has it.

    Raises InputError for what is no expression; the matcher does where it goes back and forth over
    a name without end. Only the main thread can be interrupted: elsewhere there is no such bound.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a later Python may read otherwise is no business of the operator's
            match = re.compile(expression).match
    except (re.error, OverflowError, RecursionError) as error:
        raise InputError(
            f"~{expression} is no regular expression",
            why=str(error),
            remedy="a comma or a colon outside of [ ] ends it: each separates patterns",
        ) from None
    left = MAX_SECONDS

    def bounded(name: str) -> object:
        nonlocal left
        if threading.current_thread() is not threading.main_thread():
            return match(name)
        before = signal.signal(signal.SIGVTALRM, _interrupt)
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, left)
            found = match(name)
            left = max(signal.setitimer(signal.ITIMER_VIRTUAL, 0)[0], 0.001)
        except _Late:
            raise InputError(
                f"~{expression} takes more than {MAX_SECONDS:g} s",
                why=f"it goes back and forth over {name[:80]}",
                remedy="write it without repetitions in each other, such as (a+)+",
            ) from None
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, before)
        return found

    return bounded


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise _Late
