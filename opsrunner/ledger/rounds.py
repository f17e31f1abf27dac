"""A thread that looks again and again whether the ledger holds something to do, and sleeps while it holds nothing."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod

from opsrunner.ledger.client import AWAY

log = logging.getLogger("opsrunner.worker")

#: Seconds that a thread has to end: the others must not wait for one that a Redis which says nothing holds up.
END_WITHIN = 3.0


class Rounds(ABC):
    """Say in :meth:`look` what a round is; one that meets an absent Redis or a defect is followed by another."""

    def __init__(self, name: str, *, pause: float) -> None:
        """``pause``: seconds until the next round after one that failed."""
        self._pause = pause
        self._closing = threading.Event()
        self._awake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @abstractmethod
    def look(self) -> float | None:
        """One round. Gives the seconds until the next one, None: not before :meth:`wake`."""

    def begin(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Go another round if there is none to come. Safe from any thread, whether begun or not."""
        if not self._awake.is_set():
            self._awake.set()

    def close(self) -> None:
        """Go no further round."""
        self._closing.set()
        self._awake.set()

    def end(self) -> None:
        """Close, and wait until the round that is under way is through."""
        self.close()
        self._thread.join(END_WITHIN)

    def _run(self) -> None:
        while not self._closing.is_set():
            # Before the look: what comes while it lasts is looked at by another one.
            self._awake.clear()
            pause = self._look()
            if pause is None and not self._closing.is_set():
                self._awake.wait()
            else:
                self._closing.wait(pause)

    def _look(self) -> float | None:
        try:
            return self.look()
        except AWAY:
            pass
        except Exception:  # a defect met in one place must not leave all others alone
            log.exception("the %s stumbled", self._thread.name)
        return self._pause
