"""How long what a run leaves stays: days when it has ended, a minute when nobody wants to see it any more."""

from __future__ import annotations

from collections.abc import Iterable

from opsrunner.ledger import keys
from opsrunner.ledger.client import Client, time_of
from opsrunner.ledger.records import RunRecord

#: Seconds for which the keys of a forgotten run stay: a worker that has not seen its end yet would take a run without
#: any for lost.
GRACE = 60


def expire(client: Client, run_id: str, steps: Iterable[int], hosts: Iterable[str], seconds: int) -> None:
    """Let every key of a run that has ended go after ``seconds``, and forget older runs' names."""
    names = names_of(client, run_id, steps, hosts)
    pipeline = client.pipeline(transaction=False)
    for name in names:
        pipeline.expire(name, seconds)
    pipeline.zscore(keys.RUNS, run_id)
    pipeline.zremrangebyscore(keys.RUNS, "-inf", time_of(client) - seconds)
    *_, listed, _ = pipeline.execute()
    if listed is None:  # it was forgotten between its end and now
        _let_go(client, names)


def forget(client: Client, record: RunRecord) -> None:
    """Take a run that has ended off the list, and let all of it go. Raises redis' own errors; repeatable."""
    names = names_of(client, record.id, *_extent(record))
    client.zrem(keys.RUNS, record.id)
    _let_go(client, names)


def expire_record(client: Client, record: RunRecord, seconds: int) -> None:
    """As :func:`expire`, for a run that ended without having begun."""
    expire(client, record.id, *_extent(record), seconds)


def names_of(client: Client, run_id: str, steps: Iterable[int], hosts: Iterable[str]) -> list[str]:
    """Every key of the run; hosts may have been given variables without having taken part in it."""
    given = {host.decode() for host in client.smembers(keys.given(run_id))}
    return keys.of_run(run_id, steps, {*hosts, *given})


def _extent(record: RunRecord) -> tuple[list[int], set[str]]:
    """The steps and the hosts of the run."""
    numbers = [step.number for play in record.plays for step in play.steps]
    return numbers, {host for play in record.plays for host in play.hosts}


def _let_go(client: Client, names: Iterable[str]) -> None:
    pipeline = client.pipeline(transaction=True)
    for name in names:
        pipeline.expire(name, GRACE)
    pipeline.execute()
