"""A finished step in a few lines, for ``run``, ``watch`` and ``show``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from opsrunner.ledger.records import Outcome, StepOutline
from opsrunner.output import describe, wording
from opsrunner.output.fold import Groups, group_by_text
from opsrunner.output.harmless import harmless_line

#: A line that is harmless to print, and a status or another word that stands for its colour.
Said = tuple[str, str]


def step_lines(
    outline: StepOutline, outcomes: Collection[Outcome], *, verbosity: int = 0, shown: Collection[str] = ()
) -> Iterator[Said]:
    """One line when all hosts fared the same, else one per status; then warnings, differences and output.

    Output is told with ``verbosity``, and always for debug; that of hosts in ``shown`` is on the
    screen already.
    """
    kind = "handler " if outline.handler else ""
    name = harmless_line(outline.name)
    summary = wording.summary(outcomes)
    if len(summary) == 1:
        yield f"  {kind}{name}: {summary[0][0]} {summary[0][1]}", summary[0][0]
    else:
        yield f"  {kind}{name}:", "step"
        for status, hosts in summary:
            yield f"    {status} {hosts}", status
    yield from _warnings(outcomes)
    yield from _differences(outcomes)
    if verbosity or tells(outline):
        yield from _outputs((one for one in outcomes if one.host not in shown), skipped=verbosity > 0)


def tells(outline: StepOutline) -> bool:
    """Whether what hosts gave is what the step is for."""
    return outline.module.rpartition(".")[2] == "debug"


def failure_lines(outcomes: Iterable[Outcome], *, lines: int = describe.TAIL) -> Iterator[Said]:
    """What went wrong in a step, hosts with the same reason together."""
    for status, hosts, reason in wording.failures(outcomes, lines=lines):
        yield f"    {status} {hosts}:", status
        for line in wording.indented(reason, "      "):
            yield line, "detail"


def _warnings(outcomes: Iterable[Outcome]) -> Iterator[Said]:
    groups: Groups[str] = Groups()
    for outcome in outcomes:
        for warning in describe.warnings_of(outcome.result):
            groups.add(outcome.host, warning)
    for hosts, warning in groups.biggest_first():
        yield f"    warning: {harmless_line(warning)} [{wording.folded(hosts)}]", "waiting"


def _differences(outcomes: Iterable[Outcome]) -> Iterator[Said]:
    for hosts, text in wording.differences(outcomes):
        yield f"    difference on {wording.folded(hosts)}:", "step"
        for line in wording.indented(text, "      "):
            yield line, {"+": "added", "-": "removed"}.get(line[6:7], "detail")


def _outputs(outcomes: Iterable[Outcome], *, skipped: bool) -> Iterator[Said]:
    told = (one for one in outcomes if one.status not in describe.BAD and (skipped or one.status != "skipped"))
    for hosts, text in group_by_text(((one.host, one) for one in told), describe.output_text):
        if text:
            yield f"    {wording.folded(hosts)}:", "step"
            for line in wording.indented(text, "      "):
                yield line, "detail"
