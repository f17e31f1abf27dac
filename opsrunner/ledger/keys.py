"""Names of the ledger's keys in Redis, in one place."""

from __future__ import annotations

from collections.abc import Iterable

#: Every key of ours begins so; `redis-cli --scan --pattern 'opsrunner:*'` shows them all.
PREFIX = "opsrunner:"

RUNS = PREFIX + "runs"  # sorted set: run id, scored by its creation time
OPEN = PREFIX + "open"  # set: runs that have not ended
BELL = PREFIX + "bell"  # list: run ids that a worker should look at now
WORKERS = PREFIX + "workers"  # sorted set: worker name, scored by its last beat
PROBE = PREFIX + "probe"  # never there: asking to write nothing at its beginning tells whether Redis takes writes
LOCKS = PREFIX + "locks"  # set: hosts that some run holds
UNLOCKS = PREFIX + "unlocks"  # list: JSON of who took which host from a run and why, newest first
REQUESTS = PREFIX + "requests"  # hash: Celery task that asked for a run which goes on → the message to send at its end
LEADER = PREFIX + "leader"  # string with a lease: boot of the steward that leads
PLANNED = PREFIX + "planned"  # sorted set: runs that begin at a time of their own, scored by it
SCHEDULES = PREFIX + "schedules"  # hash: schedule added at run time → its sealed entry; ``#`` counts the changes
BEATS = PREFIX + "beats"  # sorted set: groups of beats that have one file, scored by when one of them looked last
NOTIFY = PREFIX + "notify"  # sorted set: runs that somebody is told of, scored by when that was asked for
NOTIFICATIONS = PREFIX + "notifications"  # sorted set: notifications, scored by when they were made
OUTBOX = PREFIX + "outbox"  # sorted set: notifications that are not sent yet, scored by when they are due


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


def additions(run_id: str) -> str:
    """List: sealed additions to the run's inventory, as they came, each with the step that made them."""
    return f"{run(run_id)}:additions"


def answers(run_id: str) -> str:
    """Hash: question → what the operator answered, sealed."""
    return f"{run(run_id)}:answers"


def events(run_id: str) -> str:
    """Stream of events."""
    return f"{run(run_id)}:events"


def ended(run_id: str) -> str:
    """Hash: host → why it takes part in nothing more."""
    return f"{run(run_id)}:ended"


def once(run_id: str) -> str:
    """Hash: step that ran once for its batch → the host it ran for and the variables it gave."""
    return f"{run(run_id)}:once"


def stood(run_id: str) -> str:
    """Hash: host → ``play|position`` where it went wrong, or ``play|>`` once it went on from there."""
    return f"{run(run_id)}:stood"


def attempts(run_id: str) -> str:
    """Hash: ``step|host`` → how often it was given up and begun anew."""
    return f"{run(run_id)}:attempts"


def late(run_id: str) -> str:
    """Hash: ``step|host`` → what came of a lost step after all (read by the transition ``adopt`` alone)."""
    return f"{run(run_id)}:late"


def guarded(run_id: str) -> str:
    """Set: ``step|host`` that left an attempt directory on the host."""
    return f"{run(run_id)}:guarded"


def cancels(run_id: str) -> str:
    """Set: ``h|host``, ``s|step`` and ``x|step|host`` that an operator cancelled."""
    return f"{run(run_id)}:cancels"


def waiting(run_id: str) -> str:
    """Sorted set: hosts of the stage whose lock another run holds, scored by since when they wait."""
    return f"{run(run_id)}:waiting"


def slots(run_id: str) -> str:
    """Hash: ``step|host`` that runs → the budget sets it is counted in."""
    return f"{run(run_id)}:slots"


def run_slots(run_id: str) -> str:
    """Set: host-steps of the run at work now, kept where it has ``forks``."""
    return f"{run(run_id)}:running"


def step_slots(run_id: str, step: int) -> str:
    """Set: hosts at work at that step now, kept where it has ``throttle``."""
    return f"{run(run_id)}:running:{step}"


def zone_slots(zone: str) -> str:
    """Set: host-steps at work in that zone now, of all runs, kept where zones are limited."""
    return f"{PREFIX}zone:{zone}:running"


def given(run_id: str) -> str:
    """Set: hosts that steps of other hosts gave variables (``delegate_facts``)."""
    return f"{run(run_id)}:given"


def run_locks(run_id: str) -> str:
    """Set: hosts whose lock the run holds or waits for."""
    return f"{run(run_id)}:locks"


def lock(host: str) -> str:
    """Sorted set: runs by their tickets; the first holds the host."""
    return f"{PREFIX}lock:{host}"


def shards(run_id: str, epoch: int) -> str:
    """Hash: shard → its hosts, for one dispatch of one stage."""
    return f"{run(run_id)}:shards:{epoch}"


def notify(run_id: str) -> str:
    """String: who is told of the run, sealed."""
    return f"{run(run_id)}:notify"


def notification(identity: str) -> str:
    """Hash: one message to one notifier; what it says is sealed (see notify/outbox.lua)."""
    return f"{PREFIX}notification:{identity}"


def request(task_id: str) -> str:
    """String: the run that a Celery task asked for, so that its second delivery starts none."""
    return f"{PREFIX}request:{task_id}"


def over(boot: str) -> str:
    """List, for a moment: ends what a worker process is asking the bell for."""
    return f"{PREFIX}over:{boot}"


def boot(boot_id: str) -> str:
    """String with a lease: alive as long as that worker process renews it."""
    return f"{PREFIX}boot:{boot_id}"


def worker(name: str) -> str:
    """Hash with a lease: what a worker says of itself."""
    return f"{PREFIX}worker:{name}"


def beat(group: str) -> str:
    """String with a lease: JSON of the beat that leads the group, and what it goes by."""
    return f"{PREFIX}beat:{group}"


def schedule(name: str) -> str:
    """Hash: what is decided already of a schedule's due times, what waits, who paused it."""
    return f"{PREFIX}schedule:{name}"


def schedule_runs(name: str) -> str:
    """Sorted set: runs of the schedule, scored by when they were started."""
    return f"{schedule(name)}:runs"


def schedule_going(name: str) -> str:
    """Set: runs of the schedule whose end was not seen yet."""
    return f"{schedule(name)}:going"


def schedule_ended(name: str) -> str:
    """Sorted set: runs that this schedule is to follow, scored by when they ended."""
    return f"{schedule(name)}:ended"


def schedule_history(name: str) -> str:
    """List: JSON of what became of its due times, newest first."""
    return f"{schedule(name)}:history"


def of_schedule(name: str) -> tuple[str, ...]:
    """Every key of a schedule."""
    return tuple(key(name) for key in (schedule, schedule_runs, schedule_going, schedule_ended, schedule_history))


def of_run(run_id: str, numbers: Iterable[int], hosts: Iterable[str]) -> list[str]:
    """Every key that an ended run leaves, for these steps and hosts of its plan."""
    whole = (run, plan, files, additions, answers, events, ended, once, stood, attempts, late, guarded, cancels, given)
    names = [name(run_id) for name in (*whole, notify)]
    for number in numbers:
        names += [part(run_id, number) for part in (steps, results, tokens)]
    return names + [variables(run_id, host) for host in hosts]
