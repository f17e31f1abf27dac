"""Which runs the ledger knows, and where they stand. Nothing here writes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from opsrunner.errors import InputError, LedgerLost, RunNotFound
from opsrunner.ledger import keys
from opsrunner.ledger.client import AWAY, Client, time_of
from opsrunner.ledger.decoding import decode_listed_record, decode_record, decode_text
from opsrunner.ledger.encoding import decode_time
from opsrunner.ledger.records import ENDED, RunRecord

#: Runs among which the one before is looked for.
LOOKED_BACK = 5000
#: What an id of a run, or its beginning, is made of.
_RUN_ID = re.compile(r"[A-Za-z0-9_-]+")


class Standing(Struct, frozen=True):
    """Where a run stands, without its plays. ``finished`` is as Redis has it: what compares it must not round."""

    status: str
    started: float | None
    finished: str


class RunReader:
    """Looks runs up. Raises redis' own errors when the server is away."""

    def __init__(self, client: Client) -> None:
        self.redis = client

    def now(self) -> float:
        """Seconds since the epoch by Redis' clock: what is stored is told by it, this node's may differ."""
        return time_of(self.redis)

    def clock(self) -> Callable[[], float]:
        """As :meth:`now`, asked once and counted on from there."""
        told, at = self.now(), time.monotonic()
        return lambda: told + time.monotonic() - at

    def runs(self, limit: int = 20) -> list[RunRecord]:
        """The newest runs, newest first; those whose records are gone are left out.

        One whose record cannot be read is there with nothing but its id, and says so as its reason.
        """
        last = min(max(0, limit - 1), 10**9)
        ids = [decode_text(run_id) for run_id in self.redis.zrevrange(keys.RUNS, 0, last)]
        pipeline = self.redis.pipeline(transaction=False)
        for run_id in ids:
            pipeline.hgetall(keys.run(run_id))
        answers = zip(ids, pipeline.execute(raise_on_error=False), strict=True)
        return [decode_listed_record(run_id, fields) for run_id, fields in answers if fields]

    def run(self, run_id: str) -> RunRecord | None:
        """One run by its whole id. Raises LedgerDamaged."""
        fields = self.redis.hgetall(keys.run(run_id))
        return decode_record(run_id, fields) if fields else None

    def look(self, run_id: str) -> RunRecord:
        """One run that was there. Raises LedgerLost when it is gone, and LedgerDamaged."""
        record = self.run(run_id)
        if record is None or not record.created:  # workers may have written to what is no run any more
            raise run_lost(run_id)
        return record

    def standings(self, run_ids: Iterable[str]) -> dict[str, Standing | None]:
        """Where runs stand, for a fraction of what reading them takes; None for one that is not there, or damaged."""
        ids = list(run_ids)
        pipeline = self.redis.pipeline(transaction=False)
        for run_id in ids:
            pipeline.hmget(keys.run(run_id), "status", "started", "finished")
        answers = pipeline.execute(raise_on_error=False)
        return {run_id: _standing(answer) for run_id, answer in zip(ids, answers, strict=True)}

    def previous(self, run: RunRecord) -> RunRecord | None:
        """The run before of the same schedule (else of the same playbook or command) that ended and was not cancelled.

        None too where that is more than :data:`LOOKED_BACK` runs ago.
        """
        wanted = _same_work(run.schedule, run.title, run.kind, run.check)
        ids = self.redis.zrevrangebyscore(keys.RUNS, f"({run.created!r}", "-inf", start=0, num=LOOKED_BACK)
        for begin in range(0, len(ids), 100):
            some = [decode_text(run_id) for run_id in ids[begin : begin + 100]]
            pipeline = self.redis.pipeline(transaction=False)
            for run_id in some:
                pipeline.hmget(keys.run(run_id), "status", "schedule", "title", "kind", "check")
            for run_id, fields in zip(some, pipeline.execute(), strict=True):
                status, schedule, title, kind, check = (decode_text(field or b"") for field in fields)
                same = _same_work(schedule or None, title, kind, check == "1") == wanted
                if same and status in ENDED and status != "cancelled":
                    return self.run(run_id)
        return None

    def find(self, text: str) -> RunRecord:
        """A run by its id, a unique beginning of it, or ``last``. Raises RunNotFound and LedgerDamaged."""
        if text == "last":
            newest = self.runs(1)
            if not newest:
                raise RunNotFound("there is no run yet", remedy="opsrunner run PLAYBOOK")
            text = newest[0].id
        # Anything else would name another of the ledger's keys: no run is called 240101-120000-abcd:plan.
        exact = self.run(text) if _RUN_ID.fullmatch(text) else None
        if exact:
            return exact
        names = map(decode_text, self.redis.zrange(keys.RUNS, 0, -1))
        found = [name for name in names if text and name.startswith(text)]
        if len(found) > 1:
            raise RunNotFound(
                f"{len(found)} runs begin with {text!r}", why=", ".join(found[:5]), remedy="write more of the id"
            )
        record = self.run(found[0]) if found else None
        if record is None:
            raise RunNotFound(f"no run {text!r}", remedy="`opsrunner runs` lists them")
        return record

    def find_ended(self, text: str) -> RunRecord:
        """As :meth:`find`. Raises InputError while the run goes on."""
        record = self.find(text)
        if record.status not in ENDED:
            raise InputError(
                f"run {record.id} still goes on ({record.status})",
                remedy=f"opsrunner watch {record.id} shows it, opsrunner cancel {record.id} stops it",
            )
        return record


def run_lost(run_id: str) -> LedgerLost:
    """The error for a run that was there and is gone."""
    return LedgerLost(
        f"Redis knows nothing of run {run_id} any more",
        why="it lost its memory: it was flushed, or came back without its file",
        remedy="what the hosts did is done, and its record is gone: look at the hosts before you run it again",
    )


def _standing(answer: Any) -> Standing | None:
    if isinstance(answer, AWAY):
        raise answer
    if isinstance(answer, Exception) or answer[0] is None:
        return None
    status, started, finished = answer
    try:
        begun = decode_time(started) if started else None
    except ValueError:
        return None
    return Standing(decode_text(status), begun, decode_text(finished or b""))


def _same_work(schedule: str | None, title: str, kind: str, check: bool) -> tuple[object, ...]:
    """Equal for runs of which the later one tells whether what was wrong is mended."""
    return (schedule, check) if schedule else (title, kind, check)
