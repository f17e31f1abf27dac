"""One outcome in words: why it failed, what it printed, what it changed. Pure; the answers are harmless to print."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from opsrunner.ledger.records import Outcome
from opsrunner.output.harmless import harmless, shortened, tail

#: Statuses after which a host usually takes part in nothing more.
BAD = ("failed", "unreachable", "lost", "cancelled")
#: Lines of a failed host's stderr or stdout shown with its failure.
TAIL = 10
#: Failed items of a loop that are told one by one.
ITEMS = 5

#: Keys of a result that say nothing about what came of the step, or that are told in their own place.
_NOISE = frozenset(
    (
        *("changed", "failed", "skipped", "unreachable", "rc", "cmd", "start", "end", "delta"),
        *("stdout", "stdout_lines", "stderr", "stderr_lines", "diff", "warnings", "deprecations"),
        *("invocation", "ansible_facts", "ansible_loop_var", "item"),
    )
)


def shown_status(outcome: Outcome) -> str:
    """``failed (ignored)`` and the like."""
    return f"{outcome.status} ({outcome.mark})" if outcome.mark else outcome.status


def failure_text(outcome: Outcome, *, lines: int = TAIL) -> str:
    """Why a host did not do well: equal texts may be folded. ``lines`` is how much of its output is shown."""
    failed = [item for item in items_of(outcome.result) if item.get("failed") or item.get("unreachable")]
    if not failed:
        return _reason(outcome.result, lines)
    parts = [f"item {_item_name(item)}: {_reason(item, lines)}" for item in failed[:ITEMS]]
    if len(failed) > ITEMS:
        parts.append(f"and {len(failed) - ITEMS} more items")
    return "\n".join(parts)


def exec_failure(outcome: Outcome) -> str:
    """A first line that says what happened, then all that the host printed."""
    result = outcome.result
    rc = result.get("rc")
    why = f"rc {rc}" if rc not in (None, 0) else str(result.get("msg", "")).strip()
    lines = [harmless(f"{shown_status(outcome)}: {why}" if why else shown_status(outcome))]
    lines += [text for text in (streams_text(result), _remedy(result)) if text]
    return "\n".join(lines)


def output_text(outcome: Outcome) -> str:
    """What a step printed, said or found out, without the news that it worked; "" when there is nothing."""
    result = outcome.result
    if outcome.status == "skipped":
        return _skip_reason(result)
    items = items_of(result)
    if items:
        texts = ((_item_name(item), output_text(_as_outcome(outcome, item))) for item in items)
        return "\n".join(f"item {name}: {text}" for name, text in texts if text)
    if "censored" in result:
        return harmless(str(result["censored"]))
    if result.get("_ansible_verbose_always"):  # whatever the variable is called: it was asked for
        return _told({key: value for key, value in result.items() if key not in ("changed", "failed", "warnings")})
    printed = streams_text(result)
    if printed or outcome.status in BAD:
        return printed
    if "msg" in result:
        return harmless(_as_text(result["msg"]))
    return _told({key: value for key, value in result.items() if key not in _NOISE})


def _told(values: Mapping[str, Any]) -> str:
    shown = (f"{key}: {_as_text(value)}" for key, value in values.items() if not key.startswith("_"))
    return harmless("\n".join(shown))


def streams_text(result: Mapping[str, Any]) -> str:
    """stdout, then stderr, each as far as there is any."""
    texts = [_stripped(result, "stdout")]
    stderr = _stripped(result, "stderr")
    if stderr:
        texts.append("\n".join(f"stderr: {line}" for line in stderr.split("\n")))
    return "\n".join(text for text in texts if text)


def diff_text(result: Mapping[str, Any]) -> str:
    """What a step changed or would change, as unified diffs; "" when the result holds none."""
    found = [text for one in (result, *items_of(result)) for text in _diffs(one)]
    return harmless("\n".join(found))


def warnings_of(result: Mapping[str, Any]) -> list[str]:
    """Warnings of the step and of its loop's items, each once, in order."""
    every = [text for one in (result, *items_of(result)) for text in one.get("warnings") or ()]
    return list(dict.fromkeys(harmless(str(text)) for text in every))


