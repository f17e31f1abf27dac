"""One JSON object per event as it comes: ``{"kind", "at", "id", …data}``; outcomes carry ``result`` too."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TextIO

from opsrunner.ledger.records import Event, RunRecord
from opsrunner.output.custom_stats import Tells, none
from opsrunner.output.follow import Answer, Stats


class JsonLines:
    """Writes every event; the last object is ``{"kind": "recap", …}``."""

    def __init__(self, stream: TextIO, custom: Tells = none) -> None:
        self._stream = stream
        self._custom = custom
        self._run = ""

    def _write(self, **data: Any) -> None:
        self._stream.write(json.dumps(data, ensure_ascii=True, default=str) + "\n")
        self._stream.flush()

    def begin(self, run: RunRecord) -> None:
        self._run = run.id

    def wants(self, event: Event) -> bool:
        return True

    def event(self, event: Event) -> None:
        data = {"kind": event.kind, "at": event.at, "id": event.id, "run": self._run, **event.data}
        if event.outcome:
            data["result"] = dict(event.outcome.result)
        self._write(**data)

    def tick(self, now: float) -> None:
        return None

    def end(self, run: RunRecord, stats: Stats) -> None:
        custom = self._custom(run)
        self._write(
            kind="recap",
            run=run.id,
            status=run.status,
            exit_code=run.exit_code,
            reason=run.reason,
            stats=stats,
            **({"custom_stats": custom} if custom else {}),
        )

    def aside(self, work: Callable[[], Answer]) -> Answer:
        """The document is on another stream."""
        return work()

    def abandon(self) -> None:
        return None
