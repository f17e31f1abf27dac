"""Reads pipes that are named like files, such as ``<(command)``, and does not wait for nobody."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path

from opsrunner.errors import InputError

#: Seconds that a pipe is waited for into which nobody writes.
PATIENCE = 1.0


def read(path: Path, most: int) -> bytes:
    """What comes out of a pipe, ``most`` bytes or a few more; whoever writes may take its time, but must be there.

    Raises InputError when nobody does, and OSError.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as pipe:  # noqa: PTH123 -- not to block
        data = bytearray()
        deadline = time.monotonic() + PATIENCE
        while len(data) < most:
            read = pipe.read(1 << 20)
            if read:
                data += read
            elif read is None:  # somebody is there, and writes later
                select.select([pipe], [], [])
            elif data:
                break
            elif time.monotonic() > deadline:
                raise InputError(f"nothing comes out of the pipe {path}", why="nobody writes into it")
            else:
                time.sleep(0.02)
    return bytes(data)
