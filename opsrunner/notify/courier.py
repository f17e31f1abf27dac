"""In every worker: sends what is in the outbox, and tries again later what was not taken. It holds up no run.

The worker whose steward leads also looks for what there is to tell.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import traceback
from collections.abc import Callable
from typing import TypeVar

from opsrunner.errors import InputError, NotificationFailed
from opsrunner.ledger.reader import Reader
from opsrunner.ledger.rounds import Rounds
from opsrunner.ledger.store import AWAY, Store
from opsrunner.notify.model import Notifier
from opsrunner.notify.outbox import Notification, Outbox
from opsrunner.notify.watch import Watch
from opsrunner.output.wording import duration
from opsrunner.settings import Settings

log = logging.getLogger("opsrunner.notify")

Answer = TypeVar("Answer")

#: Seconds between two looks at the outbox.
LOOK = 2.0
#: Messages that one worker process sends at once.
HANDS = 4
#: Seconds of the longest pause between two tries.
LONGEST_PAUSE = 3600.0
#: Seconds after which another worker may try what this one cannot open.
PASS_ON_PAUSE = 30.0
#: Seconds that messages on their way have when the worker ends; later ones are sent again by another worker.
FINISH_WITHIN = 3.0


def pause(notifier: Notifier, attempts: int, chance: Callable[[], float] = random.random) -> float:
    """Seconds until the next try: twice as long each time, a little uneven so that many do not come at once."""
    longest = max(LONGEST_PAUSE, notifier.retry_after)
    doubled = notifier.retry_after * 2.0 ** min(attempts - 1, 30)
    return min(doubled, longest) * (1 + chance() / 10)


class Courier(Rounds):
    """One thread that looks, and up to :data:`HANDS` that send."""

    def __init__(
        self, store: Store, reader: Reader, settings: Settings, *, name: str, boot: str, leads: Callable[[], bool]
    ) -> None:
        """``boot`` is the lease of this process; ``leads`` tells whether it looks for what there is to tell."""
        super().__init__("courier", pause=LOOK)
        self._outbox = Outbox(store.redis, store.sealer)
        self._kept = settings.retention_days * 86400
        self._watch = Watch(self._outbox, reader, web_url=settings.web_url, kept=self._kept)
        self._name = name
        self._boot = boot
        self._leads = leads
        #: There was something at the last look: once more, so that what was kept of it is let go.
        self._busy = True
        self._hands: list[threading.Thread] = []

    def end(self) -> None:
        deadline = time.monotonic() + FINISH_WITHIN
        super().end()
        for hand in self._hands:
            hand.join(max(0.0, deadline - time.monotonic()))

    def look(self) -> float | None:
        was_busy, self._busy = self._busy, self._outbox.is_busy()
        if not (self._busy or was_busy):
            return None
        if self._leads():
            self._watch.look()
        self._take_some()
        return LOOK

    def _take_some(self) -> None:
        self._hands = [hand for hand in self._hands if hand.is_alive()]
        free = HANDS - len(self._hands)
        if not free:
            return
        token, taken = self._outbox.take(self._boot, self._name, free)
        for identity in taken:
            # Daemons: a server that hangs must not keep the worker from ending.
            hand = threading.Thread(target=self._deliver, args=(identity, token), name="notify", daemon=True)
            self._hands.append(hand)
            hand.start()

    def _deliver(self, identity: str, token: str) -> None:
        # Most workers never send anything, and should start without all of this.
        from opsrunner.notify import delivery

        try:
            opened = self._insist(lambda: (*self._outbox.opened(identity), self._outbox.now()))
        except LookupError:
            return
        except InputError as error:  # another key, or another version: other workers may have the right one
            self._settle(identity, token, "waiting", str(error), PASS_ON_PAUSE)
            return
        if opened is None:
            return
        notification, notifier, facts, now = opened
        age = now - notification.since
        try:
            note = delivery.deliver(notification, notifier, facts)
        except NotificationFailed as error:
            self._put_off(notification, notifier, token, age, error, delivery.clean(str(error), notifier))
        except Exception as error:
            told = delivery.masked("".join(traceback.format_exception(error)), notifier)
            log.error("notification %s met a defect:\n%s", identity, told)
            defect = NotificationFailed(f"unexpected error: {type(error).__name__}")
            self._put_off(notification, notifier, token, age, defect, str(defect))
        else:
            log.info("notification %s: %s told of %s", identity, notifier.name, notification.event)
            self._settle(identity, token, "delivered", delivery.clean(note, notifier))

    def _put_off(
        self,
        notification: Notification,
        notifier: Notifier,
        token: str,
        age: float,
        error: NotificationFailed,
        text: str,
    ) -> None:
        """Try again later, or give up; ``text`` is the error as it may be shown."""
        wait = max(pause(notifier, notification.attempts), error.wait or 0.0)
        if error.final or age + wait > notifier.give_up_after:
            log.error("notification %s is given up: %s", notification.id, text)
            self._settle(notification.id, token, "failed", text)
        else:
            log.warning("notification %s is tried again in %s: %s", notification.id, duration(wait), text)
            self._settle(notification.id, token, "waiting", text, wait)

    def _settle(self, identity: str, token: str, state: str, note: str, wait: float = 0.0) -> None:
        self._insist(lambda: self._outbox.settle(identity, token, state, note, wait=wait, kept=self._kept))

    def _insist(self, ask: Callable[[], Answer]) -> Answer | None:
        """Ask again while Redis is away: else what was sent would be sent twice. None when the worker ends first."""
        while True:
            try:
                return ask()
            except AWAY:
                if self._closing.wait(LOOK):
                    return None
