"""Every host × step of a run accounted for: what has an outcome, and why the rest has none. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct, field

from opsrunner.ledger.records import ENDED, GOOD, STATUSES, Mark, Outcome, PlayOutline, RunRecord, Status, StepOutline

#: Why a host × step has no outcome, in the order told.
AFTER: dict[str, str] = {
    "failed": "after a failure",
    "unreachable": "after the host was unreachable",
    "lost": "after a command was lost",
    "cancelled": "cancelled",
}
LEFT = "left for a rescue"
UNNOTIFIED = "handler not notified"
UNNEEDED = "rescue not needed"
NOT_INCLUDED = "not included"
ELSEWHERE = "done once for all by another host"
ENDED_EARLY = "the play was ended"
ROLE_ENDED = "the role was ended"
STOPPED = "the run was stopped"
NOT_YET = "not yet"
REASONS = (
    *AFTER.values(),
    LEFT,
    UNNOTIFIED,
    UNNEEDED,
    NOT_INCLUDED,
    ROLE_ENDED,
    ELSEWHERE,
    ENDED_EARLY,
    STOPPED,
    NOT_YET,
)

_Word = tuple[Status, Mark | None]
#: Beyond every step: a host that nothing ended.
_NEVER = 1 << 62


class Accounting(Struct):
    """``factors`` holds (hosts, steps) of each play; its products add up to everything counted below."""

    factors: list[tuple[int, int]] = field(default_factory=list)
    recorded: Counter[str] = field(default_factory=Counter)
    unreached: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return sum(hosts * steps for hosts, steps in self.factors)

    @property
    def complete(self) -> bool:
        """Whether it adds up: false only where the ledger holds an outcome of a host or step not targeted."""
        return self.total == self.recorded.total() + self.unreached.total()


def account(run: RunRecord, outcomes: Iterable[Outcome]) -> Accounting:
    """Count every host × step of ``run`` once: by its status, or by the reason it was never reached."""
    words: dict[str, dict[int, _Word]] = {}
    result = Accounting()
    for outcome in outcomes:
        words.setdefault(outcome.host, {})[outcome.step] = (outcome.status, outcome.mark)
        result.recorded[outcome.status] += 1
    #: Host → status that ended it in an earlier play.
    ended: dict[str, Status] = {}
    for play in run.plays:
        result.factors.append((len(play.hosts), len(play.steps)))
        for_all = [step.number for step in play.steps if step.module == "meta" and step.once]
        over = any(words.get(host, {}).get(number) == ("ok", None) for number in for_all for host in play.hosts)
        for batch in _batches(play):
            _count_batch(run, play.steps, batch, words, ended, result.unreached, over)
    return result


def sentence(accounting: Accounting) -> str:
    """``6 hosts × 8 steps = 48: 36 recorded (30 ok, 6 changed), 12 not reached (12 handler not notified)``."""
    product = " + ".join(f"{_many(hosts, 'host')} × {_many(steps, 'step')}" for hosts, steps in accounting.factors)
    recorded = _listed(accounting.recorded, STATUSES)
    unreached = _listed(accounting.unreached, REASONS)
    text = f"{product or 'no play'} = {accounting.total}: {accounting.recorded.total()} recorded{recorded}"
    if accounting.unreached:
        text += f", {accounting.unreached.total()} not reached{unreached}"
    return text if accounting.complete else f"{text}; this does not add up"


def _many(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def _listed(counts: Counter[str], order: Sequence[str]) -> str:
    shown = [f"{counts[name]} {name}" for name in order if counts[name]]
    return f" ({', '.join(shown)})" if shown else ""


def _batches(play: PlayOutline) -> Iterator[Sequence[str]]:
    begin = 0
    for size in play.batches:
        yield play.hosts[begin : begin + size]
        begin += size


def _count_batch(
    run: RunRecord,
    steps: Sequence[StepOutline],
    batch: Sequence[str],
    words: dict[str, dict[int, _Word]],
    ended: dict[str, Status],
    unreached: Counter[str],
    over: bool,
) -> None:
    # What a run-once step came to holds for the whole batch.
    shared = {
        step.number: words[host][step.number]
        for step in steps
        if step.once
        for host in batch
        if step.number in words.get(host, {})
    }
    for host in batch:
        own = words.get(host, {})
        unreached.update(_reasons(run, steps, own, {**shared, **own}, ended.get(host), over))
        stop = _end_of(steps, {**shared, **own})
        if stop:
            ended.setdefault(host, stop[1])


def _end_of(steps: Sequence[StepOutline], words: dict[int, _Word]) -> tuple[int, Status] | None:
    """The first step after which the host could only go through always parts and forced handlers."""
    for step in steps:
        status, mark = words.get(step.number, ("ok", None))
        if status not in GOOD and mark is None:
            return step.number, status
    return None


def _reasons(
    run: RunRecord,
    steps: Sequence[StepOutline],
    own: dict[int, _Word],
    known: dict[int, _Word],
    ended: Status | None,
    over: bool,
) -> Iterator[str]:
    """Why each step that the host has no outcome of has none; ``known`` adds what holds for its batch.

    ``over``: some batch ended the play for all.
    """
    stop = (-1, ended) if ended else _end_of(steps, known)
    end, why = stop or (_NEVER, "failed")
    missing = [step for step in steps if step.number not in own]
    last = max((step.number for step in steps if step.number in known), default=-1)
    rescued = [number for number, (_, mark) in known.items() if mark == "rescued"]
    plain = (
        step
        for step in missing
        if not (step.handler or step.part in ("rescue", "included", "role") or step.number in known)
    )
    halted = run.status not in ENDED or any(step.number > last and not (step.part and rescued) for step in plain)
    steered = any(step.number == last and step.module == "meta" for step in steps) or (last == -1 and over)
    tail = ENDED_EARLY if steered and run.status in ENDED else _tail_reason(run)
    for step in missing:
        if step.number > end:
            yield AFTER[why]
        elif step.number in known:
            yield ELSEWHERE
        elif halted and step.number > last:
            yield tail
        elif step.handler:
            yield UNNOTIFIED
        elif step.part == "included" and not rescued:
            yield NOT_INCLUDED
        elif step.part == "role" and not rescued:
            yield ROLE_ENDED
        elif step.part == "rescue" and not any(number < step.number for number in rescued):
            yield UNNEEDED
        else:
            yield LEFT if rescued else _tail_reason(run)


def _tail_reason(run: RunRecord) -> str:
    if run.status not in ENDED:
        return NOT_YET
    return AFTER["cancelled"] if run.status == "cancelled" else STOPPED
