"""What a beat does: looks at every schedule again and again, and takes its next step when there is one.

Of several beats with one file the one with the lease looks. It need not be right about that: each step is a
transaction over the schedule's state, so whoever comes second does nothing (see :mod:`opsrunner.schedule.decide`).
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace
from redis.exceptions import WatchError

from opsrunner import embedded
from opsrunner.engine.access import open_ledger, open_store
from opsrunner.errors import BrokerUnavailable, InputError
from opsrunner.ledger.store import AWAY, Store
from opsrunner.schedule import states
from opsrunner.schedule.beats import Beat, leaders, leads, leave
from opsrunner.schedule.book import Book
from opsrunner.schedule.decide import DAMAGED, State, starts_at
from opsrunner.schedule.model import Schedule
from opsrunner.schedule.start import take_step
from opsrunner.schedule.states import Ending
from opsrunner.settings import Settings

log = logging.getLogger("opsrunner.beat")

#: Seconds between two looks at most.
LOOK = 1.0
#: Seconds between two attempts while Redis is away.
RETRY = 2.0
#: Seconds that a beat which ends waits for the runs it is about to start.
FINISH_WITHIN = 10.0


class Clock:
    """Made once per beat. ``tick`` never raises for what Redis or a file does."""

    def __init__(self, settings: Settings, file: Path) -> None:
        self.settings = settings
        self.book = Book(settings, file)
        self._self = Beat(f"{socket.gethostname()}-{os.getpid()}", secrets.token_hex(4), str(file.absolute()))
        self._led = False
        self._complaint = ""
        self._store: Store | None = None
        self._away = False
        self._busy: dict[str, threading.Thread] = {}
        #: Schedule → (timing, seen) and when its next due time after that is to be started.
        self._next: dict[str, tuple[tuple[str, float], float | None]] = {}

    def tick(self) -> float:
        """Do what is due; gives the seconds until the next look."""
        try:
            wait = self._look()
        except (BrokerUnavailable, *AWAY) as error:
            if not self._away:
                log.warning("the schedules wait for Redis: %s", error)
            self._away, self._store = True, None
            return RETRY
        except Exception:  # a defect met with one schedule must not end the beat
            log.exception("the beat stumbled")
            return RETRY
        if self._away:
            log.warning("Redis is back")
            self._away = False
        return wait

    def close(self) -> None:
        """Let what is being started come to its end, and another beat take over at once."""
        deadline = time.monotonic() + FINISH_WITHIN
        for thread in list(self._busy.values()):
            thread.join(max(0.0, deadline - time.monotonic()))
        try:
            if self._store:
                leave(self._store.redis, self._self)
        except AWAY:
            pass  # the lease ends by itself

    # ------------------------------------------------------------------ one look
    def _opened(self) -> Store:
        if self.settings.broker_url is None:
            embedded.touch(self.settings)
        if self._store is None:
            self._store = open_store(open_ledger(self.settings), self.settings)
        return self._store

    def _look(self) -> float:
        store = self._opened()
        self.book.reread()
        if not self._leads(store):
            return LOOK
        self.book.refresh(store)
        schedules = self._ours(leaders(store.redis))
        self._busy = {name: thread for name, thread in self._busy.items() if thread.is_alive()}
        found, endings = states.read_states(store.redis, [schedule.name for schedule in schedules])
        for schedule in schedules:
            for ending in endings[schedule.name]:
                states.write_ending(store.redis, schedule.name, ending, self._followers(schedule, ending))
        now = store.now()
        waits = [self._look_at(schedule, found[schedule.name], store, now) for schedule in schedules]
        return max(0.0, min([LOOK, *waits]))

    def _leads(self, store: Store) -> bool:
        beat = replace(self._self, names=self.book.of_file, fault=self.book.fault)
        before, self._led = self._led, leads(store.redis, beat)
        if self._led and not before:
            log.info("this beat leads")
        if not self._led:
            found = leaders(store.redis)
            names = {name for leader in found for name in leader.names}
            # One that has died a moment ago leads no more, and nothing can be said of its file.
            known = any(leader.group == beat.group for leader in found)
            missing = ", ".join(sorted(set(beat.names) - names)) if known else ""
            self._complain(f"the beat that leads goes by another file, not started: {missing}" if missing else "")
        return self._led

    def _ours(self, found: Sequence[Beat]) -> list[Schedule]:
        """Those that are not another file's as well: with two beats that disagree on its times it would never start."""
        first = [beat for beat in found if beat.group < self._self.group]
        taken = {name: beat for beat in first for name in beat.names}
        twice = [schedule.name for schedule in self.book.schedules if schedule.name in taken]
        said = ", ".join(f"{name} stands in {taken[name].file} of {taken[name].name}, too" for name in twice)
        self._complain(f"names are given once in one Redis: {said}; not started" if twice else "")
        return [schedule for schedule in self.book.schedules if schedule.name not in taken]

    def _complain(self, text: str) -> None:
        """In the log, once: looks come every second."""
        if text and text != self._complaint:
            log.error("%s", text)
        self._complaint = text

    def _followers(self, schedule: Schedule, ending: Ending) -> list[str]:
        if ending.status == "gone":
            return []
        wanted = {"end", "success" if ending.status == "succeeded" else "failure"}
        return [one.name for one in self.book.schedules if one.after == schedule.name and one.on in wanted]

    def _look_at(self, schedule: Schedule, state: State, store: Store, now: float) -> float:
        """Begin its next step if there is one; seconds until its next due time."""
        if schedule.name in self._busy or state.timing == DAMAGED:
            return LOOK
        start = self._start_of(schedule, state, now)
        if (
            state.timing == schedule.timing
            and not (state.waiting and not state.going)
            and not state.ended
            and (start is None or start > now)
        ):
            return LOOK if start is None else start - now
        # Compiling a large inventory must not make the other schedules late.
        thread = threading.Thread(target=self._take_steps, args=(schedule, store), daemon=True, name=schedule.name)
        self._busy[schedule.name] = thread
        thread.start()
        return LOOK

    def _start_of(self, schedule: Schedule, state: State, now: float) -> float | None:
        key = (schedule.timing, state.seen)
        if self._next.get(schedule.name, (None, None))[0] != key:
            self._next[schedule.name] = (key, starts_at(schedule, state.seen, now))
        return self._next[schedule.name][1]

    def _take_steps(self, schedule: Schedule, store: Store) -> None:
        """All that there is to do for it, one after another."""
        try:
            while True:
                try:
                    said = take_step(schedule, store, self.settings)
                except WatchError:
                    continue  # it was paused, started by hand, or looked at by another beat: all is different now
                if said is None:
                    return
                log.info("schedule %s: %s", schedule.name, said)
        except InputError as error:
            log.error("schedule %s cannot be started:\n%s", schedule.name, "\n".join(error.lines()))
        except (BrokerUnavailable, *AWAY) as error:
            log.warning("schedule %s waits for Redis: %s", schedule.name, error)
        except Exception:
            log.exception("schedule %s could not start", schedule.name)
