"""The ledger's reading side: what came of a run's steps, and what it has told so far. Nothing here writes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from opsrunner.ledger import keys
from opsrunner.ledger.decoding import decode_events, decode_text, entry_before, events_after
from opsrunner.ledger.encoding import decode_status, decode_terminal, decoding
from opsrunner.ledger.records import (
    GOOD,
    Event,
    Mark,
    Outcome,
    Result,
    RunRecord,
    Status,
    count,
    empty_stats,
    uncounted,
)
from opsrunner.ledger.results import decode_result, read_result
from opsrunner.ledger.runs import RunReader

#: Entries read from the stream in one round trip; each may hold many events.
ENTRIES_AT_ONCE = 500


class Reader(RunReader):
    """Reads what the ledger holds. Raises redis' own errors when the server is away."""

    def outcomes(
        self, run_id: str, *, step: int | None = None, host: str | None = None, bare: bool = False
    ) -> Iterator[Outcome]:
        """Every outcome in step order, each step's hosts in the order of the play.

        With ``bare`` the results are left where they are: enough to count, at a fraction of the bytes.
        """
        record = self.run(run_id)
        for play in record.plays if record else ():
            for outline in play.steps:
                if step is not None and outline.number != step:
                    continue
                yield from self._outcomes_of(run_id, outline.number, (host,) if host else play.hosts, bare)

    def _outcomes_of(self, run_id: str, step: int, hosts: Sequence[str], bare: bool) -> Iterator[Outcome]:
        for begin in range(0, len(hosts), 500):
            found = self._outcomes_on(run_id, {step: hosts[begin : begin + 500]}, bare=bare)
            yield from (outcome for outcome in found.values() if outcome)

    def result(self, run_id: str, step: int, host: str) -> Result:
        """What one host × step gave, {} while there is nothing."""
        stored = self.redis.hget(keys.results(run_id, step), host)
        return decode_result(stored) if stored else {}

    def states(self, run_id: str, step: int) -> dict[str, str]:
        """Host → state of that step, as scripts.lua writes them; hosts nobody claimed are absent."""
        return {
            decode_text(host): decode_text(state)
            for host, state in self.redis.hgetall(keys.steps(run_id, step)).items()
        }

    def stats(self, run: RunRecord) -> dict[str, dict[str, int]]:
        """Host → counts as in Ansible's recap. Every targeted host is there, in the plays' order."""
        stats = {host: empty_stats() for play in run.plays for host in play.hosts}
        steps = [step.number for play in run.plays for step in play.steps]
        steering = uncounted(run.plays)
        pipeline = self.redis.pipeline(transaction=False)
        for number in steps:
            pipeline.hgetall(keys.steps(run.id, number))
        for number, states in zip(steps, pipeline.execute(), strict=True):
            heads: dict[bytes, tuple[Status, Mark | None] | None] = {}
            for raw_host, state in states.items():
                host = decode_text(raw_host)
                # Most hosts fared the same: what tells so is read once.
                head = state[: state.find(b"|", state.find(b"|", 2) + 1) + 1]
                if head not in heads:
                    heads[head] = decode_status(number, host, decode_text(state))
                came = heads[head]
                if came and not (number in steering and came[0] in GOOD):
                    count(stats.setdefault(host, empty_stats()), *came)
        return stats

    def ended(self, run_id: str) -> dict[str, str]:
        """Host → why it took part in nothing more (failed, unreachable, lost, cancelled, stopped)."""
        return {decode_text(host): decode_text(why) for host, why in self.redis.hgetall(keys.ended(run_id)).items()}

    def leads(self, boot: str) -> bool:
        """Whether that worker process is the one that sees to what only one may do."""
        return bool(self.redis.get(keys.LEADER) == boot.encode())

    def unlocks(self) -> list[dict[str, Any]]:
        """Who took which host from a run and why, newest first: ``host``, ``run``, ``by``, ``reason``, ``at``."""
        records: list[dict[str, Any]] = []
        for data in self.redis.lrange(keys.UNLOCKS, 0, -1):
            with decoding("the record of an unlocked host"):
                records.append(json.loads(data))
        return records

    def events(self, run_id: str, *, after: str = "0", limit: int = 1000) -> list[Event]:
        """What the stream holds after that place, without waiting; :meth:`follow` waits."""
        entries = self.redis.xrange(keys.events(run_id), min=f"({entry_before(after)}", count=limit)
        return events_after(after, entries)[:limit]

    def is_answered(self, run_id: str, question: str) -> bool:
        """Whether the operator has answered that question of a step."""
        return bool(self.redis.hexists(keys.answers(run_id), question))

    def newest_event(self, run_id: str) -> str:
        """The place of the last event so far, "0" before the first."""
        newest = self.redis.xrevrange(keys.events(run_id), count=1)
        return newest[0][0].decode() if newest else "0"

    def _outcomes_on(
        self, run_id: str, hosts: Mapping[int, Sequence[str]], *, bare: bool = False
    ) -> dict[tuple[int, str], Outcome | None]:
        """The outcomes of these steps on their hosts; with ``bare`` without their results."""
        pipeline = self.redis.pipeline(transaction=False)
        for step, some in hosts.items():
            pipeline.hmget(keys.steps(run_id, step), some)
            if not bare:
                pipeline.hmget(keys.results(run_id, step), some)
        answers = iter(pipeline.execute() if hosts else ())
        return {
            (step, host): _outcome(step, host, state, result)
            for step, some in hosts.items()
            for host, state, result in zip(
                some, next(answers), [None] * len(some) if bare else next(answers), strict=True
            )
        }

    def live_output(self, run_id: str, step: int, host: str) -> str:
        """What a step that still runs, or was lost, has printed so far."""
        return self.live_outputs(run_id, step, (host,))[host]

    def live_outputs(self, run_id: str, step: int, hosts: Iterable[str]) -> dict[str, str]:
        """As :meth:`live_output`, for many hosts in one pass over the events."""
        parts: dict[str, list[str]] = {host: [] for host in hosts}
        after = "-"
        while parts:
            entries = self.redis.xrange(keys.events(run_id), after, "+", count=ENTRIES_AT_ONCE)
            for entry_id, fields in entries:
                after = f"({entry_id.decode()}"
                printed = decode_events(entry_id.decode(), fields) if fields.get(b"k") == b"output" else ()
                for data in (event.data for event in printed):
                    if data.get("step") == step and data.get("host") in parts:
                        parts[data["host"]].append(data.get("text", ""))
            if len(entries) < ENTRIES_AT_ONCE:
                break
        return {host: "".join(texts) for host, texts in parts.items()}


def _outcome(step: int, host: str, state: bytes | None, result: bytes | None) -> Outcome | None:
    if not state:
        return None
    return decode_terminal(step, host, decode_text(state), read_result(result) if result else {})
