"""Standard input, output and error of a command, whatever its caller made of them; and a system that refuses."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from opsrunner.errors import OpsrunnerError

#: What the system may refuse anybody: none of them tells of a defect of ours.
_REFUSALS = {
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room within your quota",
    errno.EFBIG: "allow larger files (ulimit -f)",
    errno.EROFS: "take a folder that can be written (OPSRUNNER_STATE_DIR)",
    errno.EACCES: "look whose it is: what was run by sudo belongs to root",
    errno.EPERM: "look whose it is: what was run by sudo belongs to root",
    errno.EIO: "look at that disk or terminal",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.ENFILE: "the whole machine has too many files open",
}


class ReaderGone(Exception):
    """Nobody reads our output any more (`| head`), which is no error. Not an OSError: click would end us for it."""


@contextmanager
def reader_gone() -> Iterator[None]:
    """Tell what a closed pipe means. Raises ReaderGone."""
    try:
        yield
    except BrokenPipeError:
        raise ReaderGone from None


def prepare() -> None:
    """Take what was closed (``>&-``) for one that swallows all, and have every text be writable."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # It gets the number that is free: nothing else that is opened, a connection say, must be given it.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 -- stays open
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names that are no text in this encoding are shown as escapes, as on stderr, in place of a traceback.
        sys.stdout.reconfigure(errors="backslashreplace")


def flush() -> None:
    """Write what was shown and waits. Raises ReaderGone, and OSError."""
    if sys.stderr is not None:
        with suppress(OSError):  # nobody could be told of it
            sys.stderr.flush()
    if sys.stdout is not None:
        with reader_gone():
            sys.stdout.flush()


def give_up() -> None:
    """Nobody takes our output any more; Python would try again, and complain, at exit."""
    sys.stdout = None


def refusal(error: OSError) -> OpsrunnerError | None:
    """What an operator is told of it, None where it looks like a defect of ours."""
    remedy = _REFUSALS.get(error.errno or 0)
    if remedy is None:
        return None
    what = f"cannot use {os.fsdecode(error.filename)}" if error.filename else "cannot write"
    return OpsrunnerError(what, why=error.strerror, remedy=remedy)
