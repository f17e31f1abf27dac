"""A run that nobody wants to see any more."""

from __future__ import annotations

from opsrunner.ledger import keys
from opsrunner.ledger.records import RunRecord
from opsrunner.ledger.store import Client

#: Seconds for which its keys stay: a worker that has not seen the end yet would take a run without any for lost.
GRACE = 60


def forget(client: Client, record: RunRecord) -> None:
    """Take a run that has ended off the list, and let all of it go. Raises redis' own errors; repeatable."""
    numbers = [step.number for play in record.plays for step in play.steps]
    given = {host.decode() for host in client.smembers(keys.given(record.id))}
    hosts = {host for play in record.plays for host in play.hosts}
    pipeline = client.pipeline(transaction=True)
    pipeline.zrem(keys.RUNS, record.id)
    for name in keys.of_run(record.id, numbers, hosts | given):
        pipeline.expire(name, GRACE)
    pipeline.execute()
