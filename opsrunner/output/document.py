"""The whole run as one JSON object: run, status, exit_code, plays with tasks with hosts, and stats."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, TextIO

from opsrunner.ledger.records import Event, Outcome, RunRecord
from opsrunner.output.custom_stats import custom_stats
from opsrunner.output.follow import Stats


def document(run: RunRecord, outcomes: Iterable[Outcome], stats: Stats) -> dict[str, Any]:
    """Each play's tasks in order, each with every host's result (Ansible's keys), ``status`` and ``mark``.

    Steps that no host took part in (a handler nobody notified) are left out, and ``custom_stats`` where none were set.
    """
    hosts_of: dict[int, dict[str, Any]] = {}
    outcomes = list(outcomes)
    for outcome in outcomes:
        hosts_of.setdefault(outcome.step, {})[outcome.host] = host_result(outcome)
    plays = [
        {
            "name": play.name,
            "tasks": [
                {
                    "step": step.number,
                    "name": step.name,
                    "module": step.module,
                    "place": step.place,
                    "handler": step.handler,
                    "hosts": hosts_of[step.number],
                }
                for step in play.steps
                if step.number in hosts_of
            ],
        }
        for play in run.plays
    ]
    custom = custom_stats(outcomes)
    return {
        "run": run.id,
        "title": run.title,
        "status": run.status,
        "exit_code": run.exit_code,
        "reason": run.reason,
        "plays": plays,
        "stats": stats,
        **({"custom_stats": custom} if custom else {}),
    }


def host_result(outcome: Outcome) -> dict[str, Any]:
    """The module's result with ``status``, ``mark`` and ``seconds``; a key of its own that is named so
    becomes ``module_status`` and the like (service reports a ``status``).
    """
    ours: dict[str, Any] = {"status": outcome.status}
    if outcome.mark:
        ours["mark"] = outcome.mark
    ours["seconds"] = round(max(0.0, outcome.ended - outcome.started), 6)
    theirs = {
        f"module_{key}" if key in ("status", "mark", "seconds") else key: value for key, value in outcome.result.items()
    }
    return {"changed": outcome.status == "changed", **theirs, **ours}


class Document:
    """Says nothing until the end, then everything."""

    def __init__(self, stream: TextIO, outcomes: Callable[[str], Iterable[Outcome]]) -> None:
        self._stream = stream
        self._outcomes = outcomes

    def begin(self, run: RunRecord) -> None:
        return None

    def event(self, event: Event) -> None:
        return None

    def tick(self, now: float) -> None:
        return None

    def end(self, run: RunRecord, stats: Stats) -> None:
        json.dump(document(run, self._outcomes(run.id), stats), self._stream, indent=2, default=str)
        self._stream.write("\n")
        self._stream.flush()

    def abandon(self) -> None:
        return None
