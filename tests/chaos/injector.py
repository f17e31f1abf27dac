"""Faults, drawn from a seed and done to a site while a run goes on; each is logged with its time."""

from __future__ import annotations

import functools
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from opsrunner.ledger.store import AWAY
from tests.chaos.bastions import ZONES, Bastion, Site
from tests.chaos.deliveries import deliver_again
from tests.chaos.networks import Link

#: Seconds after the run was submitted within which faults begin.
BEGIN_WITHIN = 7.0
TICK = 0.05
BASTIONS = tuple(bastion for bastions in ZONES.values() for bastion in bastions)


@dataclass(frozen=True)
class Kind:
    """A kind of fault: what it may be done to, and between how many and how many seconds it lasts."""

    targets: Sequence[str]
    least: float = 0.0
    most: float = 0.0


KINDS: dict[str, Kind] = {
    "kill a worker": Kind(BASTIONS, 0, 5),
    "pause a worker": Kind(BASTIONS, 1, 20),
    "stop a worker": Kind(BASTIONS, 0, 5),
    "kill Redis": Kind(("site",), 0.2, 10),
    "cut off hosts": Kind((*BASTIONS, *ZONES), 1, 30),
    "cut off Redis": Kind((*BASTIONS, *ZONES), 1, 30),
    "kill sshd": Kind(tuple(ZONES), 0, 8),
    "kill sessions": Kind(tuple(ZONES)),
    "forget scripts": Kind(("site",)),
    "deliver again": Kind(("site",)),
    "cancel": Kind(("site",)),
}
#: Those that need links.
LINK_KINDS = frozenset(("cut off hosts", "cut off Redis"))


@dataclass(frozen=True)
class Fault:
    """``at``: seconds after the run was submitted; ``lasts``: seconds until it is lifted."""

    at: float
    kind: str
    target: str
    lasts: float

    def __str__(self) -> str:
        lasts = f" for {self.lasts:.1f} s" if self.lasts else ""
        return f"{self.kind} ({self.target}){lasts}"


def draw(chance: Random, kinds: Sequence[str], count: int, *, longest: float) -> tuple[Fault, ...]:
    """``count`` faults of those kinds, none lasting more than ``longest`` seconds, by their beginning."""
    faults = []
    for _ in range(count):
        name = chance.choice(kinds)
        kind = KINDS[name]
        at, target = chance.uniform(0, BEGIN_WITHIN), chance.choice(kind.targets)
        lasts = chance.uniform(min(kind.least, longest), min(kind.most, longest))
        faults.append(Fault(round(at, 2), name, target, round(lasts, 2)))
    return tuple(sorted(faults, key=lambda fault: fault.at))


class Injector:
    """Does faults to a site, one after the other in the order of time, and plays the supervisor meanwhile."""

    def __init__(self, site: Site, run_ids: Sequence[str], seed: int) -> None:
        self._site = site
        self._run_ids = run_ids
        self._chance = Random(seed)
        self._submitted = time.monotonic()
        #: What was done when, for the failure's message.
        self.timeline: list[str] = []
        #: Workers that ended without being told to.
        self.restarts = 0
        self._begin: dict[str, Callable[[str], Callable[[], object] | None]] = {
            "kill a worker": self._kill_worker,
            "pause a worker": self._pause_worker,
            "stop a worker": self._stop_worker,
            "kill Redis": self._kill_redis,
            "cut off hosts": functools.partial(self._cut, "hosts"),
            "cut off Redis": functools.partial(self._cut, "redis"),
            "kill sshd": self._kill_sshd,
            "kill sessions": self._kill_sessions,
            "forget scripts": self._forget_scripts,
            "deliver again": self._deliver_again,
            "cancel": self._cancel,
        }

    def follow(self, faults: Sequence[Fault]) -> None:
        """Do all of them and lift them again."""
        moments: list[tuple[float, str, Callable[[], object]]] = [
            (fault.at, str(fault), functools.partial(self._inject, fault)) for fault in faults
        ]
        self._pending = moments
        while self._pending:
            self._pending.sort(key=lambda moment: moment[0])
            at, what, act = self._pending.pop(0)
            while self._elapsed() < at:
                self.supervise()
                time.sleep(TICK)
            self._log(what)
            try:
                act()
            except AWAY:
                self._log("  Redis is away: nothing done")

    def wait_for_end(self, seconds: float) -> float | None:
        """When the last of the runs ended (seconds since the epoch), None if that takes longer than ``seconds``."""
        until = time.monotonic() + seconds
        while True:
            ended = [self._site.ended(run_id) for run_id in self._run_ids]
            if None not in ended or time.monotonic() > until:
                return None if None in ended else max(moment for moment in ended if moment)
            self.supervise()
            time.sleep(2 * TICK)

    def supervise(self) -> None:
        for said in self._site.supervise():
            self.restarts += 1
            self._log(said)

    def _inject(self, fault: Fault) -> None:
        lift = self._begin[fault.kind](fault.target)
        if lift:
            self._pending.append((fault.at + fault.lasts, f"lifted: {fault.kind} ({fault.target})", lift))

    def _elapsed(self) -> float:
        return time.monotonic() - self._submitted

    def _log(self, what: str) -> None:
        self.timeline.append(f"{self._elapsed():7.2f} s  {what}")

    # ------------------------------------------------------------------ workers
    def _kill_worker(self, target: str) -> Callable[[], object]:
        return self._end_worker(self._site.bastions[target], signal.SIGKILL)

    def _stop_worker(self, target: str) -> Callable[[], object]:
        return self._end_worker(self._site.bastions[target], signal.SIGTERM)

    def _end_worker(self, bastion: Bastion, number: int) -> Callable[[], object]:
        process = bastion.process
        bastion.held = True
        bastion.send(number)
        if number == signal.SIGKILL:
            process.wait()

        def replace() -> None:
            if bastion.process is process:  # no other fault has put a new one in its place
                bastion.start()

        return replace

    def _pause_worker(self, target: str) -> Callable[[], object]:
        bastion = self._site.bastions[target]
        process: subprocess.Popen[bytes] = bastion.process
        bastion.send(signal.SIGSTOP)
        return lambda: process.send_signal(signal.SIGCONT)

    # ------------------------------------------------------------------ Redis
    def _kill_redis(self, target: str) -> Callable[[], object] | None:
        redis = self._site.redis
        if redis.process.poll() is not None:
            return None
        redis.stop(signal.SIGKILL)
        return redis.start

    def _forget_scripts(self, target: str) -> None:
        self._site.redis.client.script_flush()

    def _deliver_again(self, target: str) -> None:
        count = sum(deliver_again(self._site, run_id, self._chance) for run_id in self._run_ids)
        self._log(f"  {count} messages")

    def _cancel(self, target: str) -> None:
        done = self._site.stack.opsrunner("cancel", self._run_ids[0], code=None)
        self._log(f"  exit code {done.returncode}")

    # ------------------------------------------------------------------ links and hosts
    def _cut(self, link: Link, target: str) -> Callable[[], object]:
        network = self._site.network
        bastions = ZONES.get(target, (target,))
        for bastion in bastions:
            network.cut(bastion, link)

        def mend() -> None:
            for bastion in bastions:
                network.mend(bastion, link)

        return mend

    def _kill_sshd(self, target: str) -> Callable[[], object]:
        zone = self._site.zones[target]
        zone.kill()
        return zone.revive

    def _kill_sessions(self, target: str) -> None:
        self._log(f"  {self._site.zones[target].kill_sessions()} sessions")
