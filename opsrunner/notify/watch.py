"""Which events of a run are to be told, from where it stands in the ledger: whatever ended it, and whoever died."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from opsrunner.errors import OpsrunnerError
from opsrunner.ledger.client import AWAY
from opsrunner.ledger.reader import Reader
from opsrunner.ledger.records import ENDED
from opsrunner.ledger.runs import Standing
from opsrunner.notify.model import Event, Notifier
from opsrunner.notify.outbox import ANNOUNCED, Outbox

log = logging.getLogger("opsrunner.notify")

_ENDINGS: dict[str, Event] = {
    "succeeded": "success",
    "failed": "failure",
    "stopped": "failure",
    "cancelled": "cancelled",
    "held": "held",
}


class Due(Struct, frozen=True):
    """One event that one notifier is told of. There is one notification of an ``identity``."""

    identity: str
    event: Event
    notifier: Notifier


def due_events(
    run_id: str, standing: Standing, notifiers: Iterable[Notifier], now: float, *, announced: float = 0.0
) -> Iterator[Due]:
    """What there is to tell by now. That a success is a recovery is not known here: it is a ``success``.

    A run is ``announced`` before it is begun, and again when it is resumed.
    """
    started = standing.started
    for one in notifiers:
        end = _ending(standing, one)
        # A run so short that nobody saw it go on: its end says all.
        if started is not None and "start" in one.on and end is None:
            yield Due(f"{run_id}:start:{one.name}", "start", one)
        if end is not None:
            # A run that is resumed ends again, at another time.
            yield Due(f"{run_id}:end-{standing.finished}:{one.name}", end, one)
        elif _takes_long(standing, one, now, announced):
            again = f"-{announced}" if started is not None and announced > started else ""
            yield Due(f"{run_id}:still-running{again}:{one.name}", "still_running", one)


def _takes_long(standing: Standing, notifier: Notifier, now: float, announced: float) -> bool:
    if standing.status in ENDED or standing.started is None or notifier.still_running_after is None:
        return False
    return now - max(standing.started, announced) >= notifier.still_running_after


def _ending(standing: Standing, notifier: Notifier) -> Event | None:
    """The event by which the run has ended, when the notifier may want it."""
    event = _ENDINGS.get(standing.status)
    if event == "failure" and standing.started is None:
        event = "missed"
    wanted = event in notifier.on or (event == "success" and "recovery" in notifier.on)
    return event if wanted else None


class Watch:
    """Looks at the runs that somebody is told of, and posts what there is to tell. ``kept``: seconds of retention."""

    def __init__(self, outbox: Outbox, reader: Reader, *, web_url: str, kept: float) -> None:
        self._outbox = outbox
        self._reader = reader
        self._web_url = web_url
        self._kept = kept
        self._notifiers: dict[str, list[Notifier]] = {}
        #: What was posted already, or is not wanted; a worker that comes to lead asks Redis.
        self._done: dict[str, set[str]] = {}
        self._complaints: dict[str, str] = {}

    def look(self) -> None:
        """Once over all runs. Raises redis' own errors."""
        announced = self._outbox.watched()
        for kept in (self._notifiers, self._done, self._complaints):
            for gone in kept.keys() - announced.keys():
                del kept[gone]
        if not announced:
            return
        now = self._reader.now()
        for run_id, standing in self._reader.standings(announced).items():
            if standing is None:
                # It is announced before it is stored. One whose record is gone, or never came, is forgotten.
                if now - announced[run_id] > ANNOUNCED:
                    self._outbox.forget(run_id)
                continue
            try:
                self._look_at(run_id, standing, now, announced[run_id])
            except AWAY:
                raise
            except Exception as error:  # another key, a damaged record: of the others is told all the same
                self._complain(run_id, error)

    def _look_at(self, run_id: str, standing: Standing, now: float, announced: float) -> None:
        if run_id not in self._notifiers:
            self._notifiers[run_id] = self._outbox.notifiers(run_id)
        done = self._done.setdefault(run_id, set())
        every = due_events(run_id, standing, self._notifiers[run_id], now, announced=announced)
        due = [one for one in every if one.identity not in done]
        self._post(run_id, [one for one in due if not self._outbox.has(one.identity)], announced)
        done.update(one.identity for one in due)
        if standing.status in ENDED:
            self._outbox.leave(run_id, standing.finished)

    def _post(self, run_id: str, due: Sequence[Due], announced: float) -> None:
        run = self._reader.run(run_id) if due else None
        if run is None:
            return
        # Counting and folding are not needed by a worker that tells nobody.
        from opsrunner.notify.facts import facts_of, without_output

        previous = self._reader.previous(run) if any(one.event == "success" for one in due) else None
        recovered = previous is not None and previous.status != "succeeded"
        facts: dict[str, Any] = {}
        for one in due:
            event = "recovery" if one.event == "success" and recovered and "recovery" in one.notifier.on else one.event
            if event not in one.notifier.on:
                continue
            if event not in facts:
                before = previous if event == "recovery" else None
                url = self._web_url
                facts[event] = facts_of(self._reader, run, event, web_url=url, previous=before, announced=announced)
            told = facts[event] if one.notifier.output else without_output(facts[event])
            self._outbox.post(one.identity, one.notifier, told, kept=self._kept)

    def _complain(self, run_id: str, error: Exception) -> None:
        """Say once why nobody can be told: looks come every second."""
        if self._complaints.get(run_id) != str(error):
            self._complaints[run_id] = str(error)
            defect = None if isinstance(error, OpsrunnerError) else error
            log.error("nobody is told of run %s: %s", run_id, error, exc_info=defect)
