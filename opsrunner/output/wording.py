"""Lines that people read: summaries, failures, outputs, recap. Pure: text in, text out, no colour."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from opsrunner.ledger.records import STATS, Outcome, RunRecord
from opsrunner.output.fold import fold_names, group_by_text
from opsrunner.output.harmless import harmless
from opsrunner.output.progress import StepProgress, shown_status

#: Lines of a failed host's stderr or stdout shown with its failure.
TAIL = 8
BAD = ("failed", "unreachable", "lost", "cancelled")
#: Order in which a step's outcomes are told.
ORDER = ("ok", "changed", "skipped", "failed (ignored)", "failed (rescued)", *BAD)

_MEANINGS = {
    0: "all good",
    1: "unexpected error",
    2: "some host failed",
    4: "some host was unreachable",
    6: "some host failed, some was unreachable",
    8: "some host was lost: nobody knows what came of its command",
    10: "some host failed, some was lost",
    12: "some host was unreachable, some was lost",
    14: "some host failed, some was unreachable, some was lost",
    99: "cancelled",
}


def folded(hosts: Iterable[str]) -> str:
    """``web[01-20] (20)``; a single host without its count."""
    names = list(hosts)
    return fold_names(names) if len(names) == 1 else f"{fold_names(names)} ({len(names)})"


def step_summary(step: StepProgress) -> list[tuple[str, str]]:
    """(status, ``web[01-20] (20)``) of a finished step, good news first."""
    by_status: dict[str, list[str]] = {}
    for host, outcome in step.outcomes.items():
        by_status.setdefault(shown_status(outcome), []).append(host)
    rank = {status: number for number, status in enumerate(ORDER)}
    return [(status, folded(by_status[status])) for status in sorted(by_status, key=lambda one: rank.get(one, 99))]


def failure_text(outcome: Outcome) -> str:
    """Why a host did not do well, ready to be folded with others that say the same."""
    result = outcome.result
    if isinstance(result.get("results"), list):
        parts = []
        for item in result["results"]:
            if isinstance(item, dict) and item.get("failed"):
                name = item.get(str(item.get("ansible_loop_var", "item")))
                parts.append(f"item {_brief(name)}: {_reason(item)}")
        if parts:
            return harmless("\n".join(parts))
    return harmless(_reason(result))


def _reason(result: dict[str, Any]) -> str:
    head = str(result.get("msg", "")).strip()
    rc = result.get("rc")
    if rc not in (None, 0):
        head = f"{head} (rc {rc})" if head else f"rc {rc}"
    lines = [head] if head else []
    for stream in ("stderr", "stdout"):
        text = str(result.get(stream) or "").strip("\n")
        if text:
            shown = text.splitlines()
            lines += (["…"] if len(shown) > TAIL else []) + shown[-TAIL:]
            break
    if result.get("remedy"):
        lines.append(f"try: {result['remedy']}")
    return "\n".join(lines) or "no reason given"


def exec_failure(outcome: Outcome) -> str:
    """A first line that says what happened, then all that the host printed."""
    result = outcome.result
    rc = result.get("rc")
    why = f"rc {rc}" if rc not in (None, 0) else harmless(str(result.get("msg", "")))
    lines = [f"{outcome.status}: {why}"]
    lines += [harmless(str(result[stream]).rstrip("\n")) for stream in ("stdout", "stderr") if result.get(stream)]
    if result.get("remedy"):
        lines.append(f"try: {result['remedy']}")
    return "\n".join(lines)


def _brief(value: Any, width: int = 60) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= width else text[: width - 1] + "…"


def failures(outcomes: Iterable[Outcome]) -> list[tuple[str, str, str]]:
    """(status, folded hosts, reason) of what went wrong, hosts with the same reason together."""
    found: list[tuple[str, str, str]] = []
    by_status: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.status in BAD:
            by_status.setdefault(shown_status(outcome), []).append(outcome)
    for status, bad in by_status.items():
        for hosts, reason in group_by_text((outcome.host, failure_text(outcome)) for outcome in bad):
            found.append((status, folded(hosts), reason))
    return found


def output_text(outcome: Outcome) -> str:
    """What a host printed (or what debug said), for -v and for exec."""
    result = outcome.result
    if isinstance(result.get("results"), list):
        items = [output_text(Outcome(outcome.step, outcome.host, outcome.status, item)) for item in result["results"]]
        return "\n".join(text for text in items if text)
    parts = [str(result[stream]).rstrip("\n") for stream in ("stdout", "stderr") if result.get(stream)]
    if not parts and "msg" in result and outcome.status not in BAD:
        message = result["msg"]
        parts = [
            message if isinstance(message, str) else json.dumps(message, indent=2, ensure_ascii=False, default=str)
        ]
    return harmless("\n".join(parts))


def recap(stats: dict[str, dict[str, int]]) -> list[tuple[str, dict[str, int]]]:
    """Hosts with equal counts together: (folded hosts, their counts), in order of appearance."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for host, counts in stats.items():
        groups.setdefault(tuple(counts[name] for name in STATS), []).append(host)
    return [(folded(hosts), dict(zip(STATS, counts, strict=True))) for counts, hosts in groups.items()]


def recap_counts(counts: dict[str, int]) -> str:
    """``ok=5 changed=2 failed=0 unreachable=0`` and whatever else is not zero, with Ansible's names."""
    always = ("ok", "changed", "unreachable", "failures")
    shown = [f"{'failed' if name == 'failures' else name}={counts[name]}" for name in always]
    shown += [f"{name}={counts[name]}" for name in STATS if name not in always and counts[name]]
    return " ".join(shown)


def ending(run: RunRecord) -> list[str]:
    """The last lines: how it ended, what the exit code means, how to see more."""
    took = (run.finished or 0) - (run.started or run.created)
    lines = [f"{run.status} in {duration(took)}, exit code {run.exit_code}: {_MEANINGS.get(run.exit_code or 0, '')}"]
    if run.reason:
        lines.append(f"stopped early: {run.reason}" if run.status == "stopped" else run.reason)
    if run.exit_code:
        lines.append(f"more: opsrunner show {run.id} · opsrunner logs {run.id} --host HOST")
    return lines


def duration(seconds: float) -> str:
    """``0.42 s``, ``12 s``, ``3 min 05 s``."""
    if seconds < 10:
        return f"{max(0.0, seconds):.2f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


def indented(text: str, by: str = "    ") -> list[str]:
    return [by + line for line in text.splitlines()]


def heading(words: Sequence[str]) -> str:
    return " · ".join(word for word in words if word)
