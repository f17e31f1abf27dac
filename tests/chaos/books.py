"""The books: every command appends its host to the step's file; afterwards the ledger must agree with the files."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from opsrunner.ledger import keys
from opsrunner.ledger.reader import Reader
from opsrunner.ledger.records import ENDED, GOOD, Outcome, RunRecord
from opsrunner.ledger.store import Client

#: Seconds within which everything of a run that has ended must be gone: longer than any lease.
CLEARED_WITHIN = 35.0
#: What a cancelled host-step says when nothing was sent.
NEVER_SENT = "cancelled before it was sent"


@dataclass(frozen=True)
class Step:
    """One task or handler of a chaos playbook."""

    name: str
    handler: bool = False
    #: ``rerun: safe``: it may stand in the file more than once.
    safe: bool = False
    #: The host itself guards the command.
    guard: bool = False


@dataclass(frozen=True)
class Play:
    steps: tuple[Step, ...]
    #: Lines that go under the play's head, such as ``serial: 10``.
    head: str = ""


@dataclass
class Audit:
    """What was found; each line of the lists names a fault of opsrunner."""

    status: str = ""
    outcomes: Counter[str] = field(default_factory=Counter)
    doubles: list[str] = field(default_factory=list)
    disagreements: list[str] = field(default_factory=list)
    unaccounted: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        named = (
            ("twice", self.doubles),
            ("ledger and file disagree", self.disagreements),
            ("unaccounted", self.unaccounted),
            ("left behind", self.leftovers),
        )
        return [f"{name}: {line}" for name, lines in named for line in lines]


class Books:
    """A folder with a file for each step, written by the hosts; and the playbook that makes them write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)

    def playbook(self, plays: Sequence[Play], *, hosts: str = "fleet", seconds: float = 1.0) -> str:
        """Each step writes its host down, then takes ``seconds``; the first of a play notifies its handlers."""
        return "".join(self._play(play, hosts, seconds) for play in plays)

    def _play(self, play: Play, hosts: str, seconds: float) -> str:
        head = "".join(f"  {line}\n" for line in play.head.splitlines())
        text = f"- hosts: {hosts}\n  gather_facts: false\n{head}  tasks:\n"
        handlers = [step for step in play.steps if step.handler]
        for step in (step for step in play.steps if not step.handler):
            text += self._task(step, seconds, handlers)
        if handlers:
            text += "  handlers:\n" + "".join(self._task(step, seconds, []) for step in handlers)
        return text

    def _task(self, step: Step, seconds: float, notify: Sequence[Step]) -> str:
        told = f"      notify: [{', '.join(handler.name for handler in notify)}]\n" if notify else ""
        words = "      rerun: safe\n" * step.safe + "      guard: true\n" * step.guard
        command = f"echo {{{{ inventory_hostname }}}} $$ >> {self.folder}/{step.name}; sleep {seconds}"
        return f"    - name: {step.name}\n      shell: {command}\n{told}{words}"

    def written(self, step: str) -> Counter[str]:
        """Host → how often it stands in the step's file."""
        file = self.folder / step
        return Counter(line.split()[0] for line in file.read_text().splitlines()) if file.exists() else Counter()

    def begun(self) -> bool:
        return any(self.folder.iterdir())

    # ------------------------------------------------------------------ the audit
    def audit(self, client: Client, run_id: str, plays: Sequence[Play]) -> Audit:
        """Compare what the ledger says of an ended run with what the hosts wrote, and look for what is left."""
        reader = Reader(client)
        run = reader.run(run_id)
        audit = Audit()
        if run is None or run.status not in ENDED:
            audit.unaccounted.append(f"the run has not ended: {run and run.status}")
            return audit
        audit.status = run.status
        outcomes = {(outcome.step, outcome.host): outcome for outcome in reader.outcomes(run_id)}
        audit.outcomes.update(outcome.status for outcome in outcomes.values())
        safe = {step.name for play in plays for step in play.steps if step.safe}
        for outline in (step for play in run.plays for step in play.steps):
            of_step = {host: outcome for (number, host), outcome in outcomes.items() if number == outline.number}
            self._compare(audit, outline.name, of_step, repeatable=outline.name in safe)
        account(audit, run, outcomes)
        lost = {pair for pair, outcome in outcomes.items() if outcome.status == "lost"}
        audit.leftovers += self._leftovers(client, run, lost)
        return audit

    def _compare(self, audit: Audit, step: str, told: dict[str, Outcome], *, repeatable: bool) -> None:
        written = self.written(step)
        if not repeatable:
            audit.doubles += [f"{host} at {step}: {times} times" for host, times in written.items() if times > 1]
        audit.disagreements += [f"{host} wrote at {step}, the ledger knows nothing" for host in written.keys() - told]
        for host, outcome in told.items():
            sent = written[host] > 0
            if not _agrees(outcome, sent, repeatable):
                said = outcome.result.get("msg", "")
                done = "it was done" if sent else "it was never done"
                audit.disagreements.append(f"{host} at {step} is {outcome.status} ({said}), but {done}")

    def _leftovers(self, client: Client, run: RunRecord, lost: Collection[tuple[int, str]]) -> list[str]:
        deadline = time.monotonic() + CLEARED_WITHIN
        while True:
            found = [*self._processes(), *_keys_left(client, run), *_attempts_left(run, lost)]
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.2)

    def _processes(self) -> Iterator[str]:
        """Commands of ours that still run on the hosts: each has the folder's name in its line."""
        for process in psutil.process_iter(["pid", "cmdline"]):
            line = " ".join(process.info["cmdline"] or ())
            if str(self.folder) in line:
                yield f"process {process.info['pid']}: {line[:200]}"


