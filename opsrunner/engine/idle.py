"""The embedded worker looks after its server: starts it again when it died, ends it, and itself, when nobody used it
for a while and nothing runs or waits for its time.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time

from opsrunner import embedded
from opsrunner.errors import BrokerUnavailable
from opsrunner.ledger import keys
from opsrunner.ledger.store import AWAY, client_for
from opsrunner.settings import Settings

log = logging.getLogger("opsrunner.worker")

#: Seconds between two looks.
LOOK = 5.0


def stop_when_idle(settings: Settings) -> None:
    """Start the thread that ends this worker, then the embedded server, after the idle time."""
    threading.Thread(target=_watch, args=(settings,), name="idle", daemon=True).start()


def _watch(settings: Settings) -> None:
    client = client_for(settings.ledger_url)
    allowed = float(settings.idle_minutes) * 60
    while True:
        time.sleep(min(LOOK, max(0.2, allowed / 4)))
        try:
            busy = bool(client.exists(keys.OPEN, keys.PLANNED))
        except AWAY:
            busy = _bring_back(settings, allowed)
        if busy:
            embedded.touch(settings)
        elif time.time() - embedded.last_used(settings) > allowed:
            # The server goes first: a worker that ends would otherwise wait for nothing.
            embedded.stop(settings)
            os.kill(os.getpid(), signal.SIGTERM)
            return


def _bring_back(settings: Settings, allowed: float) -> bool:
    """Start a server that died under a run, which waits for it, and else would for ever; whether it was started."""
    unused = time.time() - embedded.last_used(settings)
    if unused > allowed or embedded.status(settings).server is not None:
        return False
    try:
        embedded.ensure(settings)
    except BrokerUnavailable as error:
        log.error("the embedded Redis died and cannot be started again: %s", error)
        return False
    log.warning("the embedded Redis had died and is started again")
    return True
