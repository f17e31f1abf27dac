"""How many hosts of a run may fail, or be out of reach, until nothing more is sent. Pure."""

from __future__ import annotations

from typing import NamedTuple

from opsrunner.plan.model import Plan


class Limit(NamedTuple):
    """More than ``hosts`` hosts are too many; ``said`` is that as it was written, ``by`` what said it."""

    hosts: int
    said: str
    by: str


def error_budget(plan: Plan) -> Limit | None:
    """Hosts of the run that may fail: the command line's word, else the strictest of the plays'."""
    given = plan.options.max_failed
    return _strictest(plan, given, "--max-failed", [(play.place, play.error_budget) for play in plan.plays])


def unreachable_budget(plan: Plan) -> Limit | None:
    """The same of hosts out of reach."""
    given = plan.options.max_unreachable
    return _strictest(plan, given, "--max-unreachable", [(play.place, play.unreachable_budget) for play in plan.plays])


def _strictest(plan: Plan, given: str | None, option: str, plays: list[tuple[str, str | None]]) -> Limit | None:
    hosts = len({host for play in plan.plays for host in play.hosts})
    if given is not None:
        return Limit(absolute(given, hosts), given, option)
    said = [Limit(absolute(text, hosts), text, place) for place, text in plays if text is not None]
    return min(said, key=lambda limit: limit.hosts, default=None)


def absolute(limit: str, hosts: int) -> int:
    """``5`` or ``10%`` as a number of hosts, rounded down: more than that is too many."""
    if limit.endswith("%"):
        return int(limit[:-1]) * hosts // 100
    return int(limit)
