"""The way to the ledger for whoever is no worker: started when embedded, refused with a reason else."""

from __future__ import annotations

import getpass
import os
import socket
from pathlib import Path

from opsrunner import embedded
from opsrunner.ledger.following import Ledger
from opsrunner.ledger.sealing import Sealer, create_key, read_key
from opsrunner.ledger.store import Store, connect
from opsrunner.settings import Settings


def open_ledger(settings: Settings, *, worker: bool = False) -> Ledger:
    """The ledger to read. With no broker configured the embedded server is started (and with ``worker`` a worker).

    Raises BrokerUnavailable.
    """
    if settings.broker_url is None:
        embedded.ensure(settings)
        embedded.touch(settings)
        _embedded_key(settings)
        if worker:
            embedded.ensure_worker(settings)
    return Ledger(connect(settings.ledger_url))


def open_store(ledger: Ledger, settings: Settings) -> Store:
    """The writing side, on the same connection. Raises InputError when there is no key to seal with."""
    return Store(ledger.redis, Sealer(read_key(Path(settings.key_file))))


def operator() -> str:
    """Whose process this is: ``user@machine``, as runs record it."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def _embedded_key(settings: Settings) -> None:
    path = Path(settings.key_file)
    if not path.exists():
        create_key(path)
