"""What hosts printed, for ``exec`` and ``logs``: equal outputs once, or host by host."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from opsrunner.ledger.records import Outcome
from opsrunner.output import describe, wording
from opsrunner.output.fold import group_by_text, named, nameless
from opsrunner.output.harmless import harmless_line
from opsrunner.output.step_lines import Said


def folded(outcomes: Iterable[Outcome], shown: Collection[str] = ()) -> Iterator[Said]:
    """``── web[01-20] (20) ──`` and their output, biggest group first; then the hosts that failed, with why.

    Of hosts in ``shown`` the output is on the screen already; only their failure is told.
    """
    every = list(outcomes)
    good = (one for one in every if one.status not in describe.BAD and one.host not in shown)
    for hosts, text in group_by_text(((one.host, one) for one in good), describe.output_text):
        yield f"── {wording.folded(hosts)} ──{'' if text else ' no output'}", "heading"
        for line in wording.indented(text, ""):
            yield line, ""
    bad = (one for one in every if one.status in describe.BAD)
    for hosts, text in group_by_text(((one.host, one) for one in bad), _failure):
        head, _, rest = named(text, hosts).partition("\n")
        yield f"── {wording.folded(hosts)} ── {head}", head.partition(":")[0]
        for line in wording.indented("" if hosts[0] in shown else rest, ""):
            yield line, ""


def _failure(outcome: Outcome) -> str:
    """A reason that is ours may differ in the host's name; what hosts print is shown as it came."""
    text = describe.exec_failure(outcome)
    return nameless(text, outcome.host) if outcome.status == "unreachable" else text


def unfolded(outcome: Outcome, *, shown: bool = False) -> Iterator[Said]:
    """One host's output, each line led by its name; a failure's reason comes last."""
    host = harmless_line(outcome.host)
    bad = outcome.status in describe.BAD
    head, _, rest = describe.exec_failure(outcome).partition("\n") if bad else ("", "", describe.output_text(outcome))
    if not shown:
        for line in wording.indented(rest, f"{host}: "):
            yield line, ""
    if bad:
        yield f"{host}: {head}", outcome.status
