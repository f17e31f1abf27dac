"""What there is to tell of a run, small enough for a message: plain data, read from the ledger."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable
from typing import Any

from opsrunner.ledger.reader import Reader
from opsrunner.ledger.records import STATS, Outcome, RunRecord
from opsrunner.output import wording
from opsrunner.output.accounting import account, sentence
from opsrunner.output.describe import BAD, failure_text, shown_status
from opsrunner.output.fold import Groups
from opsrunner.output.follow import Stats
from opsrunner.output.harmless import harmless_line, shortened

#: Groups of hosts that failed alike, and that have equal counts, which are told; results that are read to find them.
GROUPS = 10
RESULTS = 1000
#: Lines of what a host printed, and characters of one of them.
LINES, LINE = 8, 240
#: Characters of a folded list of hosts, of one in a sentence, and of other texts of one line.
NAMES, FEW_NAMES, WORDS = 160, 60, 400

Facts = dict[str, Any]


def facts_of(
    reader: Reader, run: RunRecord, event: str, *, web_url: str = "", previous: RunRecord | None = None
) -> Facts:
    """The facts of an event of a run. Raises redis' own errors and LedgerDamaged."""
    facts = {**header(run, event, now=reader.now(), web_url=web_url), "previous": previous.id if previous else ""}
    if event in ("start", "missed"):
        return facts
    bare: list[Outcome] = list(reader.outcomes(run.id, bare=True))
    stats = reader.stats(run)
    facts["counts"] = _counts(stats)
    rows = _recap(stats)
    facts["recap"], facts["groups"] = rows[:GROUPS], len(rows)
    facts["failures"], facts["more_failures"] = _failures(reader, run, bare)
    facts["accounting"] = sentence(account(run, bare))
    facts["meaning"] = _meaning(run, stats)
    facts["ending"] = f"{run.status} in {wording.duration(facts['run']['seconds'])}: {facts['meaning']}"
    if event == "still_running":
        facts["waiting_for"] = _at_work(reader, run)
    return facts


def header(run: RunRecord, event: str, *, now: float, web_url: str = "") -> Facts:
    """What the run's record alone tells, with every other fact empty."""
    begun = run.started or run.created
    return {
        "event": event,
        "run": {
            "id": run.id,
            "title": shortened(harmless_line(run.title), WORDS),
            "kind": run.kind,
            "status": run.status,
            "exit_code": run.exit_code,
            "user": harmless_line(run.user),
            "schedule": run.schedule or "",
            "check": run.check,
            "reason": shortened(harmless_line(run.reason or ""), WORDS),
            "hosts": run.hosts,
            "created": when(run.created),
            "started": when(run.started),
            "finished": when(run.finished),
            "seconds": round((now if run.finished is None else run.finished) - begun, 3),
        },
        "url": f"{web_url.rstrip('/')}/runs/{run.id}" if web_url else "",
        "counts": dict.fromkeys(("hosts", "good", "changed", *wording.TROUBLE), 0),
        "recap": [],
        "groups": 0,
        "failures": [],
        "more_failures": 0,
        "accounting": "",
        "ending": "",
        "meaning": "",
        "waiting_for": [],
        "previous": "",
    }


def without_output(facts: Facts) -> Facts:
    """The same without what hosts printed."""
    return {**facts, "failures": [{**failure, "message": ""} for failure in facts["failures"]]}


def when(seconds: float | None) -> str:
    """``2026-11-21 05:34:03 UTC``, "" for a time that has not come."""
    if seconds is None:
        return ""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _names(hosts: Collection[str], limit: int = NAMES) -> str:
    """As everywhere, ``web[01-20] (20)``; of many that do not fold well the first and how many there are."""
    folded = wording.folded(hosts)
    return folded if len(folded) <= limit else f"{folded[:limit].rpartition(',')[0]},… ({len(hosts)})"


def _meaning(run: RunRecord, stats: Stats) -> str:
    """``web[03,07] (2) failed; 1200 of 10000 hosts unreachable``: what the exit code says, in no more than a line."""
    parts = []
    for name, word in _TROUBLES:
        hosts = [host for host, counts in stats.items() if counts[name]]
        if hosts and run.status != "cancelled":
            folded = wording.folded(hosts)
            told = folded if len(folded) <= FEW_NAMES else f"{len(hosts)} of {len(stats)} hosts"
            parts.append(f"{told} {word}")
    return "; ".join(parts) or shortened(wording.exit_meaning(run.exit_code, stats), WORDS)


