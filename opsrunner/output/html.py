"""A run as one HTML page that needs nothing else: no script, no font, no server."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2

from opsrunner.ledger.records import GOOD, STATS, Outcome, RunRecord, StepOutline, count, empty_stats, uncounted
from opsrunner.output import wording
from opsrunner.output.accounting import account, sentence
from opsrunner.output.describe import BAD, output_text
from opsrunner.output.fold import Groups, group_by_text
from opsrunner.output.harmless import harmless_line

#: Lines of a failed host's output in the page.
FAILURE_LINES = 200


def document(run: RunRecord, outcomes: Iterable[Outcome], *, zone: datetime.tzinfo | None = datetime.UTC) -> str:
    """The page's text; ``outcomes`` must come in step order, times are shown in ``zone`` (None: here)."""
    bare: list[Outcome] = []
    steps = {number: _step(list(_noting(group, bare))) for number, group in groupby(outcomes, key=lambda one: one.step)}
    stats = _stats(run, bare)
    return (
        _environment()
        .get_template("report.html")
        .render(
            run=run,
            when=_when(run.started or run.created, zone),
            took="" if run.started is None or run.finished is None else wording.duration(run.finished - run.started),
            steps=steps,
            recap=_recap(stats),
            stat_names=["failed" if name == "failures" else name for name in STATS],
            accounting=sentence(account(run, bare)),
            ending=wording.ending(run, stats)[0],
        )
    )


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["line"] = harmless_line
    environment.filters["folded"] = wording.folded
    environment.filters["step_name"] = _step_name
    return environment


def _step_name(step: StepOutline) -> str:
    return harmless_line(f"handler {step.name}" if step.handler else step.name)


def _noting(outcomes: Iterable[Outcome], bare: list[Outcome]) -> Iterable[Outcome]:
    """Pass outcomes on and keep what counting needs, without the results."""
    for outcome in outcomes:
        bare.append(Outcome(outcome.step, outcome.host, outcome.status, {}, outcome.mark))
        yield outcome


def _step(outcomes: list[Outcome]) -> dict[str, Any]:
    """What the page shows of a step: plain text only, escaped by the template."""
    good = [one for one in outcomes if one.status not in BAD]
    failures = wording.failures(outcomes, lines=FAILURE_LINES)
    told = {status for status, _, _ in failures}
    return {
        "summary": [
            (status.partition(" ")[0], status, hosts)
            for status, hosts in wording.summary(outcomes)
            if status not in told
        ],
        "failures": failures,
        "differences": wording.differences(outcomes),
        "outputs": [(hosts, text) for hosts, text in _output_groups(good) if text],
        "seconds": wording.duration(max(one.ended for one in outcomes) - min(one.started for one in outcomes)),
    }


def _output_groups(outcomes: Iterable[Outcome]) -> list[tuple[list[str], str]]:
    return list(group_by_text(((one.host, one) for one in outcomes), output_text))


def _stats(run: RunRecord, outcomes: Iterable[Outcome]) -> dict[str, dict[str, int]]:
    stats = {host: empty_stats() for play in run.plays for host in play.hosts}
    steering = uncounted(run.plays)
    for outcome in outcomes:
        if outcome.step in steering and outcome.status in GOOD:
            continue
        count(stats.setdefault(outcome.host, empty_stats()), outcome.status, outcome.mark)
    return stats


def _recap(stats: Mapping[str, Mapping[str, int]]) -> list[tuple[str, list[int], bool]]:
    groups: Groups[tuple[int, ...]] = Groups()
    for host, counts in stats.items():
        groups.add(host, tuple(counts[name] for name in STATS))
    return [
        (wording.folded(hosts), list(counts), wording.is_bad(dict(zip(STATS, counts, strict=True))))
        for hosts, counts in groups.biggest_first()
    ]


def _when(seconds: float, zone: datetime.tzinfo | None) -> str:
    return datetime.datetime.fromtimestamp(seconds, zone).strftime("%Y-%m-%d %H:%M:%S %Z").strip()