def _reason(result: Mapping[str, Any], lines: int) -> str:
    head = str(result.get("msg") or result.get("censored") or "").strip()
    rc = result.get("rc")
    if rc not in (None, 0):
        head = f"{head} (rc {rc})" if head else f"rc {rc}"
    told = [shortened(line) for line in harmless(head).split("\n")] if head else []
    for stream in ("stderr", "stdout"):
        if text := result.get(stream):
            # The tail first: the whole may be megabytes, a thousand times.
            told += [harmless(line) for line in tail(str(text), lines)]
            break
    told += [line for line in (_remedy(result),) if line]
    return "\n".join(told) or "no reason given"


def _remedy(result: Mapping[str, Any]) -> str:
    return harmless(f"try: {result['remedy']}") if result.get("remedy") else ""


def _stripped(result: Mapping[str, Any], stream: str) -> str:
    """One stream, harmless, without the newlines at its end."""
    value = result.get(stream)
    return _printed(str(value)) if value else ""


@lru_cache(maxsize=2)
def _printed(text: str) -> str:
    """Megabytes are looked through once where hosts print the same."""
    return harmless(text).rstrip("\n")


def _skip_reason(result: Mapping[str, Any]) -> str:
    reason = next((result[key] for key in ("skip_reason", "skipped_reason", "msg") if result.get(key)), "")
    condition = result.get("false_condition")
    return harmless(f"{reason}: {condition}" if condition is not None else str(reason))


def items_of(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    results = result.get("results")
    return [item for item in results if isinstance(item, dict)] if isinstance(results, list) else []


def _item_name(item: Mapping[str, Any]) -> str:
    label = item.get("_ansible_item_label", item.get(str(item.get("ansible_loop_var", "item"))))
    return harmless(shortened(_compact(label), 60)).replace("\n", "\\n")


def _as_outcome(outcome: Outcome, item: dict[str, Any]) -> Outcome:
    status = "skipped" if item.get("skipped") else "failed" if item.get("failed") else "ok"
    return Outcome(outcome.step, outcome.host, status, item)  # type: ignore[arg-type]


def _compact(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _diffs(result: Mapping[str, Any]) -> Iterator[str]:
    diffs = result.get("diff")
    for diff in diffs if isinstance(diffs, list) else [diffs]:
        if isinstance(diff, dict):
            yield from _one_diff(diff)


def _one_diff(diff: Mapping[str, Any]) -> Iterator[str]:
    for side, name in (("src", "after"), ("dst", "before")):
        if diff.get(f"{side}_binary"):
            yield f"{name}: binary, no difference shown"
        if diff.get(f"{side}_larger"):
            yield f"{name}: larger than {diff[f'{side}_larger']} bytes, no difference shown"
    if "prepared" in diff:
        yield str(diff["prepared"]).rstrip("\n")
    if "before" in diff and "after" in diff:
        before, after = (_diff_side(diff[side]) for side in ("before", "after"))
        old, new = (str(diff.get(f"{side}_header") or side) for side in ("before", "after"))
        lines = list(difflib.unified_diff(before, after, old, new, lineterm=""))
        if lines:
            yield "\n".join(lines)


def _diff_side(value: Any) -> list[str]:
    """Lines to compare; a last line without its newline says so, as diff(1) does."""
    text = value if isinstance(value, str) else json.dumps(value, indent=4, sort_keys=True, default=str) + "\n"
    if not text:
        return []
    lines = text.removesuffix("\n").split("\n")
    return lines if text.endswith("\n") else [*lines[:-1], f"{lines[-1]}\n\\ No newline at end of file"]
