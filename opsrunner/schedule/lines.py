"""Schedules as lines of text and as documents. Pure: records in, lines out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from opsrunner.ledger.records import RunRecord
from opsrunner.output import wording
from opsrunner.output.harmless import harmless_line
from opsrunner.output.step_lines import Said
from opsrunner.output.tables import shortened_title, took
from opsrunner.schedule.decide import Entry
from opsrunner.schedule.overview import Standing


def standing_lines(standing: Standing) -> Iterator[Said]:
    """One schedule: when, its next three times, what came last, and what is in its way."""
    schedule = standing.schedule
    limit = f" --limit {schedule.limit}" if schedule.limit else ""
    added = "  (added at run time)" if standing.added else ""
    what = harmless_line(f"{schedule.playbook}{limit}")
    yield f"{schedule.name}  {schedule.when}  {schedule.timezone}  {what}{added}", "heading"
    if why := standing.why_not():
        yield f"  {why}", "waiting"
    overdue = standing.overdue()
    if overdue is not None:
        yield f"  late     due {wording.duration(overdue)} ago, and no beat has looked at it", "failed"
    upcoming = standing.next()
    if upcoming or standing.is_over():
        yield f"  next     {' · '.join(upcoming) or 'never again'}", "detail"
    for due in standing.state.waiting:
        yield f"  waiting  what was due at {standing.clock(due.at)}, for the run that goes on", "waiting"
    if standing.history:
        text, style = entry_text(standing, standing.history[0])
        yield f"  last     {text}", style


def history_lines(standing: Standing) -> Iterator[Said]:
    """What became of its due times, newest first."""
    for entry in standing.history:
        yield entry_text(standing, entry)


def entry_text(standing: Standing, entry: Entry) -> Said:
    """What became of one due time, and of its run if it had one."""
    due = standing.clock(entry.due)
    if entry.count > 1:
        due = f"{standing.clock(entry.since)} to {due} ({entry.count} times)"
    run = standing.runs.get(entry.run)
    why = harmless_line(entry.why)
    if entry.what in ("skipped", "missed", "refused"):
        return f"{due}  {entry.what}: {why}", "waiting" if entry.what == "skipped" else "failed"
    parts = [due, entry.what if run is None else run.status]
    if run and run.started is not None:
        parts.append(took(run, standing.now))
    if entry.at - entry.due >= 1:
        parts.append(f"{wording.duration(entry.at - entry.due)} late")
    if entry.what == "by hand":
        parts.append(why)
    return "  ".join((*parts, f"run {entry.run}")), run.status if run else "detail"


def standing_document(standing: Standing) -> dict[str, Any]:
    """As :func:`standing_lines`, for programs; times are seconds since the epoch, but for ``next``."""
    schedule = standing.schedule
    return {
        "name": schedule.name,
        "when": schedule.when,
        "timezone": schedule.timezone,
        "playbook": str(schedule.playbook),
        "limit": schedule.limit,
        "added": standing.added,
        "next": standing.next(),
        "overdue": standing.overdue(),
        "not_now": standing.why_not() or None,
        "going": list(standing.state.going),
        "waiting": [due.at for due in standing.state.waiting],
        "last": entry_document(standing, standing.history[0]) if standing.history else None,
    }


def entry_document(standing: Standing, entry: Entry) -> dict[str, Any]:
    """One entry of the history, with what came of its run."""
    run = standing.runs.get(entry.run)
    return {
        "what": entry.what,
        "due": entry.due,
        "at": entry.at,
        "late": max(0.0, entry.at - entry.due),
        "count": entry.count,
        "run": entry.run or None,
        "status": run.status if run else None,
        "exit_code": run.exit_code if run else None,
        "why": entry.why or None,
    }


def planned_lines(runs: Iterable[RunRecord]) -> Iterator[Said]:
    """Runs that wait for a time of their own."""
    for run in runs:
        yield f"{run.id}  {shortened_title(run)}  by {harmless_line(run.user)}", "detail"
