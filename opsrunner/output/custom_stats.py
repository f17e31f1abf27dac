"""What ``set_stats`` set in a run, put together as Ansible does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from opsrunner.ledger.following import Ledger
from opsrunner.ledger.records import Outcome, RunRecord
from opsrunner.output.harmless import harmless_line

#: Where figures are kept that belong to no host, as in Ansible's ``custom_stats``.
RUN = "_run"

CustomStats = dict[str, dict[str, Any]]
#: What tells a run's custom stats when it has ended.
Tells = Callable[[RunRecord], CustomStats]


def none(run: RunRecord) -> CustomStats:
    """For a view that is asked of a run that has none."""
    return {}


def teller(ledger: Ledger) -> Tells:
    """Reads the steps that set some, and nothing else."""

    def tell(run: RunRecord) -> CustomStats:
        steps = [step.number for play in run.plays for step in play.steps if step.module == "set_stats"]
        return custom_stats(one for number in steps for one in ledger.outcomes(run.id, step=number))

    return tell


def lines(stats: CustomStats) -> Iterator[str]:
    """``host: name=value``, for the end of what is told of a run."""
    for host in sorted(stats, key=lambda name: (name == RUN, name)):
        said = "  ".join(f"{name}={json.dumps(value, default=str)}" for name, value in sorted(stats[host].items()))
        yield harmless_line(f"{'run' if host == RUN else host}: {said}")


def custom_stats(outcomes: Iterable[Outcome]) -> CustomStats:
    """Host (or :data:`RUN`) → name → value, of outcomes in the order of steps, then of hosts; {} where none was set."""
    found: CustomStats = {}
    for outcome in outcomes:
        if outcome.status not in ("ok", "changed"):
            continue
        results = outcome.result.get("results")
        for one in results if isinstance(results, list) else [outcome.result]:
            stats = one.get("ansible_stats") if isinstance(one, Mapping) else None
            if isinstance(stats, Mapping) and isinstance(stats.get("data"), Mapping):
                _add(found, outcome.host, stats)
    return found


def _add(found: CustomStats, host: str, stats: Mapping[str, Any]) -> None:
    for name, value in stats["data"].items():
        kept = found.setdefault(host if stats.get("per_host") else RUN, {})
        kept[name] = _sum(kept[name], value) if stats.get("aggregate") and name in kept else value


def _sum(before: Any, value: Any) -> Any:
    """Both together; what was there before where they are not of one kind."""
    if not isinstance(value, type(before)):
        return before
    if isinstance(value, Mapping):
        return {**before, **value}
    try:
        return before + value
    except TypeError:
        return value
