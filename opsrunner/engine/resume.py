"""Taking a run up again: each host at its first step without a good outcome, with the variables and handlers it had."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from opsrunner import modules
from opsrunner.engine.submit import outline
from opsrunner.engine.walk import Progress, Stand, fills, readmission
from opsrunner.errors import InputError
from opsrunner.ledger import keys
from opsrunner.ledger.encoding import decode_terminal
from opsrunner.ledger.reader import Reader
from opsrunner.ledger.records import Outcome, RunRecord
from opsrunner.ledger.store import Store
from opsrunner.ledger.transitions import Reopening
from opsrunner.plan.codec import encode
from opsrunner.plan.flow import Position
from opsrunner.plan.model import Plan, Play, Step

RERUN = "pass --rerun-lost to run it again"
#: Why a host has ended that was left out of an earlier `resume`.
LEFT = "left"


class Resumption(Struct, frozen=True):
    """Who goes on where, as ``resume`` would have it."""

    #: Host → play and number of the step it goes on at.
    goes_on: Mapping[str, tuple[int, int]]
    #: Host → why it is left as it is.
    left: Mapping[str, str]
    #: Where those stand that are let in again; the others of ``goes_on`` just go on.
    stands: Mapping[str, Stand]
    #: Lost steps of which there is late news, by host.
    late: Mapping[str, int]
    #: Hosts whose lost step left a guard: the host is asked what came of it.
    guarded: frozenset[str]
    #: When the run had ended, as it was read.
    finished: str


def look(
    reader: Reader, plan: Plan, run: RunRecord, *, hosts: Sequence[str] | None, step: int | None, rerun_lost: bool
) -> Resumption:
    """What `resume` would do; ``hosts`` are all that may go on (None: everybody), ``step`` where they go on instead.

    Raises InputError for a step that the plan does not have.
    """
    return _Look(reader, plan, run, hosts, step, rerun_lost).resumption()


def resume(
    store: Store,
    run_id: str,
    plan: Plan,
    resumption: Resumption,
    *,
    by: str,
    files: Mapping[str, bytes],
    revised: bool,
) -> None:
    """Open the run again. With ``revised`` plan and files (by SHA-256) take the place of the stored ones.

    Raises InputError when the run has moved since it was looked at.
    """
    reader = Reader(store.redis)
    stands = {**resumption.stands, **_after_late_news(store, run_id, plan, resumption)}
    readmissions = [
        one
        for host, stand in stands.items()
        if (one := readmission(reader, plan, run_id, host, stand, ask_guard=host in resumption.guarded))
    ]
    ended = reader.ended(run_id)
    reopening = Reopening(
        resumption.finished,
        f"resumed by {by} for {len(resumption.goes_on)} of {len(resumption.goes_on) + len(resumption.left)} hosts",
        readmissions,
        left=[host for host in resumption.left if host not in ended],
        back=[host for host in resumption.goes_on if ended.get(host) == LEFT and host not in stands],
        plan=encode(plan) if revised else None,
        plays=outline(plan) if revised else (),
        files=files if revised else {},
    )
    if not store.reopen(run_id, reopening):
        raise InputError(f"run {run_id} was taken up by somebody else meanwhile", remedy=f"opsrunner watch {run_id}")
    store.persist_run(run_id, [step.number for play in plan.plays for step in play.steps], _everybody(plan))


def _everybody(plan: Plan) -> set[str]:
    return {host for play in plan.plays for host in play.hosts}


def _after_late_news(store: Store, run_id: str, plan: Plan, resumption: Resumption) -> dict[str, Stand]:
    """Where the hosts stand once the late news of their lost steps is believed, whoever put it down."""
    for host, number in resumption.late.items():
        stand = resumption.stands[host]
        steps = plan.plays[stand.play].steps
        following = steps[stand.position.next :] if stand.position else ()
        # A host that failed before it was lost (in an always part) goes on where it failed.
        there = bool(following) and following[0].number == number
        end = Stand(stand.play, Position(len(steps)))
        store.adopt(run_id, number, host, stand.encode() if there else "", end.encode())
    known = Progress.read(Reader(store.redis), run_id).stood if resumption.late else {}
    return {host: known[host] for host in resumption.late if host in known}


class _Look:
    """One look at an ended run."""

    def __init__(
        self, reader: Reader, plan: Plan, run: RunRecord, hosts: Sequence[str] | None, step: int | None, rerun: bool
    ) -> None:
        self.reader = reader
        self.plan = plan
        self.run = run
        self.rerun = rerun
        everybody = _everybody(plan)
        self.chosen: Collection[str] = everybody if hosts is None else set(hosts) & everybody
        self.named = hosts is not None
        self.at = None if step is None else _find(plan, step)
        self.finished = (reader.redis.hget(keys.run(run.id), "finished") or b"").decode()
        self.ended = reader.ended(run.id)
        self.progress = Progress.read(reader, run.id)
        self.late = {host: number for number, host in _pairs(reader.redis.hkeys(keys.late(run.id)))}
        self.guarded = {(number, host) for number, host in _pairs(reader.redis.smembers(keys.guarded(run.id)))}
        self.outcomes = self._outcomes()

    def resumption(self) -> Resumption:
        left: dict[str, str] = {}
        stands: dict[str, Stand] = {}
        guarded: set[str] = set()
        for host, stand in self._candidates().items():
            reason = self._forbidden(host, stand)
            if host not in self.chosen:
                left[host] = "not among --hosts"
            elif reason and not self.rerun:
                left[host] = reason
            else:
                stands[host] = stand
                lost = self._lost(host, stand)
                if lost and lost is self._step(stand) and self._is_guarded(host, stand) and not self.rerun:
                    guarded.add(host)
        return self._with_entries(stands, left, frozenset(guarded))

    def _with_entries(self, stands: dict[str, Stand], left: dict[str, str], guarded: frozenset[str]) -> Resumption:
        """Adds where everybody would enter first, which tells also of hosts that had not begun."""
        progress = Progress(self.progress.reached, {**self.progress.stood, **stands})
        shut = {host for host, why in self.ended.items() if host not in stands and why != LEFT} | set(left)
        goes_on: dict[str, tuple[int, int]] = {}
        for fill in fills(self.plan, progress, shut):
            for host, position in fill.hosts.items():
                if host not in self.chosen:
                    left.setdefault(host, "not among --hosts")
                elif self.run.status == "held" and not self.rerun and host not in stands:
                    left.setdefault(host, f"what it has done is not known: {RERUN}")
                else:
                    goes_on.setdefault(host, (fill.play.number, fill.play.steps[position.next].number))
        late = {host: number for host, number in self.late.items() if host in stands and self.at is None}
        for host in late:  # what it goes on at follows from the news
            goes_on.setdefault(host, (stands[host].play, self._number(stands[host])))
        return Resumption(goes_on, left, stands, late, guarded, self.finished)

    def _candidates(self) -> dict[str, Stand]:
        """Hosts that ended badly with where they stand; with ``--step`` that is one place for all."""
        found = {
            host: stand
            for host in self.ended
            if (stand := self.progress.stood.get(host)) is not None and stand.position is not None
        }
        if self.at is None:
            return found
        play, step = self.at
        wanted = self.chosen if self.named else found
        return {host: self._at_step(host, play, step, found.get(host)) for host in wanted if host in play.hosts}

    def _at_step(self, host: str, play: Play, step: Step, stand: Stand | None) -> Stand:
        """At that step instead, with the handlers that wait to be run."""
        notified = stand.position.notified if stand and stand.position and stand.play == play.number else frozenset()
        rescuing = frozenset(block for block, part in step.path if part == "rescue")
        entered = frozenset(block for block, part in step.path if part == "included")
        return Stand(play.number, Position(play.steps.index(step), rescuing, entered=entered, notified=notified))

    # ------------------------------------------------------------------ what must not be run again unasked
    def _forbidden(self, host: str, stand: Stand) -> str:
        """Why the host's step must not simply be run again, "" when it may."""
        step = self._step(stand)
        if step is None:
            return ""
        outcome = self.outcomes.get((host, step.number))
        where = f"at step {step.number} {step.name!r}"
        if outcome and outcome.status == "cancelled" and "could not be killed" in str(outcome.result.get("msg")):
            return f"may still be running {where} ({outcome.result['msg']}): {RERUN}"
        lost = self._lost(host, stand)
        if lost is None:
            return ""
        harmless = modules.repeatable(lost.module, lost.rerun)
        if harmless or host in self.late or (lost is step and self._is_guarded(host, stand)):
            return ""
        return f"lost at step {lost.number} {lost.name!r}: {RERUN}"

    def _lost(self, host: str, stand: Stand) -> Step | None:
        """The step that was lost, of those the host would go through again: an always part may be behind a failure."""
        if stand.position is None:
            return None
        for step in self.plan.plays[stand.play].steps[stand.position.next :]:
            outcome = self.outcomes.get((host, step.number))
            if outcome and outcome.status == "lost":
                return step
        return None

    def _is_guarded(self, host: str, stand: Stand) -> bool:
        return (self._number(stand), host) in self.guarded

    def _step(self, stand: Stand) -> Step | None:
        steps = self.plan.plays[stand.play].steps
        return steps[stand.position.next] if stand.position and stand.position.next < len(steps) else None

    def _number(self, stand: Stand) -> int:
        step = self._step(stand)
        return step.number if step else -1

    def _outcomes(self) -> dict[tuple[str, int], Outcome]:
        """The outcomes that hosts ended with: at the steps they stand at, and of lost hosts behind these."""
        wanted: dict[int, list[str]] = {}
        for host, stand in self.progress.stood.items():
            if stand.position is None:
                continue
            steps = self.plan.plays[stand.play].steps[stand.position.next :]
            for step in steps if self.ended.get(host) == "lost" else steps[:1]:
                wanted.setdefault(step.number, []).append(host)
        found: dict[tuple[str, int], Outcome] = {}
        for number, hosts in wanted.items():
            states = self.reader.redis.hmget(keys.steps(self.run.id, number), hosts)
            for host, state in zip(hosts, states, strict=True):
                outcome = state and decode_terminal(number, host, state.decode(), {})
                if outcome and outcome.status == "cancelled":
                    outcome = replace(outcome, result=self.reader.result(self.run.id, number, host))
                if outcome:
                    found[host, number] = outcome
        return found


def _pairs(words: Collection[bytes]) -> list[tuple[int, str]]:
    """``step|host`` as the ledger writes it."""
    split = [word.decode().partition("|") for word in words]
    return [(int(step), host) for step, _, host in split]


def _find(plan: Plan, number: int) -> tuple[Play, Step]:
    for play in plan.plays:
        for step in play.steps:
            if step.number == number:
                return play, step
    raise InputError(f"the run has no step {number}", remedy="`opsrunner show RUN` numbers them")
