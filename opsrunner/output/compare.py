"""Two runs side by side: what went wrong anew, what recovered, what came out differently. Pure."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator

from msgspec import Struct, field

from opsrunner.ledger.records import Outcome, RunRecord
from opsrunner.output import wording
from opsrunner.output.describe import BAD, failure_text, output_text, shown_status
from opsrunner.output.fold import Groups
from opsrunner.output.harmless import harmless_line
from opsrunner.output.step_lines import Said

#: A step as both runs know it: the play's name, the step's name, and the how-many-eth of that name it is.
StepKey = tuple[str, str, int]

NOT_REACHED = "not reached"
#: Lines of one difference in output that are shown.
DIFF_LINES = 40


class Side(Struct, frozen=True):
    """What came of one host × step in one of the runs."""

    status: str
    bad: bool
    text: str = ""


class Change(Struct, frozen=True):
    """One host × step that differs; a side is None where the host was not reached."""

    step: StepKey
    host: str
    before: Side | None
    after: Side | None


class Comparison(Struct):
    """What differs between two runs, over the hosts and steps that both have."""

    failures: list[Change] = field(default_factory=list)
    recovered: list[Change] = field(default_factory=list)
    statuses: list[Change] = field(default_factory=list)
    outputs: list[Change] = field(default_factory=list)
    hosts_only_before: set[str] = field(default_factory=set)
    hosts_only_after: set[str] = field(default_factory=set)
    steps_only_before: list[StepKey] = field(default_factory=list)
    steps_only_after: list[StepKey] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Nothing differs."""
        return not any(getattr(self, name) for name in self.__struct_fields__)


def compare(
    before: RunRecord, before_outcomes: Iterable[Outcome], after: RunRecord, after_outcomes: Iterable[Outcome]
) -> Comparison:
    """Compare step by step, matched by name: a playbook may have been edited between the runs."""
    ad_hoc = before.kind == after.kind == "exec"
    old_steps, new_steps = _step_keys(before, ad_hoc=ad_hoc), _step_keys(after, ad_hoc=ad_hoc)
    old_hosts, new_hosts = _hosts(before), _hosts(after)
    old, new = _sides(before_outcomes, old_steps), _sides(after_outcomes, new_steps)
    result = Comparison(
        hosts_only_before=old_hosts - new_hosts,
        hosts_only_after=new_hosts - old_hosts,
        # Handlers that nobody notified in either run are of no interest.
        steps_only_before=[key for key in old_steps.values() if key not in new_steps.values() and key in old],
        steps_only_after=[key for key in new_steps.values() if key not in old_steps.values() and key in new],
    )
    common = sorted(old_hosts & new_hosts)
    every = [
        Change(key, host, old.get(key, {}).get(host), new.get(key, {}).get(host))
        for key in new_steps.values()
        if key in old_steps.values()
        for host in common
    ]
    _sort_out(every, result)
    return result


def _sort_out(changes: Iterable[Change], result: Comparison) -> None:
    unsettled: list[Change] = []
    moved: set[str] = set()
    for change in changes:
        was_bad = change.before is not None and change.before.bad
        is_bad = change.after is not None and change.after.bad
        if is_bad and not was_bad:
            result.failures.append(change)
            moved.add(change.host)
        elif was_bad and change.after is not None and not is_bad:
            result.recovered.append(change)
            moved.add(change.host)
        else:
            unsettled.append(change)
    for change in unsettled:
        # That a host did not come further than its failure has been said by then.
        if change.before is None or change.after is None:
            if change.before != change.after and change.host not in moved:
                result.statuses.append(change)
        elif change.before.status != change.after.status:
            result.statuses.append(change)
        elif change.before.text != change.after.text:
            result.outputs.append(change)


def comparison_lines(before: RunRecord, after: RunRecord, comparison: Comparison) -> Iterator[Said]:
    """The comparison for people; equal changes once, with the hosts folded."""
    for run, sign in ((before, "---"), (after, "+++")):
        yield f"{sign} {wording.heading((run.id, run.title, run.status))}", "heading"
    if comparison.same:
        yield "no difference", "ok"
        return
    for title, names in (
        (f"hosts only in {before.id}", comparison.hosts_only_before),
        (f"hosts only in {after.id}", comparison.hosts_only_after),
    ):
        if names:
            yield f"{title}: {wording.folded(names)}", "heading"
    for title, steps in (
        (f"steps only in {before.id}", comparison.steps_only_before),
        (f"steps only in {after.id}", comparison.steps_only_after),
    ):
        if steps:
            yield f"{title}: {', '.join(_step_name(step) for step in steps)}", "heading"
    yield from _section("new failures", comparison.failures, reason_of="after")
    yield from _section("recovered", comparison.recovered)
    yield from _section("changed status", comparison.statuses)
    yield from _outputs(comparison.outputs)


def _section(title: str, changes: list[Change], *, reason_of: str = "") -> Iterator[Said]:
    if not changes:
        return
    yield title, "heading"
    groups: Groups[tuple[StepKey, str, str, str]] = Groups()
    for change in changes:
        old, new = (side.status if side else NOT_REACHED for side in (change.before, change.after))
        reason = change.after.text if reason_of and change.after else ""
        groups.add(change.host, (change.step, old, new, reason))
    for hosts, (step, old, new, reason) in groups.biggest_first():
        yield f"  {wording.folded(hosts)} in {_step_name(step)}: {old} → {new}", new
        for line in wording.indented(reason, "      "):
            yield line, "detail"


def _outputs(changes: list[Change]) -> Iterator[Said]:
    if not changes:
        return
    yield "changed output", "heading"
    groups: Groups[tuple[StepKey, str, str]] = Groups()
    for change in changes:
        if change.before and change.after:
            groups.add(change.host, (change.step, change.before.text, change.after.text))
    for hosts, (step, old, new) in groups.biggest_first():
        yield f"  {wording.folded(hosts)} in {_step_name(step)}", "step"
        lines = list(difflib.unified_diff(old.split("\n"), new.split("\n"), lineterm="", n=1))[2:]
        for line in lines[:DIFF_LINES]:
            yield f"      {line}", {"+": "added", "-": "removed"}.get(line[:1], "detail")
        if len(lines) > DIFF_LINES:
            yield f"      [{len(lines) - DIFF_LINES} more lines]", "detail"


def _step_name(step: StepKey) -> str:
    _, name, number = step
    return repr(harmless_line(name)) + (f" ({number + 1})" if number else "")


def _step_keys(run: RunRecord, *, ad_hoc: bool) -> dict[int, StepKey]:
    seen: Counter[tuple[str, str]] = Counter()
    found: dict[int, StepKey] = {}
    for play in run.plays:
        for step in play.steps:
            # Two ad hoc commands are compared whatever they were.
            name = ("", "the command") if ad_hoc else (play.name, step.name)
            found[step.number] = (*name, seen[name])
            seen[name] += 1
    return found


def _hosts(run: RunRecord) -> set[str]:
    return {host for play in run.plays for host in play.hosts}


def _sides(outcomes: Iterable[Outcome], steps: dict[int, StepKey]) -> dict[StepKey, dict[str, Side]]:
    found: dict[StepKey, dict[str, Side]] = {}
    for outcome in outcomes:
        bad = outcome.status in BAD and outcome.mark is None
        text = failure_text(outcome) if outcome.status in BAD else output_text(outcome)
        found.setdefault(steps[outcome.step], {})[outcome.host] = Side(shown_status(outcome), bad, text)
    return found
