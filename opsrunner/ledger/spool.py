"""Outcomes on the worker's own disk while Redis takes none: a worker that is killed meanwhile does not lose them.

One file per worker process, there only while something waits; its lock ends with the process, however that ends.
Whoever finds a file without a lock delivers it: outcomes carry their claim's token, so that twice does no harm.
What is written is what Redis would hold: secrets are sealed already.
"""

from __future__ import annotations

import base64
import errno
import fcntl
import hashlib
import json
import logging
import os
import threading
from collections import Counter
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import IO, Any

from redis.exceptions import RedisError

from opsrunner.ledger.store import AWAY, Store
from opsrunner.ledger.transitions import Arguments

log = logging.getLogger("opsrunner.worker")

#: A file that cannot be read, or is refused for good, is kept under this ending for people to look at.
ASIDE = ".aside"


class Spool:
    """This process's file, and those that dead processes have left behind. Safe from any thread."""

    def __init__(self, folder: Path, ledger: str, boot: str) -> None:
        """``ledger`` tells Redis servers apart (outcomes must not go to another one), ``boot`` worker processes."""
        self._folder = folder
        self._ledger = hashlib.sha256(ledger.encode()).hexdigest()[:12]
        self._path = folder / f"{self._ledger}-{boot}.jsonl"
        self._lock = threading.Lock()
        self._file: FileIO | None = None
        self._waiting = 0
        self._told = False

    def keep(self, arguments: Arguments) -> bool:
        """Write one transition down, durably; False when the disk does not take it (told once in the log)."""
        line = json.dumps([_plain(value) for value in arguments], separators=(",", ":")).encode() + b"\n"
        with self._lock:
            try:
                self._write(line)
            except OSError as error:
                if not self._told:
                    log.error("outcomes wait in memory only: %s takes none: %s", self._folder, error.strerror)
                self._told = True
                return False
            self._waiting += 1
            return True

    def _write(self, line: bytes) -> None:
        file = self._file = self._file or self._begin()
        size = file.tell()
        try:
            if file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
        except OSError:
            os.ftruncate(file.fileno(), size)  # half a line would spoil the next one
            file.seek(size)
            raise

    def strike(self) -> None:
        """One of the transitions kept is stored now; the file goes with the last."""
        with self._lock:
            self._waiting -= 1
            if self._file and not self._waiting:
                self._path.unlink(missing_ok=True)
                self._file.close()
                self._file = None

    def _begin(self) -> FileIO:
        """Locked before it gets its name: nobody may take it for one that was left behind."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._path.with_suffix(".new")
        file = FileIO(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w")
        fcntl.flock(file, fcntl.LOCK_EX)
        draft.rename(self._path)
        folder = os.open(self._folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        return file

    # ------------------------------------------------------------------ what others left
    def adopt(self, store: Store) -> None:
        """Deliver what processes that are gone could not. Raises one of AWAY when Redis takes nothing now either."""
        for path in sorted(self._folder.glob(f"{self._ledger}-*.jsonl")):
            if path != self._path:
                self._adopt(path, store)

    def _adopt(self, path: Path, store: Store) -> None:
        try:
            file = path.open("rb")
        except OSError:
            return  # its process, or another worker, was quicker
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # its process lives
            try:
                answers = Counter(store.call(arguments)[0].decode() for arguments in _transitions(file))
            except AWAY:
                raise
            except (ValueError, RedisError) as error:
                log.error("%s cannot be delivered and is put aside: %s", path, error)
                path.rename(path.with_suffix(ASIDE))
                return
            path.unlink(missing_ok=True)
        if answers:
            told = ", ".join(f"{count} {answer}" for answer, count in sorted(answers.items()))
            log.warning("outcomes that a worker left on this disk: %s", told)


def _transitions(file: IO[bytes]) -> Iterator[Arguments]:
    """What the file holds; a line that was cut by the end of its process is left out: its outcome was not stored."""
    for line in file:
        if not line.endswith(b"\n"):
            return
        yield tuple(_value(one) for one in json.loads(line))


def _plain(value: str | bytes | int | float) -> Any:
    """As JSON takes it: bytes in a list, in base 64."""
    return [base64.b64encode(value).decode()] if isinstance(value, bytes) else value


def _value(plain: Any) -> str | bytes | int | float:
    value: str | bytes | int | float = base64.b64decode(plain[0]) if isinstance(plain, list) else plain
    return value
