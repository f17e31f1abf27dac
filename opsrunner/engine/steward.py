"""Inside every worker, one of them leading: settles dead workers' claims and moves stuck runs on.

Chords make a run fast; this makes it true. Everything it does may be done twice.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress

from msgspec import Struct
from msgspec.structs import replace

from opsrunner import modules
from opsrunner.engine import nodes
from opsrunner.engine.cursor import Cursor
from opsrunner.engine.dispatch import RunProgress, advance
from opsrunner.engine.node import Node
from opsrunner.engine.shards import Send
from opsrunner.engine.verdict import Front
from opsrunner.errors import InputError
from opsrunner.ledger import keys
from opsrunner.ledger.records import ENDED, Outcome
from opsrunner.ledger.rounds import Rounds
from opsrunner.ledger.store import AWAY
from opsrunner.plan.model import Play, Step

log = logging.getLogger("opsrunner.steward")

#: Seconds between two sweeps, while there is any work.
SWEEP = 2.0
#: Seconds after which hosts that nobody claimed are sent again (harmless when their message lives).
RESEND_AFTER = 10.0


class Seen(Struct, frozen=True):
    """A run as it was examined last: its sequence number, the workers that took something up, and when."""

    sequence: str
    boots: frozenset[str]
    at: float

    def moves_on(self, sequence: str, boots: frozenset[str], now: float) -> bool:
        """Whether there is nothing to find: hosts have come on since, and no worker has gone or come.

        Looked at all the same now and then: a message may be lost while others come through.
        """
        return sequence != self.sequence and boots == self.boots and now - self.at < RESEND_AFTER


class Steward(Rounds):
    """One thread per worker process; the one that leads sweeps."""

    def __init__(self, node: Node, send: Send) -> None:
        super().__init__("steward", pause=SWEEP)
        self._node = node
        self._send = send
        #: Run → how far it had come, and who was at work, when it was examined and nothing was wrong.
        self._seen: dict[str, Seen] = {}
        #: Run → what was said of it last.
        self._complaints: dict[str, str] = {}

    def look(self) -> float | None:
        if self._node.leads():
            self._launch_planned()
            for run_id in self._node.redis.smembers(keys.OPEN):
                self.move_on(run_id, settle=True)
        return SWEEP if self._node.busy else None

    def move_on(self, raw: bytes, *, settle: bool = False) -> None:
        """Move one run on; with ``settle`` see to what dead workers left of it first."""
        run_id = raw.decode(errors="replace")
        try:
            if settle:
                self._settle(run_id)
            advance(self._node, run_id, self._send)
        except AWAY:
            raise
        except Exception as error:  # one bad run must not keep the others waiting
            self._complain(run_id, error)

    def _complain(self, run_id: str, error: Exception) -> None:
        """Say once, in the log and in the run, why it cannot be moved on: sweeps come every few seconds."""
        text = f"cannot be moved on by {self._node.name}: {error}"
        if self._complaints.get(run_id) != text:
            self._complaints[run_id] = text
            log.error("run %s %s", run_id, text, exc_info=None if isinstance(error, InputError) else error)
        self._node.store.tell_once(run_id, self._node.name, text)

    def _launch_planned(self) -> None:
        """Begin the runs whose time has come; what comes too late is kept as long as any run that has ended."""
        node = self._node
        for run_id in node.store.planned(node.now()):
            if node.store.launch(run_id):
                continue
            with suppress(InputError):  # what is no record any more need not be kept
                if record := node.reader.run(run_id):
                    node.store.expire_record(record, int(node.settings.retention_days * 86400))

    def _end_overlong(self, run_id: str, created: str, started: str, longest: str) -> None:
        """Cancel a run that goes on for longer than it may."""
        if longest and self._node.store.now() - float(started or created) > float(longest):
            self._node.store.request_cancel(run_id, f"max_runtime: it went on for more than {float(longest):g} s")

    def _settle(self, run_id: str) -> None:
        """Settle the claims of workers that are gone; send again what nobody holds."""
        node = self._node
        fields = ("status", "cursor", "dispatched", "cancel", "halt", "lap", "seq", "created", "started", "max_runtime")
        raw = node.redis.hmget(keys.run(run_id), *fields)
        status, cursor, dispatched, cancel, halt, lap, sequence, *times = [(value or b"").decode() for value in raw]
        if status and status not in ENDED and not cancel:
            self._end_overlong(run_id, *times)
        at = Cursor.of(cursor)
        if status != "running" or at is None or at.index < 0:
            self._seen.pop(run_id, None)
            return
        boots = frozenset(worker.boot for worker in nodes.live(node.redis) if not worker.leaving)
        seen = self._seen.get(run_id)
        if seen and seen.moves_on(sequence, boots, node.now()):
            self._seen[run_id] = replace(seen, sequence=sequence)
            return
        try:
            context = node.context(run_id, int(lap or 0))
        except LookupError:
            return  # gone: it is taken off the list next
        play = context.plan.plays[at.play]
        front = Front(node.redis, run_id, play.batches[at.batch])
        waiting = front.of_stage(play, at)
        unclaimed, dead = self._examine(run_id, play, front, waiting)
        self._seen.pop(run_id, None)
        if node.lease_is_old() and not dead:
            self._seen[run_id] = Seen(sequence, boots, node.now())
        overdue = node.store.now() - float(dispatched or 0) > RESEND_AFTER
        if unclaimed and not cancel and not halt and (dead or overdue):
            run = RunProgress(node, context, self._send)
            run.shards.send(cursor, self._expected(run, play, at, unclaimed, waiting))

    def _expected(
        self, run: RunProgress, play: Play, at: Cursor, unclaimed: list[str], waiting: list[str]
    ) -> list[str]:
        """Of a run-once step only the first host is sent, and nobody once that one is through."""
        if at.through or not run.runs_once(play, at.index, unclaimed[0]):
            return unclaimed
        states = self._node.reader.states(run.run_id, play.steps[at.index].number)
        return [] if any(host in states for host in play.batches[at.batch]) else waiting[:1]

    def _examine(self, run_id: str, play: Play, front: Front, waiting: list[str]) -> tuple[list[str], bool]:
        """Hosts that nobody holds, and whether a worker was found dead."""
        states: dict[int, dict[str, str]] = {}
        alive: dict[str, bool] = {}
        unclaimed: list[str] = []
        dead = False
        for host in waiting:
            if (index := front.index_of.get(host)) is None:
                continue  # it has finished since they were read
            step = play.steps[index]
            if step.number not in states:
                states[step.number] = self._node.reader.states(run_id, step.number)
            state = states[step.number].get(host)
            if state is None:
                unclaimed.append(host)
                continue
            kind, _, boot = state.split("|")[:3]
            if kind == "T":
                continue
            if boot not in alive:
                alive[boot] = bool(self._node.redis.exists(keys.boot(boot)))
            if not alive[boot] and self._node.lease_is_old():
                dead = True
                if self._reap(run_id, step, host) == "pending":
                    unclaimed.append(host)
        workers_gone = self._workers_gone(run_id)
        return unclaimed, dead or workers_gone

    def _workers_gone(self, run_id: str) -> bool:
        """Whether a queue that shards were sent to has no worker any more that takes something up."""
        sent = self._node.redis.hget(keys.run(run_id), "stage_workers")
        queues = {worker.queue for worker in nodes.live(self._node.redis) if not worker.leaving}
        return bool(set(json.loads(sent or b"[]")) - queues)

    def _reap(self, run_id: str, step: Step, host: str) -> str:
        now = self._node.now()
        again = modules.repeatable(step.module, step.rerun)
        printed = self._node.reader.live_output(run_id, step.number, host)
        result = {"msg": "the worker died after it had begun this step: nobody knows what came of it", "changed": False}
        if printed:
            result["stdout"] = printed
        outcome = Outcome(step.number, host, "lost", result, started=now, ended=now, worker=self._node.name)
        return self._node.store.reap(run_id, outcome, again=again)
