"""The ledger in Redis: every write is one atomic, repeatable transition (see scripts.lua)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from opsrunner.errors import NoWorker
from opsrunner.ledger import expiry, keys
from opsrunner.ledger.client import AWAY as AWAY
from opsrunner.ledger.client import Client as Client
from opsrunner.ledger.client import client_for as client_for
from opsrunner.ledger.client import connect as connect
from opsrunner.ledger.client import time_of
from opsrunner.ledger.compressing import LONG, compressed
from opsrunner.ledger.encoding import (
    encode_event,
    encode_outcome,
    encode_outline,
    encode_terminal,
)
from opsrunner.ledger.records import EXIT_CANCELLED, EXIT_LOST, Outcome, PlayOutline, RunRecord
from opsrunner.ledger.results import encode_result
from opsrunner.ledger.transitions import Claim, Decision, Move, Readmission, Reopening
from opsrunner.ledger.values import ValueStore

#: Hosts of one transition at most, where several will do: it keeps others waiting for as long as it takes.
HOSTS_AT_ONCE = 250


def record_refused(
    client: Client,
    run_id: str,
    header: Mapping[str, Any],
    exit_code: int,
    reason: str,
    seconds: int,
    *,
    status: str = "failed",
    transaction: Any = None,
) -> None:
    """Record a run that could not even begin as failed, so that it is seen where runs are looked for.

    It has no plays and ends as it begins; it is kept for ``seconds``. Repeatable. With ``transaction`` (a pipeline)
    it becomes part of that one, which is the caller's to execute.
    """
    now = time_of(client)
    fields = {**header, "status": status, "created": now, "finished": now, "exit_code": exit_code, "reason": reason}
    event = encode_event(status=status, exit_code=exit_code)
    pipeline = client.pipeline(transaction=True) if transaction is None else transaction
    pipeline.hset(keys.run(run_id), mapping=fields)
    pipeline.zadd(keys.RUNS, {run_id: now})
    pipeline.delete(keys.events(run_id))
    pipeline.xadd(keys.events(run_id), {"k": "run_finished", "d": event})
    for name in (keys.run(run_id), keys.events(run_id)):
        pipeline.expire(name, seconds)
    if transaction is None:
        pipeline.execute()


class Store(ValueStore):
    """The ledger's writing side. Every method raises redis' own errors when the server is away."""

    # ------------------------------------------------------------------ transitions
    def claim(
        self,
        run_id: str,
        cursor: str,
        step: int,
        index: int,
        token: str,
        boot: str,
        hosts: Sequence[str],
        *,
        known: int = 0,
    ) -> dict[str, Claim]:
        """Claim one step for many hosts at once; for ``known`` see :class:`Start`."""
        head = ("claim", keys.run(run_id), cursor, step, index, token, boot, keys.PREFIX, known)
        reply = [value for part in _parts(hosts) for value in self.call((*head, *part))]
        columns = [reply[i::4] for i in range(4)]
        return {
            host: Claim(verdict.decode(), position.decode(), int(version), int(attempt))
            for host, verdict, position, version, attempt in zip(hosts, *columns, strict=True)
        }

    def hand_back(self, run_id: str, step: int, host: str, token: str) -> bool:
        """Give back a claim that has sent nothing."""
        return bool(self.call(("hand_back", keys.run(run_id), step, host, token)))

    def reap(self, run_id: str, outcome: Outcome, *, again: bool, ended: str = "lost") -> str:
        """Settle a claim whose worker may be gone; gives ``alive``, ``pending``, ``lost`` or ``none``."""
        answer: bytes = self.call(
            (
                "reap",
                keys.run(run_id),
                outcome.step,
                outcome.host,
                keys.PREFIX,
                int(again),
                encode_terminal(outcome),
                encode_result(outcome.result),
                "",
                "",
                encode_outcome(outcome),
                ended,
            )
        )
        return answer.decode()

    def begin(self, run_id: str, title: str, fields: Mapping[str, str | int]) -> bool:
        """A submitted run goes on from here, once, with these fields in its record."""
        flat = [part for field in fields.items() for part in field]
        return bool(self.call(("begin", keys.run(run_id), encode_event(title=title), *flat)))

    def move(self, run_id: str, old: str, new: str, *events: tuple[str, str]) -> bool:
        return bool(self.call(("move", keys.run(run_id), old, new, *(part for event in events for part in event))))

    def decide(self, run_id: str, cursor: str, decision: Decision) -> bool:
        """Store who a late play is for; False when somebody else has, or the run has left ``cursor``."""
        event = encode_event(text=decision.text, level="info") if decision.text else ""
        plan = self._sealed_plan(run_id, decision.plan)
        head = (keys.run(run_id), cursor, decision.lap, plan, encode_outline(decision.plays), decision.reached, event)
        return bool(self.call(("decide", *head, *(part for stand in decision.stands.items() for part in stand))))

    def enter(
        self,
        run_id: str,
        old: str,
        new: str,
        batch: int,
        event: tuple[str, str],
        places: Iterable[tuple[str, int, str]],
    ) -> bool:
        """Enter a batch (``batch`` counts all of the plan's from 0) with these hosts: name, index, position."""
        flat = [part for place in places for part in place]
        return bool(self.call(("enter", keys.run(run_id), old, new, batch, *event, *flat)))

    def place(self, run_id: str, cursor: str, moves: Iterable[Move]) -> bool:
        """Move hosts without an outcome of their own."""
        flat: list[str | int] = []
        for move in moves:
            flat += (move.host, "" if move.score is None else move.score, move.position, move.ended, int(move.bad))
        return bool(self.call(("place", keys.run(run_id), cursor, keys.PREFIX, *flat)))

    def withdraw(self, run_id: str, index: int, outcome: Outcome, ended: str) -> bool:
        """End a host that has sent nothing; ``ended`` is why."""
        return bool(
            self.call(
                (
                    "withdraw",
                    keys.run(run_id),
                    outcome.step,
                    outcome.host,
                    index,
                    keys.PREFIX,
                    encode_terminal(outcome),
                    encode_result(outcome.result),
                    encode_outcome(outcome),
                    ended,
                )
            )
        )

    def close(self, run_id: str, cursor: str, status: str, exit_code: int, reason: str) -> bool:
        """End the run, once; False when it has moved from ``cursor`` or some host has something left to do."""
        event = encode_event(status=status, exit_code=exit_code)
        head = (keys.run(run_id), keys.PREFIX, run_id, cursor)
        return bool(self.call(("close", *head, status, exit_code, reason, event)))

    def hold(self, run_id: str, cursor: str, known: int, reason: str, outcomes: Iterable[tuple[int, Outcome]]) -> bool:
        """End a run as ``held`` whose ledger went back in time, its hosts lost where they stand.

        ``outcomes`` names every host of the front, each with the index of its step; False when that has changed.
        """
        event = encode_event(status="held", exit_code=EXIT_LOST)
        flat: list[Any] = []
        for index, outcome in outcomes:
            flat += (outcome.step, outcome.host, index, encode_terminal(outcome))
            flat += (encode_result(outcome.result), encode_outcome(outcome))
        run = keys.run(run_id)
        return bool(self.call(("hold", run, keys.PREFIX, run_id, cursor, known, EXIT_LOST, reason, event, *flat)))

    def reopen(self, run_id: str, reopening: Reopening) -> bool:
        """Open an ended run again; False when it has moved since ``finished`` was read."""
        sealed = [self._sealed_file(digest, content) for digest, content in reopening.files.items()]
        plan = b"" if reopening.plan is None else self._sealed_plan(run_id, reopening.plan)
        head = (keys.run(run_id), keys.PREFIX, run_id, reopening.finished)
        event = encode_event(text=reopening.text, level="info")
        files = [part for pair in sealed for part in pair]
        readmitted = [part for host in reopening.hosts for part in host.arguments()]
        arguments = ("reopen", *head, event, plan, encode_outline(reopening.plays), len(sealed), *files)
        left, back = reopening.left, reopening.back
        return bool(self.call((*arguments, len(left), *left, len(back), *back, *readmitted)))

    def unpark(self, run_id: str, cursor: str, hosts: Iterable[Readmission]) -> bool:
        """Let parked hosts try again."""
        return bool(
            self.call(("unpark", keys.run(run_id), cursor, *(part for host in hosts for part in host.arguments())))
        )

    def adopt(self, run_id: str, step: int, host: str, stood: str, end: str) -> bool:
        """Put late news in the place of ``lost``; False without news.

        A host that had ``stood`` at that step and came through it stands behind it now: where the news says, or
        at ``end`` when it left the play there. Both are as the ledger writes stands: ``play|position``.
        """
        return bool(self.call(("adopt", keys.run(run_id), step, host, stood, end)))

    def is_guarded(self, run_id: str, step: int, host: str) -> bool:
        """Whether a guarded command of that step may have been sent to the host, by whomever."""
        return bool(self.redis.sismember(keys.guarded(run_id), f"{step}|{host}"))

    def unguard(self, run_id: str, step: int, host: str) -> None:
        """The host has forgotten what it kept of that step."""
        self.redis.srem(keys.guarded(run_id), f"{step}|{host}")

    def lock(self, run_id: str, cursor: str, hosts: Sequence[str]) -> list[str]:
        """Take or queue for the hosts' locks; gives those that are not ours: all when the run has left ``cursor``."""
        head = (keys.run(run_id), keys.PREFIX, cursor)
        # Most are ours since the run began: to see that keeps nobody waiting, to take all of them at once does.
        others = [host.decode() for part in _parts(hosts) for host in self.call(("held", *head, *part))]
        return [host.decode() for host in self.call(("lock", *head, *others))] if others else []

    def release(self, run_id: str, cursor: str, hosts: Sequence[str]) -> None:
        """Give the hosts' locks back, unless the run has moved from ``cursor``."""
        for part in _parts(hosts):
            self.call(("release", keys.run(run_id), keys.PREFIX, cursor, *part))

    def unlock(self, host: str, by: str, reason: str) -> str | None:
        """Take the host from the run that holds it, and record why; gives that run's id, None when nobody held it."""
        run_id: bytes = self.call(("unlock", keys.PREFIX, host, by, reason))
        return run_id.decode() or None

    # ------------------------------------------------------------------ runs
    def create_run(
        self,
        run_id: str,
        header: Mapping[str, Any],
        plays: Sequence[PlayOutline],
        plan: bytes,
        files: Mapping[str, bytes],
        *,
        transaction: Any = None,
    ) -> None:
        """Store a run whole and ring for a worker to take it up; one with a ``due`` time in its header waits for that.

        With ``transaction`` (a pipeline) it becomes part of that one, which is the caller's to execute.
        """
        created = self.now()
        pipeline = self.redis.pipeline(transaction=True) if transaction is None else transaction
        fields = {key: value for key, value in header.items() if value is not None}
        status = "scheduled" if "due" in fields else "submitted"
        fields |= {"status": status, "created": created, "cursor": "new", "outline": encode_outline(plays)}
        pipeline.hset(keys.run(run_id), mapping=fields)
        pipeline.set(keys.plan(run_id), self._sealed_plan(run_id, plan))
        for digest, content in files.items():
            pipeline.hset(keys.files(run_id), *self._sealed_file(digest, content))
        pipeline.zadd(keys.RUNS, {run_id: created})
        if "due" in fields:
            pipeline.zadd(keys.PLANNED, {run_id: fields["due"]})
        else:
            pipeline.sadd(keys.OPEN, run_id)
            pipeline.rpush(keys.BELL, run_id)
        if transaction is None:
            pipeline.execute()

    def launch(self, run_id: str) -> bool:
        """Submit a run whose time has come, once; one that comes too late for its ``start_deadline`` fails.

        False when it was no longer waiting for its time, or came too late.
        """
        event = encode_event(status="failed", exit_code=NoWorker.exit_code)
        head = (keys.run(run_id), keys.PREFIX, run_id)
        return bool(self.call(("launch", *head, NoWorker.exit_code, "no worker was there in time to begin it", event)))

    def call_off(self, run_id: str, by: str) -> bool:
        """End a run that waits for its time; False when it waits no longer."""
        event = encode_event(status="cancelled", exit_code=EXIT_CANCELLED)
        head = (keys.run(run_id), keys.PREFIX, run_id)
        return bool(self.call(("call_off", *head, EXIT_CANCELLED, f"cancelled by {by}", event)))

    def planned(self, until: float | str = "+inf") -> list[str]:
        """Runs that wait for a time of their own up to ``until``, the first to come first."""
        return [run_id.decode(errors="replace") for run_id in self.redis.zrangebyscore(keys.PLANNED, "-inf", until)]

    def load_plan(self, run_id: str) -> bytes | None:
        """The encoded plan, None when the run is gone. Raises SealError when the key differs."""
        sealed = self.redis.get(keys.plan(run_id))
        return self.sealer.open(sealed, purpose=b"plan:" + run_id.encode()) if sealed else None

    def load_file(self, run_id: str, digest: str) -> bytes | None:
        sealed = self.redis.hget(keys.files(run_id), digest)
        return zlib.decompress(self.sealer.open(sealed, purpose=b"file:" + digest.encode())) if sealed else None

    def publish(self, run_id: str, kind: str, data: str) -> None:
        stored = compressed(data) if len(data) >= LONG else data.encode("utf-8", errors="surrogatepass")
        self.redis.xadd(keys.events(run_id), {"k": kind, "d": stored})

    def tell_once(self, run_id: str, teller: str, text: str) -> None:
        """Publish a warning unless ``teller`` said the same of this run last: sweeps come every few seconds."""
        field = f"told:{teller}"
        if self.redis.hget(keys.run(run_id), field) != text.encode():
            self.redis.hset(keys.run(run_id), field, text)
            self.publish(run_id, "notice", encode_event(text=text, level="warning"))

    def request_cancel(self, run_id: str, by: str, hosts: Sequence[str] = (), step: int | None = None) -> None:
        """Nothing more is claimed or started from now on; what runs is killed by its worker.

        With ``hosts`` only these leave the run; with ``step`` only that step is cancelled, on them or on all.
        """
        pipeline = self.redis.pipeline(transaction=True)
        wanted = [f"h|{host}" for host in hosts] if step is None else [f"x|{step}|{host}" for host in hosts]
        if step is not None and not hosts:
            wanted = [f"s|{step}"]
        if wanted:
            pipeline.sadd(keys.cancels(run_id), *wanted)
            pipeline.hset(keys.run(run_id), mapping={"cancels": "1", "cancelled_by": by})
        else:
            pipeline.hset(keys.run(run_id), mapping={"cancel": "1", "cancelled_by": by})
        what = ([f"step {step}"] if step is not None else []) + ([", ".join(hosts)] if hosts else [])
        text = f"{' on '.join(what)} cancelled by {by}" if what else f"cancelled by {by}"
        pipeline.xadd(keys.events(run_id), {"k": "notice", "d": encode_event(text=text, level="warning")})
        pipeline.rpush(keys.BELL, run_id)
        pipeline.execute()

    def expire_run(self, run_id: str, steps: Iterable[int], hosts: Iterable[str], seconds: int) -> None:
        """See :func:`opsrunner.ledger.expiry.expire`."""
        expiry.expire(self.redis, run_id, steps, hosts, seconds)

    def expire_record(self, record: RunRecord, seconds: int) -> None:
        """See :func:`opsrunner.ledger.expiry.expire_record`."""
        expiry.expire_record(self.redis, record, seconds)

    def persist_run(self, run_id: str, steps: Iterable[int], hosts: Iterable[str]) -> None:
        """Keep a run that is taken up again."""
        pipeline = self.redis.pipeline(transaction=False)
        for name in expiry.names_of(self.redis, run_id, steps, hosts):
            pipeline.persist(name)
        pipeline.execute()

    def _sealed_plan(self, run_id: str, plan: bytes) -> bytes:
        return self.sealer.seal(plan, purpose=b"plan:" + run_id.encode())

    def _sealed_file(self, digest: str, content: bytes) -> tuple[str, bytes]:
        return digest, self.sealer.seal(zlib.compress(content, 1), purpose=b"file:" + digest.encode())

    def now(self) -> float:
        """See :func:`time_of`."""
        return time_of(self.redis)


def _parts(hosts: Sequence[str]) -> Iterator[Sequence[str]]:
    for begin in range(0, len(hosts), HOSTS_AT_ONCE):
        yield hosts[begin : begin + HOSTS_AT_ONCE]