def _agrees(outcome: Outcome, sent: bool, repeatable: bool) -> bool:
    """Whether the outcome may be said of a command that was (not) carried out."""
    if outcome.status in ("ok", "changed"):
        return sent
    if outcome.status in ("lost", "cancelled"):
        return not sent or repeatable or outcome.result.get("msg") != NEVER_SENT
    # Nothing that a chaos playbook does can fail, so ``failed`` agrees with nothing.
    return outcome.status in ("skipped", "unreachable") and (not sent or repeatable)


def account(audit: Audit, run: RunRecord, outcomes: dict[tuple[int, str], Outcome]) -> None:
    """Every host went through its steps in order, without a gap, until the last or until a bad outcome."""
    cut_short = run.status in ("cancelled", "stopped", "held")
    for host in dict.fromkeys(host for play in run.plays for host in play.hosts):
        steps = [step.number for play in run.plays if host in play.hosts for step in play.steps]
        statuses = [outcomes[step, host].status if (step, host) in outcomes else None for step in steps]
        done = [status for status in statuses if status is not None]
        if statuses[: len(done)] != done:
            audit.unaccounted.append(f"{host}: a gap in {statuses}")
        if any(status not in GOOD for status in done[:-1]):
            audit.unaccounted.append(f"{host} went on after a bad outcome: {statuses}")
        ended_badly = bool(done) and done[-1] not in GOOD
        if len(done) < len(steps) and not ended_badly and not cut_short:
            audit.unaccounted.append(f"{host} has no outcome from step {steps[len(done)]} on: {statuses}")


def attempts(run_id: str) -> list[Path]:
    """The attempt directories of a run's guarded commands, on whichever host: here all are one machine."""
    return sorted(Path(f"/var/tmp/opsrunner-{os.getuid()}").glob(f"{run_id}.*"))


def _attempts_left(run: RunRecord, lost: Collection[tuple[int, str]]) -> Iterator[str]:
    """Of a lost step they are kept, for whoever resumes the run."""
    kept = tuple(f"{run.id}.{step}." for step, _ in lost)
    yield from (str(folder) for folder in attempts(run.id) if not folder.name.startswith(kept))


def _keys_left(client: Client, run: RunRecord) -> Iterator[str]:
    """What Redis must not hold any more of a run that has ended."""
    if client.sismember(keys.OPEN, run.id):
        yield f"{run.id} in {keys.OPEN}"
    yield from (name.decode() for name in client.scan_iter(match=f"{keys.PREFIX}lock:*"))
    if client.exists(f"{keys.run(run.id)}:lock"):
        yield f"{keys.run(run.id)}:lock"
    for step in (step for play in run.plays for step in play.steps):
        for host, state in client.hgetall(keys.steps(run.id, step.number)).items():
            if not state.startswith(b"T|"):
                yield f"{host.decode()} at {step.name} is still {state.decode()}"
    for name in client.scan_iter(match=f"{keys.run(run.id)}*"):
        if client.ttl(name) == -1:
            yield f"{name.decode()} is kept for ever"