_TROUBLES = (("failures", "failed"), ("unreachable", "unreachable"), ("lost", "lost"))


def _counts(stats: Stats) -> dict[str, int]:
    """How many hosts there are, did well, changed, and went wrong in each way."""
    found = {name: sum(bool(counts[name]) for counts in stats.values()) for name in ("changed", *wording.TROUBLE)}
    good = sum(not wording.is_bad(counts) for counts in stats.values())
    return {"hosts": len(stats), "good": good, **found}


def _recap(stats: Stats) -> list[dict[str, Any]]:
    """Hosts with equal counts together, the biggest group first."""
    groups: Groups[tuple[int, ...]] = Groups()
    for host, counts in stats.items():
        groups.add(host, tuple(counts[name] for name in STATS))
    return [
        {"hosts": _names(hosts), "counts": dict(zip(STATS, counts, strict=True))}
        for hosts, counts in groups.biggest_first()
    ]


def _failures(reader: Reader, run: RunRecord, outcomes: Iterable[Outcome]) -> tuple[list[dict[str, Any]], int]:
    """The first groups of hosts that went wrong alike, and how many groups more there are.

    Of a great many only some results are read; the others come last, with no message.
    """
    names = {step.number: harmless_line(shortened(step.name, LINE)) for play in run.plays for step in play.steps}
    groups: Groups[tuple[int, str, str]] = Groups()
    read = 0
    for outcome in outcomes:
        if outcome.status not in BAD or outcome.mark is not None:
            continue
        text = ""
        if read < RESULTS:
            read += 1
            result = reader.result(run.id, outcome.step, outcome.host)
            told = failure_text(Outcome(outcome.step, outcome.host, outcome.status, result), lines=LINES)
            text = "\n".join(shortened(line, LINE) for line in told.split("\n")[: 2 * LINES])
        groups.add(outcome.host, (outcome.step, shown_status(outcome), text))
    rows = sorted(groups.biggest_first(), key=lambda row: not row[1][2])
    told_rows = [
        {
            "step": names.get(step, f"step {step}"),
            "number": step,
            "status": status,
            "hosts": _names(hosts),
            "count": len(hosts),
            "message": text,
        }
        for hosts, (step, status, text) in rows[:GROUPS]
    ]
    return told_rows, max(0, len(rows) - GROUPS)


def _at_work(reader: Reader, run: RunRecord) -> list[dict[str, Any]]:
    """The hosts whose commands run now, by step."""
    found = []
    for play in run.plays:
        for step in play.steps:
            hosts = [host for host, state in reader.states(run.id, step.number).items() if state.startswith("R|")]
            if hosts:
                name = harmless_line(shortened(step.name, LINE))
                found.append({"step": name, "hosts": _names(hosts)})
    return found[:GROUPS]


def samples() -> list[Facts]:
    """Facts of runs that never were: a failure and a success, for trying templates and for test messages."""
    failed = RunRecord(
        id="261121-023000-0000",
        status="failed",
        title="playbooks/restart.yml",
        kind="playbook",
        user="operator@example",
        created=1795226400.0,
        started=1795226400.0,
        finished=1795226585.0,
        exit_code=2,
        hosts=3,
        plays=(),
    )
    counts = {**dict.fromkeys(STATS, 0), "ok": 2, "failures": 1}
    facts = header(failed, "failure", now=1795226585.0, web_url="https://opsrunner.example.com")
    facts |= {
        "counts": {**facts["counts"], "hosts": 3, "good": 2, "failures": 1},
        "recap": [
            {"hosts": "web[01-02] (2)", "counts": {**counts, "failures": 0}},
            {"hosts": "web03", "counts": counts},
        ],
        "groups": 2,
        "failures": [
            {
                "step": "Restart the service",
                "number": 2,
                "status": "failed",
                "hosts": "web03",
                "count": 1,
                "message": "non-zero return code (rc 3)\nno such service",
            }
        ],
        "accounting": "3 hosts × 2 steps = 6: 6 recorded (5 ok, 1 failed)",
        "ending": "failed in 3 min 05 s: web03 failed",
        "meaning": "web03 failed",
    }
    good = {**facts, "event": "success", "run": {**facts["run"], "status": "succeeded", "exit_code": 0}}
    good |= {"failures": [], "ending": "succeeded in 3 min 05 s: all good", "meaning": "all good"}
    return [facts, {**good, "recap": good["recap"][:1]}]
