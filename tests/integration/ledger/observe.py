"""The ledger as it stands in Redis, in the model's words, and what must hold of it whatever happened."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from opsrunner.ledger import keys
from opsrunner.ledger.records import ENDED
from opsrunner.ledger.store import Client
from opsrunner.plan.flow import Position
from tests.integration.ledger.model import Model, Place, Run


def read(client: Client, run_ids: Sequence[str], steps: int) -> dict[str, Run]:
    """Every run. What is not kept in the ledger has the model's default."""
    pipeline = client.pipeline(transaction=True)
    for run_id in run_ids:
        _ask(pipeline, run_id, steps)
    answers = pipeline.execute()
    size = len(answers) // len(run_ids)
    return {run_id: _run(run_id, answers[i * size : (i + 1) * size], steps) for i, run_id in enumerate(run_ids)}


def _ask(pipeline: Client, run_id: str, steps: int) -> None:
    names = (keys.run, keys.positions, keys.ended, keys.stood, keys.attempts, keys.slots)
    for name in names:
        pipeline.hgetall(name(run_id))
    pipeline.zrange(keys.front(run_id), 0, -1, withscores=True)
    pipeline.hkeys(keys.late(run_id))
    for member_set in (keys.guarded, keys.cancels, keys.run_locks):
        pipeline.smembers(member_set(run_id))
    for step in range(steps):
        pipeline.hgetall(keys.steps(run_id, step))
        pipeline.hgetall(keys.tokens(run_id, step))


def _run(run_id: str, answers: Sequence[Any], steps: int) -> Run:
    fields, positions, ended, stood, attempts, slots = (_text(answer) for answer in answers[:6])
    front, late, guarded, cancels, locks = answers[6:11]
    by_step = list(zip(range(steps), answers[11::2], answers[12::2], strict=True))
    return Run(
        run_id,
        fields["status"],
        fields["cursor"],
        fields.get("cancel") == "1",
        "halt" in fields,
        *(int(fields.get(name, default)) for name, default in _COUNTS.items()),
        fields.get("locking") == "1",
        {name: int(fields[f"max_{name}"]) for name in ("failed", "unreachable") if f"max_{name}" in fields},
        {word.decode() for word in cancels},
        {host.decode(): int(score) for host, score in front},
        positions,
        {(step, host): _state(state) for step, states, _ in by_step for host, state in _text(states).items()},
        {(step, host): token for step, _, tokens in by_step for host, token in _text(tokens).items()},
        ended,
        stood,
        {_place(word): int(count) for word, count in attempts.items()},
        {_place(word.decode()): ("", "", "") for word in late},
        {_place(word.decode()) for word in guarded},
        {_place(word): tuple(json.loads(names)) for word, names in slots.items()},
        {host.decode() for host in locks},
        float(fields.get("start_deadline", 0)) < 0,
    )


_COUNTS = {"seq": 0, "reached": -1, "entered": 0, "walk": 0, "lap": 0, "retries": 0}


def _text(answer: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode(errors="replace") for name, value in answer.items()}


def _place(word: str) -> Place:
    step, _, host = word.partition("|")
    return int(step), host


def _state(text: str) -> tuple[str, ...]:
    kind, *parts = text.split("|")
    return ("R", parts[0], parts[1], parts[3]) if kind == "R" else (kind, *parts[: 1 if kind == "T" else 2])


def compare(model: Model, runs: dict[str, Run], client: Client) -> None:
    """Fail, naming the field, unless Redis holds what the model does."""
    for run_id, found in runs.items():
        expected = model.runs[run_id]
        for name in Run.__dataclass_fields__:
            if name == "outcomes":
                continue
            said, wanted = getattr(found, name), getattr(expected, name)
            if name == "late":
                said, wanted = set(said), set(wanted)
            if name == "attempts":
                wanted = {place: count for place, count in wanted.items() if count}
            assert said == wanted, f"{name} of {run_id}: Redis has {said!r}, the model {wanted!r}"
    shared(model, client)


def shared(model: Model, client: Client) -> None:
    """What runs share: locks in their order, slots, the bell, who is open, who waits for its time."""
    pipeline = client.pipeline(transaction=True)
    pipeline.smembers(keys.OPEN)
    pipeline.zrange(keys.PLANNED, 0, -1)
    pipeline.lrange(keys.BELL, 0, -1)
    pipeline.smembers(keys.LOCKS)
    hosts, budgets = sorted(model.queues), sorted(model.budgets)
    for host in hosts:
        pipeline.zrange(keys.lock(host), 0, -1)
    for name in budgets:
        pipeline.smembers(name)
    opened, planned, bell, locked, *rest = pipeline.execute()
    assert {name.decode() for name in opened} == model.open
    assert {name.decode() for name in planned} == {run.id for run in model.runs.values() if run.status == "scheduled"}
    assert sorted(name.decode() for name in bell) == sorted(model.bell), "who is rung for"
    assert {host.decode() for host in locked} == {host for host, queue in model.queues.items() if queue}
    for host, queue in zip(hosts, rest, strict=False):
        assert [name.decode() for name in queue] == model.queues[host], f"the lock of {host}"
    for name, members in zip(budgets, rest[len(hosts) :], strict=True):
        wanted = {f"{keys.run(run_id)}{step}|{host}" for run_id, (step, host) in model.budgets[name]}
        assert {member.decode() for member in members} == wanted, f"slots of {name}"


def consistent(run: Run, numbers: dict[tuple[int, int], int]) -> None:
    """What must hold of one run. ``numbers`` maps (play, index) to the number of a step."""
    at_work = {place: state for place, state in run.states.items() if state[0] != "T"}
    assert set(run.front) == set(run.positions), "everybody in the front has a position, and nobody else"
    assert not set(run.front) & set(run.ended), "who has ended is not in the front"
    for host, index in run.front.items():
        assert Position.decode(run.positions[host]).next == index
    if run.status in ENDED:
        assert not run.front and not run.locks and not run.slots and not at_work, "an ended run leaves nothing at work"
        return
    assert set(run.slots) <= {place for place, state in at_work.items() if state[0] == "R"}, "who runs not has no slot"
    play = int(run.cursor.split(".")[0]) if run.cursor[0].isdigit() else None
    for (step, host), state in at_work.items():
        assert play is not None and host in run.front, f"{host} is {state} at step {step} and not in the front"
        assert numbers[play, run.front[host]] == step, f"{host} is {state} at step {step} and stands elsewhere"
    for host in run.ended:
        assert run.ended[host] == "left" or host in run.stood, "where a host ended is known"
