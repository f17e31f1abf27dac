"""Hand a compiled plan over to the workers. No Celery here: the command line starts fast."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from opsrunner import modules
from opsrunner.engine import nodes
from opsrunner.errors import NoWorker
from opsrunner.ledger.records import PlayOutline, StepOutline
from opsrunner.ledger.store import Client, Store
from opsrunner.plan.codec import encode
from opsrunner.plan.contrast import listed
from opsrunner.plan.model import BlockSection, Plan, Step

if TYPE_CHECKING:
    from opsrunner.notify.model import Notifier

#: Hosts named in an error before it says "and N more".
NAMED_HOSTS = 10


def new_run_id(now: float | None = None) -> str:
    """Short and sortable: UTC time to the second and four random letters; ``now`` by Redis' clock where it is known."""
    stamp = time.strftime("%y%m%d-%H%M%S", time.gmtime(time.time() if now is None else now))
    return f"{stamp}-{secrets.token_hex(2)}"


def require_workers(
    client: Client, plan: Plan, *, wait: float = 0.0, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Raise NoWorker, naming the hosts concerned, unless every zone of the plan is served within ``wait`` seconds."""
    deadline = time.monotonic() + wait
    while True:
        missing = nodes.unserved(plan.zones, nodes.live(client))
        if not missing:
            return
        if time.monotonic() >= deadline:
            break
        sleep(0.1)
    parts = [f"zone {zone}: {listed(hosts, NAMED_HOSTS)}" for zone, hosts in missing.items()]
    raise NoWorker(
        f"no live worker for {'; '.join(parts)}",
        remedy=f"start one: opsrunner worker --zone {next(iter(missing))}, or wait with --wait-for-workers 60s",
    )


def outline(plan: Plan) -> list[PlayOutline]:
    """What readers may know of a plan: no argument and no variable."""
    return [
        PlayOutline(
            play.number,
            play.name,
            # Batch by batch, as the sizes that follow cut them.
            tuple(host for batch in play.batches for host in batch),
            tuple(len(batch) for batch in play.batches),
            tuple(
                StepOutline(
                    step.number,
                    step.name,
                    step.module,
                    step.place,
                    step.section,
                    step.handler,
                    part=_part(step),
                    once=bool(step.run_once) or modules.get(step.module).SPEC.once,
                )
                for step in play.steps
            ),
            play.strategy,
            play.is_undecided,
        )
        for play in plan.plays
    ]


def _part(step: Step) -> BlockSection | Literal[""]:
    """The part of a block it stands in; further out it counts that it is included, or in a role that may end early."""
    parts = [part for _, part in step.path]
    for outer in ("included", "role"):
        if parts and parts[-1] != "rescue" and outer in parts:
            return outer
    return parts[-1] if parts else ""


def submit(
    store: Store,
    plan: Plan,
    files: Mapping[str, bytes],
    *,
    user: str,
    run_id: str | None = None,
    schedule: str | None = None,
    due: float | None = None,
    start_deadline: float | None = None,
    max_runtime: float | None = None,
    transaction: Any = None,
    notifiers: Sequence[Notifier] = (),
) -> str:
    """Store the run and ring for a worker; gives its id. From here on nobody needs us any more.

    With ``due`` (seconds since the epoch) it begins then, and fails where no worker is there ``start_deadline``
    seconds later. One that goes on for more than ``max_runtime`` seconds is cancelled. With ``transaction``
    (a pipeline) it is stored when that is executed. ``notifiers`` are opened ones; workers tell them of the run.
    """
    run_id = run_id or new_run_id(store.now())
    if notifiers:
        from opsrunner.notify.outbox import Outbox

        Outbox(store.redis, store.sealer).announce(run_id, notifiers)
    header = {
        "title": plan.title,
        "kind": plan.kind,
        "user": user,
        "check": int(plan.options.check),
        "schedule": schedule,
        "due": due,
        "start_deadline": start_deadline,
        "max_runtime": max_runtime,
    }
    store.create_run(run_id, header, outline(plan), encode(plan), files, transaction=transaction)
    return run_id
