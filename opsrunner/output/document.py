"""The whole run as one JSON object: run, status, exit_code, plays with tasks with hosts, and stats."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TextIO

from opsrunner.ledger.records import Event, Outcome, RunRecord
from opsrunner.output.custom_stats import CustomStats, custom_stats
from opsrunner.output.follow import Answer, Stats

#: The indents of a task's keys and of its hosts.
_TASK: Final = " " * 10
_HOST: Final = " " * 12


def document(run: RunRecord, outcomes: Iterable[Outcome], stats: Stats) -> dict[str, Any]:
    """Each play's tasks in order, each with every host's result (Ansible's keys), ``status`` and ``mark``.

    Steps that no host took part in (a handler nobody notified) are left out, and ``custom_stats`` where none were set.
    """
    hosts_of: dict[int, dict[str, Any]] = {}
    outcomes = list(outcomes)
    for outcome in outcomes:
        hosts_of.setdefault(outcome.step, {})[outcome.host] = host_result(outcome)
    return _document(run, hosts_of, stats, custom_stats(outcomes))


def written(run: RunRecord, outcomes: Iterable[Outcome], stats: Stats) -> list[str]:
    """:func:`document` as JSON, in pieces, with a line for each host's result.

    A result is text as soon as it is read: a million of them take a fraction of the memory then.
    """
    lines_of: dict[int, list[str]] = {}

    def noted() -> Iterator[Outcome]:
        for outcome in outcomes:
            line = f"{json.dumps(outcome.host)}: {json.dumps(host_result(outcome), default=str)}"
            lines_of.setdefault(outcome.step, []).append(line)
            yield outcome

    custom = custom_stats(noted())
    # No name of a task can hold this mark: whoever wrote the playbook does not know it.
    mark = secrets.token_hex(8)
    places = {number: f"{mark} {number}" for number in lines_of}
    outline = json.dumps(_document(run, places, stats, custom), indent=2, default=str)
    parts = re.split(rf'"{mark} (\d+)"', outline)
    for i in range(1, len(parts), 2):
        lines = f",\n{_HOST}".join(lines_of.pop(int(parts[i])))
        parts[i] = f"{{\n{_HOST}{lines}\n{_TASK}}}"
    return [*parts, "\n"]


def _document(run: RunRecord, hosts_of: Mapping[int, Any], stats: Stats, custom: CustomStats) -> dict[str, Any]:
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

    def wants(self, event: Event) -> bool:
        return False

    def event(self, event: Event) -> None:
        return None

    def tick(self, now: float) -> None:
        return None

    def end(self, run: RunRecord, stats: Stats) -> None:
        # Read to its end before the first word is written: it is read anew when Redis goes away meanwhile.
        self._stream.writelines(written(run, self._outcomes(run.id), stats))
        self._stream.flush()

    def aside(self, work: Callable[[], Answer]) -> Answer:
        """The document is on another stream."""
        return work()

    def abandon(self) -> None:
        return None
