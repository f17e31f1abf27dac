"""Host locks: two runs do not work on one host at a time, whatever bastion they come from.

A run takes or queues for all of its hosts under one ticket when it begins, so runs wait for each other in one
order and never in a ring. A host is given back when the run has nothing more for it. The claim checks the lock
once more, so an operator who takes a host away (`opsrunner unlock`) is obeyed at the next step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from opsrunner import modules
from opsrunner.ledger import keys
from opsrunner.ledger.reader import Reader
from opsrunner.plan.contrast import listed

if TYPE_CHECKING:
    from opsrunner.engine.context import RunContext
    from opsrunner.engine.node import Node
    from opsrunner.plan.model import Plan

#: Hosts named in a notice.
NAMED_HOSTS = 5


class Lock(Struct, frozen=True):
    """One host's lock: the run that holds it and those that wait, in their order."""

    host: str
    holder: str
    waiting: tuple[str, ...]


def takes_locks(plan: Plan) -> bool:
    """Whether the run may change a host at all and was not told to leave locks alone."""
    if plan.options.locked == "ignore" or plan.options.check:
        return False
    return any(not modules.get(step.module).SPEC.reads_only for play in plan.plays for step in play.steps)


def free_hosts(node: Node, context: RunContext, cursor: str, hosts: Sequence[str]) -> list[str]:
    """Those of the hosts whose lock the run has; the others are written down as waiting, and shown."""
    if not hosts or not takes_locks(context.plan):
        return list(hosts)
    held = set(node.store.lock(context.run_id, cursor, hosts))
    waiting = keys.waiting(context.run_id)
    pipeline = node.redis.pipeline(transaction=True)
    if held:
        pipeline.zadd(waiting, dict.fromkeys(held, node.store.now()), nx=True)
    free = [host for host in hosts if host not in held]
    if free and (held or node.redis.exists(waiting)):  # nobody waits, as a rule
        pipeline.zrem(waiting, *free)
    pipeline.execute()
    if held:
        node.store.tell_once(context.run_id, "locks", waiting_text(node.reader, sorted(held)))
    return free


def waiting_text(reader: Reader, hosts: Sequence[str]) -> str:
    """``web1, web2: held by run … (restart.yml, ann@desk)``, a clause for each holder."""
    by_holder: dict[str, list[str]] = {}
    for lock in locks(reader, hosts):
        by_holder.setdefault(lock.holder, []).append(lock.host)
    clauses = [
        f"{listed(some, NAMED_HOSTS)}: held by {holder_text(reader, holder)}" for holder, some in by_holder.items()
    ]
    return "waiting for " + "; ".join(clauses)


def holder_text(reader: Reader, run_id: str) -> str:
    run = reader.run(run_id)
    return f"run {run_id}" + (f" ({run.title}, {run.user})" if run else "")


def locks(reader: Reader, hosts: Sequence[str] | None = None) -> list[Lock]:
    """The locks that are held, of these hosts or of all, by host."""
    names = sorted(host.decode() for host in reader.redis.smembers(keys.LOCKS)) if hosts is None else list(hosts)
    pipeline = reader.redis.pipeline(transaction=False)
    for name in names:
        pipeline.zrange(keys.lock(name), 0, -1)
    open_runs = {run.decode() for run in reader.redis.smembers(keys.OPEN)} if names else set()
    found = []
    for name, runs in zip(names, pipeline.execute(), strict=True):
        queue = [run.decode() for run in runs if run.decode() in open_runs]
        if queue:
            found.append(Lock(name, queue[0], tuple(queue[1:])))
    return found


def grant(node: Node, context: RunContext, cursor: str, *, patience: bool) -> tuple[list[str], list[str]]:
    """Of the hosts that wait: those whose lock has become ours, and those not to be waited for (any more)."""
    waiting = keys.waiting(context.run_id)
    since = {host.decode(): score for host, score in node.redis.zrange(waiting, 0, -1, withscores=True)}
    if not since:
        return [], []
    held = set(node.store.lock(context.run_id, cursor, list(since)))
    granted = [host for host in since if host not in held]
    limit = (context.plan.options.lock_timeout or node.settings.lock_timeout) if patience else 0.0
    now = node.store.now()
    late = [host for host in since if host in held and now - since[host] >= limit]
    if granted or late:
        node.redis.zrem(waiting, *granted, *late)
    return granted, late
