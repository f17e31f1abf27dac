"""What Redis keeps of a schedule: how far its due times are decided, its runs, its history."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict, replace

from opsrunner.errors import LedgerDamaged
from opsrunner.ledger import keys
from opsrunner.ledger.client import Client
from opsrunner.ledger.decoding import decode_text
from opsrunner.ledger.encoding import decode_time, decoding
from opsrunner.ledger.records import ENDED
from opsrunner.schedule.decide import DAMAGED, Due, Entry, State

#: Entries of the history, and runs, that are kept of each schedule.
KEPT = 1000


class Ending(Struct, frozen=True):
    """A run whose end was not told yet."""

    run: str
    status: str
    at: float


def watched(name: str) -> tuple[str, ...]:
    """The keys that a state is read from: a step is stored only where none of them has changed since."""
    return keys.schedule(name), keys.schedule_going(name), keys.schedule_ended(name)


def read_states(client: Client, names: Sequence[str]) -> tuple[dict[str, State], dict[str, list[Ending]]]:
    """The state of each schedule, and its runs that have ended since that was seen last."""
    pipeline = client.pipeline(transaction=False)
    for name in names:
        _ask(pipeline, name)
    answers = pipeline.execute()
    states = {name: _state(name, *answers[3 * i : 3 * i + 3]) for i, name in enumerate(names)}
    endings: dict[str, list[Ending]] = {name: [] for name in names}
    going = [(name, run) for name, state in states.items() for run in state.going]
    pipeline = client.pipeline(transaction=False)
    for _, run in going:
        pipeline.hmget(keys.run(run), "status", "finished")
    for (name, run), (status, finished) in zip(going, pipeline.execute(), strict=True):
        if status is None or decode_text(status) in ENDED:
            endings[name].append(Ending(run, decode_text(status or b"gone"), float(finished or 0)))
    return {name: _without(state, endings[name]) for name, state in states.items()}, endings


def _without(state: State, endings: Sequence[Ending]) -> State:
    over = {ending.run for ending in endings}
    return replace(state, going=tuple(run for run in state.going if run not in over)) if over else state


def read_state(client: Client, name: str) -> State:
    """As :func:`read_states`, of one."""
    return read_states(client, [name])[0][name]


def _ask(pipeline: Any, name: str) -> None:
    pipeline.hgetall(keys.schedule(name))
    pipeline.smembers(keys.schedule_going(name))
    pipeline.zrange(keys.schedule_ended(name), 0, -1, withscores=True)


def _state(name: str, fields: dict[bytes, bytes], going: set[bytes], ended: list[tuple[bytes, float]]) -> State:
    try:
        return _decoded(name, fields, going, ended)
    except LedgerDamaged as error:  # the others are started all the same
        return State(timing=DAMAGED, paused=f"nobody: {error}")


def _decoded(name: str, fields: dict[bytes, bytes], going: set[bytes], ended: list[tuple[bytes, float]]) -> State:
    """Raises LedgerDamaged."""
    with decoding(f"the state of schedule {name}"):
        text = {decode_text(key): decode_text(value) for key, value in fields.items()}
        return State(
            timing=text.get("timing", ""),
            seen=decode_time(text.get("seen", "0")),
            paused=text.get("paused", ""),
            started=int(text.get("started", "0")),
            waiting=tuple(Due(**due) for due in json.loads(text.get("waiting", "[]"))),
            going=tuple(sorted(map(decode_text, going))),
            ended=tuple(Due(at, decode_text(run)) for run, at in ended),
        )


def write_state(pipeline: Any, name: str, before: State, after: State) -> None:
    """Queue what a step changes; who paused it is not a step's to say."""
    fields = {"timing": after.timing, "seen": repr(after.seen), "started": after.started}
    fields["waiting"] = json.dumps([asdict(due) for due in after.waiting])
    pipeline.hset(keys.schedule(name), mapping=fields)
    gone = [due.follows for due in before.ended if due not in after.ended]
    if gone:
        pipeline.zrem(keys.schedule_ended(name), *gone)


def write_entry(pipeline: Any, name: str, entry: Entry) -> None:
    """Queue what became of a due time."""
    pipeline.lpush(keys.schedule_history(name), json.dumps(asdict(entry), separators=(",", ":")))
    pipeline.ltrim(keys.schedule_history(name), 0, KEPT - 1)


def write_run(pipeline: Any, name: str, run_id: str, now: float) -> None:
    """Queue that a run is the schedule's, and goes on."""
    pipeline.zadd(keys.schedule_runs(name), {run_id: now})
    pipeline.zremrangebyrank(keys.schedule_runs(name), 0, -KEPT - 1)
    pipeline.sadd(keys.schedule_going(name), run_id)


def write_ending(client: Client, name: str, ending: Ending, followers: Sequence[str]) -> None:
    """That a run has ended is seen, and who follows it is told. Repeatable."""
    pipeline = client.pipeline(transaction=True)
    for follower in followers:
        pipeline.zadd(keys.schedule_ended(follower), {ending.run: ending.at})
    pipeline.srem(keys.schedule_going(name), ending.run)
    pipeline.execute()


def write_pause(client: Client, name: str, by: str, now: float) -> str:
    """Pause it (``by`` says who and since when) or, with "", let it go on from ``now``; gives who had paused it."""
    before = decode_text(client.hget(keys.schedule(name), "paused") or b"")
    pipeline = client.pipeline(transaction=True)
    if by and not before:
        pipeline.hset(keys.schedule(name), "paused", by)
    elif before and not by:
        pipeline.hdel(keys.schedule(name), "paused")
        pipeline.hset(keys.schedule(name), "seen", repr(now))
    pipeline.execute()
    return before


def history(client: Client, name: str, count: int) -> list[Entry]:
    """What became of its due times, newest first. Raises LedgerDamaged."""
    entries: list[Entry] = []
    for data in client.lrange(keys.schedule_history(name), 0, count - 1):
        with decoding(f"the history of schedule {name}"):
            entries.append(Entry(**json.loads(data)))
    return entries


def run_ids(client: Client, name: str, count: int) -> list[str]:
    """The newest runs of the schedule, newest first."""
    return [decode_text(run) for run in client.zrevrange(keys.schedule_runs(name), 0, count - 1)]
