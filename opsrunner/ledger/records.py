"""What the ledger holds, as plain frozen records; no I/O here.

A *result* is the dict a module returns, with Ansible's names (``rc``, ``stdout``, ``changed`` …).
An *outcome* is the ledger's word on one host × step. An *event* is one line of the run's stream:
small, a hint that something happened; the outcome it tells of stands in the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

from msgspec import Struct, field

Status = Literal["ok", "changed", "skipped", "failed", "unreachable", "lost", "cancelled"]
STATUSES: tuple[Status, ...] = ("ok", "changed", "skipped", "failed", "unreachable", "lost", "cancelled")
#: Outcomes after which a host goes on (``failed`` does too when it is ignored or rescued).
GOOD: frozenset[Status] = frozenset(("ok", "changed", "skipped"))

Result = dict[str, Any]
RunStatus = Literal[
    "scheduled", "submitted", "running", "cancelling", "succeeded", "failed", "cancelled", "stopped", "held"
]
#: States of a run in which nothing more will happen to it.
ENDED: frozenset[str] = frozenset(("succeeded", "failed", "cancelled", "stopped", "held"))

#: Marks on an outcome: ``ignored`` and ``rescued`` on ``failed`` (or ``unreachable``), ``delegated``.
Mark = Literal["ignored", "rescued"]


class Outcome(Struct, frozen=True):
    """What came of one host × step.

    ``result`` is what may be shown: with ``no_log`` it holds only ``censored``, ``changed`` and the
    like. Times are seconds since the epoch.
    """

    step: int
    host: str
    status: Status
    result: Mapping[str, Any] = field(default_factory=dict)
    mark: Mark | None = None
    started: float = 0.0
    ended: float = 0.0
    worker: str = ""


EventKind = Literal[
    "run_started",  # playbook, plays
    "play_started",  # play (number), name, hosts (count)
    "batch_started",  # play, batch (from 0), batches (count), hosts (names)
    "step_started",  # play, batch, step (number), hosts (names that take part)
    "host_started",  # step, host, worker: the command is about to be sent
    "output",  # step, host, stream, text: live output of a step that takes long
    "outcome",  # step, host, status, mark, worker, seconds
    "question",  # question (its name), text, echo: whether the answer may be seen: a step asks the operator
    "notice",  # text, level ("info" | "warning"): e.g. a dead worker, a held run
    "run_finished",  # status, exit_code
]


class Event(Struct, frozen=True):
    """One thing that happened. ``data`` holds what the comment at :data:`EventKind` lists.

    ``id`` is the place in the stream (ordered, usable as "after this one"); ``at`` is seconds
    since the epoch on Redis' clock. An ``outcome`` event that a reader asked to be completed
    carries the :class:`Outcome` too.
    """

    id: str
    at: float
    kind: EventKind
    data: dict[str, Any]
    outcome: Outcome | None = None
    #: Of an outcome: that it was good is all that there is to be said of it, but for what the host printed.
    quiet: bool = False


def bare_outcome(event: Event) -> Outcome:
    """The outcome as far as its event tells it."""
    data = event.data
    return Outcome(data["step"], data["host"], data["status"], {}, data.get("mark"), worker=data.get("worker", ""))


class StepOutline(Struct, frozen=True):
    """What readers need of a step: no argument, no variable, nothing that could be secret."""

    number: int
    name: str
    module: str
    place: str
    section: Literal["pre_tasks", "tasks", "post_tasks", "gate", "handlers"] = "tasks"
    handler: bool = False
    #: The innermost part of a block that only some hosts come through, if it stands in one.
    part: Literal["", "block", "rescue", "always", "included", "role"] = ""
    #: One host of the batch speaks for all.
    once: bool = False


class PlayOutline(Struct, frozen=True):
    number: int
    name: str
    hosts: tuple[str, ...]
    batches: tuple[int, ...]  # how many hosts each batch has
    steps: tuple[StepOutline, ...]
    strategy: str = "linear"
    #: Who it is for is decided when the run gets there.
    undecided: bool = False


class RunRecord(Struct, frozen=True):
    """A run as ``runs``, ``show`` and the reports see it. Times are seconds since the epoch."""

    id: str
    status: RunStatus
    title: str  # the playbook's path as given, or the ad hoc command
    kind: Literal["playbook", "exec"]
    user: str
    created: float
    started: float | None
    finished: float | None
    exit_code: int | None
    hosts: int
    plays: tuple[PlayOutline, ...]
    schedule: str | None = None
    check: bool = False
    #: Why the run stands or ended as it did, where there is something to say.
    reason: str | None = None
    #: When it was to begin, where that was said.
    due: float | None = None


#: Order and names of a host's counts, as Ansible's recap has them, and two of ours.
STATS = ("ok", "changed", "unreachable", "failures", "skipped", "rescued", "ignored", "lost", "cancelled")


def empty_stats() -> dict[str, int]:
    return dict.fromkeys(STATS, 0)


class _HasSteps(Protocol):
    @property
    def steps(self) -> Sequence[Any]: ...


def uncounted(plays: Iterable[_HasSteps]) -> frozenset[int]:
    """Numbers of the steps that steer a play (meta): Ansible's recap passes over what they came to when it was good."""
    return frozenset(step.number for play in plays for step in play.steps if step.module == "meta")


def count(stats: dict[str, int], status: Status, mark: Mark | None, times: int = 1) -> None:
    """Add an outcome, so many times, to a host's counts, by the rules of Ansible's recap.

    ``changed`` counts as ok too. What is ignored, a failure or an unreachable host, counts as ok and
    ignored; a failure that is rescued as rescued only.
    """
    if status == "changed":
        stats["ok"] += times
        stats["changed"] += times
    elif status in ("failed", "unreachable") and mark == "ignored":
        stats["ok"] += times
        stats["ignored"] += times
    elif status == "failed":
        stats["rescued" if mark == "rescued" else "failures"] += times
    else:
        stats[status] += times


#: Bits of the exit code that outcomes set; they add up.
EXIT_FAILED, EXIT_UNREACHABLE, EXIT_LOST, EXIT_CANCELLED = 2, 4, 8, 99


def exit_code(stats: dict[str, dict[str, int]], *, cancelled: bool = False) -> int:
    """0 all good · 2 some host failed · 4 unreachable · 8 lost (they add up) · 99 cancelled."""
    if cancelled:
        return EXIT_CANCELLED
    code = 0
    for counts in stats.values():
        if counts["failures"]:
            code |= EXIT_FAILED
        if counts["unreachable"]:
            code |= EXIT_UNREACHABLE
        if counts["lost"]:
            code |= EXIT_LOST
    return code


def as_variable(result: Result) -> Result:
    """What later steps see of a result that was registered: nothing that is for displays only."""
    found = {key: value for key, value in result.items() if not key.startswith("_ansible_")}
    if isinstance(found.get("results"), list):
        found["results"] = [as_variable(one) if isinstance(one, dict) else one for one in found["results"]]
    return found
