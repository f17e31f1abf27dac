"""Names of the ledger's keys in Redis, in one place."""

from __future__ import annotations

#: Every key of ours begins so; `redis-cli --scan --pattern 'opsrunner:*'` shows them all.
PREFIX = "opsrunner:"

RUNS = PREFIX + "runs"  # sorted set: run id, scored by its creation time
OPEN = PREFIX + "open"  # set: runs that have not ended
BELL = PREFIX + "bell"  # list: run ids that a worker should look at now
WORKERS = PREFIX + "workers"  # sorted set: worker name, scored by its last beat
LEADER = PREFIX + "leader"  # string with a lease: boot of the steward that leads


def run(run_id: str) -> str:
    """Hash: status, cursor, cancel, title, outline, times, tallies."""
    return f"{PREFIX}run:{run_id}"


def plan(run_id: str) -> str:
    """String: the sealed plan."""
    return f"{run(run_id)}:plan"


def files(run_id: str) -> str:
    """Hash: SHA-256 → sealed content of a file that travels with the plan."""
    return f"{run(run_id)}:files"


def front(run_id: str) -> str:
    """Sorted set: hosts of the current batch, scored by the index of their next step."""
    return f"{run(run_id)}:front"


def positions(run_id: str) -> str:
    """Hash: host → encoded Position."""
    return f"{run(run_id)}:pos"


def steps(run_id: str, step: int) -> str:
    """Hash: host → state of that host × step (see scripts.lua)."""
    return f"{run(run_id)}:step:{step}"


def results(run_id: str, step: int) -> str:
    """Hash: host → encoded result."""
    return f"{run(run_id)}:result:{step}"


def tokens(run_id: str, step: int) -> str:
    """Hash: host → token of the claim whose outcome was stored (a repeated delivery finds its own)."""
    return f"{run(run_id)}:tokens:{step}"


def variables(run_id: str, host: str) -> str:
    """Hash: variable → where it stands or its sealed value; ``#`` counts the changes."""
    return f"{run(run_id)}:vars:{host}"


def events(run_id: str) -> str:
    """Stream of events."""
    return f"{run(run_id)}:events"


def ended(run_id: str) -> str:
    """Hash: host → why it takes part in nothing more."""
    return f"{run(run_id)}:ended"


def once(run_id: str) -> str:
    """Hash: step that ran once for its batch → the host it ran for and the variables it gave."""
    return f"{run(run_id)}:once"


def shards(run_id: str, epoch: int) -> str:
    """Hash: shard → its hosts, for one dispatch of one stage."""
    return f"{run(run_id)}:shards:{epoch}"


def boot(boot_id: str) -> str:
    """String with a lease: alive as long as that worker process renews it."""
    return f"{PREFIX}boot:{boot_id}"


def worker(name: str) -> str:
    """Hash with a lease: what a worker says of itself."""
    return f"{PREFIX}worker:{name}"
