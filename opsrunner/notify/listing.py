"""Notifications as lines of text. Pure: records in, lines out."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence

from opsrunner.notify.outbox import Notification
from opsrunner.output.harmless import harmless_line
from opsrunner.output.tables import when


def table(found: Sequence[Notification], zone: datetime.tzinfo | None = None) -> Iterator[str]:
    """A heading and a line for each, times in ``zone`` (None: here); one line that says so where there is none."""
    if not found:
        yield "nobody was told of anything yet"
        return
    rows = [("WHEN", "RUN", "EVENT", "NOTIFIER", "STATE", "TRIES", "")]
    rows += [
        (when(one.created, zone), one.run, one.event, one.notifier, one.state, str(one.attempts), _more(one, zone))
        for one in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield harmless_line("  ".join((*cells, row[6])).rstrip())


def _more(one: Notification, zone: datetime.tzinfo | None) -> str:
    due = f"next try {when(one.due, zone)}" if one.due is not None and one.attempts else ""
    return "; ".join(part for part in (due, one.note) if part)
