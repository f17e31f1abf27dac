"""A run as JUnit XML: a suite per play, a case per host × step."""

from __future__ import annotations

import datetime
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable, Sequence

from opsrunner.ledger.records import Outcome, PlayOutline, RunRecord, StepOutline
from opsrunner.output.describe import BAD, failure_text, output_text, shown_status
from opsrunner.output.harmless import harmless

#: What XML cannot hold even as an escape, beyond what :func:`harmless` has taken care of.
_ILLEGAL = re.compile("[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")


def document(run: RunRecord, outcomes: Iterable[Outcome]) -> str:
    """The XML text. ``failed`` is a failure; unreachable, lost and cancelled are errors; an ignored or
    rescued failure passes and says so in its output.
    """
    play_of = {step.number: play for play in run.plays for step in play.steps}
    by_play: dict[int, list[Outcome]] = {play.number: [] for play in run.plays}
    for outcome in outcomes:
        by_play[play_of[outcome.step].number].append(outcome)
    suites = [_suite(play, by_play[play.number]) for play in run.plays]
    root = ElementTree.Element("testsuites", {"name": _clean(run.title), "id": run.id})
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    root.set("time", f"{_duration(run):.3f}")
    root.extend(suites)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(play: PlayOutline, outcomes: Sequence[Outcome]) -> ElementTree.Element:
    names = _names(play.steps)
    steps = {step.number: step for step in play.steps}
    suite = ElementTree.Element("testsuite", {"name": _clean(play.name), "tests": str(len(outcomes))})
    kinds = Counter(_kind(outcome) for outcome in outcomes)
    for attribute, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(kinds[kind]))
    suite.set("time", f"{sum(_seconds(outcome) for outcome in outcomes):.3f}")
    if outcomes:
        begun = datetime.datetime.fromtimestamp(min(outcome.started for outcome in outcomes), datetime.UTC)
        suite.set("timestamp", begun.strftime("%Y-%m-%dT%H:%M:%S"))
    suite.extend(_case(steps[outcome.step], names[outcome.step], outcome) for outcome in outcomes)
    return suite


def _names(steps: Sequence[StepOutline]) -> dict[int, str]:
    """Each step's name, told apart where several bear the same: readers take equal cases for one."""
    seen: Counter[str] = Counter()
    names: dict[int, str] = {}
    for step in steps:
        seen[step.name] += 1
        names[step.number] = step.name if seen[step.name] == 1 else f"{step.name} ({seen[step.name]})"
    return names


def _case(step: StepOutline, name: str, outcome: Outcome) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase",
        {"classname": _clean(outcome.host), "name": _clean(name), "time": f"{_seconds(outcome):.3f}"},
    )
    file, _, position = step.place.partition(":")
    line = position.partition(":")[0]
    if file and line.isdigit():
        case.set("file", _clean(file))
        case.set("line", line)
    kind = _kind(outcome)
    text = failure_text(outcome) if outcome.status in BAD else output_text(outcome)
    if kind in ("failure", "error"):
        trouble = ElementTree.SubElement(case, kind, {"message": _clean(text.partition("\n")[0])})
        trouble.set("type", outcome.status)
        trouble.text = _clean(text)
    elif kind == "skipped":
        ElementTree.SubElement(case, "skipped", {"message": _clean(text)})
    else:
        told = f"{shown_status(outcome)}\n{text}" if outcome.status in BAD else text
        if told:
            ElementTree.SubElement(case, "system-out").text = _clean(told)
    return case


def _kind(outcome: Outcome) -> str:
    if outcome.status == "skipped":
        return "skipped"
    if outcome.status not in BAD or outcome.mark:
        return "passed"
    return "failure" if outcome.status == "failed" else "error"


def _seconds(outcome: Outcome) -> float:
    return max(0.0, outcome.ended - outcome.started)


def _duration(run: RunRecord) -> float:
    if run.started is None or run.finished is None:
        return 0.0
    return max(0.0, run.finished - run.started)


def _clean(text: str) -> str:
    return _ILLEGAL.sub(lambda match: f"\\u{ord(match[0]):04x}", harmless(text))
