"""Lines that people read about many hosts: summaries, failures, recap. Pure: text in, text out, no colour."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from opsrunner.ledger.records import STATS, Outcome, RunRecord
from opsrunner.output.describe import BAD, TAIL, diff_text, failure_text, items_of, shown_status
from opsrunner.output.fold import Groups, label, named, nameless
from opsrunner.output.harmless import harmless_line

#: Order in which a step's outcomes are told.
ORDER = ("ok", "changed", "skipped", "failed (ignored)", "unreachable (ignored)", "failed (rescued)")
_RANK = {status: number for number, status in enumerate((*ORDER, *BAD))}

#: What a host's counts mean for the run; worst last.
TROUBLE = ("failures", "unreachable", "lost", "cancelled")

_MEANINGS = {1: "unexpected error", 2: "failed", 4: "unreachable", 8: "lost: nobody knows what came of its command"}

#: Codes of a scheduled run that could not even begin; they are no sum of bits.
_NEVER_BEGAN = {65: "bad input, nothing was begun", 69: "no broker or no worker, nothing was begun"}


def folded(hosts: Iterable[str]) -> str:
    """``web[01-20] (20)``; a single host without its count. Harmless to print."""
    return harmless_line(label(hosts))


def summary(outcomes: Iterable[Outcome]) -> list[tuple[str, str]]:
    """(status, ``web[01-20] (20)``) of one step, good news first."""
    by_status: dict[str, list[str]] = {}
    for outcome in outcomes:
        by_status.setdefault(shown_status(outcome), []).append(outcome.host)
    return [(status, folded(by_status[status])) for status in sorted(by_status, key=lambda one: _RANK.get(one, 99))]


def failures(outcomes: Iterable[Outcome], *, lines: int = TAIL) -> list[tuple[str, str, str]]:
    """(status, folded hosts, reason) of what went wrong, hosts with the same reason together.

    That of hosts that were not reached may differ in their own names: it stands there once, and says HOST.
    """
    groups: Groups[tuple[str, str]] = Groups()
    for outcome in outcomes:
        if outcome.status in BAD:
            reason = failure_text(outcome, lines=lines)
            if outcome.status == "unreachable":
                reason = nameless(reason, outcome.host)
            groups.add(outcome.host, (shown_status(outcome), reason))
    return [(status, folded(hosts), named(reason, hosts)) for hosts, (status, reason) in groups.biggest_first()]


def differences(outcomes: Iterable[Outcome]) -> list[tuple[list[str], str]]:
    """(hosts, unified diffs) of what a step changed, hosts with the same changes together."""
    # Compared as they came: a thousand equal files are put side by side only once.
    groups: Groups[str] = Groups()
    samples: dict[str, Outcome] = {}
    for outcome in outcomes:
        found = [one["diff"] for one in (outcome.result, *items_of(outcome.result)) if one.get("diff")]
        if found:
            key = json.dumps(found, sort_keys=True, default=str)
            groups.add(outcome.host, key)
            samples.setdefault(key, outcome)
    told = ((hosts, diff_text(samples[key].result)) for hosts, key in groups.biggest_first())
    return [(hosts, text) for hosts, text in told if text]


def recap(stats: Mapping[str, Mapping[str, int]]) -> list[tuple[str, str, dict[str, int]]]:
    """Hosts with equal counts together: (``web[01-20] (20)``, the counts in words, the counts).

    The words stand in columns, with Ansible's names; our own ``lost`` and ``cancelled`` come where
    there is any. The biggest group comes first.
    """
    groups: Groups[tuple[int, ...]] = Groups()
    for host, one in stats.items():
        groups.add(host, tuple(one[name] for name in STATS))
    rows = groups.biggest_first()
    shown = [
        index
        for index, name in enumerate(STATS)
        if name not in ("lost", "cancelled") or any(row[1][index] for row in rows)
    ]
    widths = {index: max((len(str(row[1][index])) for row in rows), default=1) for index in shown}
    names = [folded(hosts) for hosts, _ in rows]
    # A long list of hosts must not push everybody's counts out of sight.
    margin = min(44, max((len(name) for name in names), default=0))
    found = []
    for name, (_, counts) in zip(names, rows, strict=True):
        words = "  ".join(f"{_recap_name(STATS[index])}={counts[index]:<{widths[index]}}" for index in shown).rstrip()
        found.append((f"{name:<{margin}}", words, dict(zip(STATS, counts, strict=True))))
    return found


def ending(run: RunRecord, stats: Mapping[str, Mapping[str, int]]) -> list[str]:
    """The last lines: how it ended, what the exit code means, how to see more."""
    if run.finished is None:
        return [f"{run.status} so far", f"more: opsrunner watch {run.id}"]
    took = f" in {duration(run.finished - (run.started or run.created))}"
    if run.started is None and run.due is not None:
        took = " before its time came"
    lines = [f"{run.status}{took}, exit code {run.exit_code}: {exit_meaning(run.exit_code, stats)}"]
    if run.reason:
        lines.append(harmless_line(f"stopped early: {run.reason}" if run.status == "stopped" else run.reason))
    if run.exit_code:
        bad = next((host for host, counts in stats.items() if is_bad(counts)), None)
        logs = f" · opsrunner logs {run.id} --host {harmless_line(bad)}" if bad else ""
        lines.append(f"more: opsrunner show {run.id}{logs}")
    return lines


def exit_meaning(code: int | None, stats: Mapping[str, Mapping[str, int]]) -> str:
    """``web07 failed; db[1-2] (2) unreachable``: the exit code's bits with the hosts that set them."""
    if code is None:
        return "not over"
    if code == 0:
        return "all good"
    if code == 99:
        return "interrupted or cancelled"
    if code in _NEVER_BEGAN:
        return _NEVER_BEGAN[code]
    parts = []
    for bit, name in ((2, "failures"), (4, "unreachable"), (8, "lost")):
        if code & bit:
            hosts = [host for host, counts in stats.items() if counts[name]]
            parts.append(f"{folded(hosts)} {_MEANINGS[bit]}" if hosts else f"some host {_MEANINGS[bit]}")
    return "; ".join(parts) or _MEANINGS.get(code, "unexpected error")


def is_bad(counts: Mapping[str, int]) -> bool:
    """The host failed, was unreachable, lost or cancelled somewhere."""
    return any(counts[name] for name in TROUBLE)


def duration(seconds: float) -> str:
    """``0.42 s``, ``12 s``, ``3 min 05 s``, ``2 h 03 min``."""
    if seconds < 9.995:
        return f"{max(0.0, seconds):.2f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def indented(text: str, by: str = "    ") -> list[str]:
    return [by + line for line in text.split("\n")] if text else []


def hosts_of(run: RunRecord) -> str:
    """How many hosts a run is for, as far as that is decided."""
    so_far = " so far" * any(play.undecided for play in run.plays)
    return f"{run.hosts} host{'s' * (run.hosts != 1)}{so_far}"


def heading(words: Sequence[str]) -> str:
    return " · ".join(harmless_line(word) for word in words if word)


def _recap_name(name: str) -> str:
    return "failed" if name == "failures" else name
