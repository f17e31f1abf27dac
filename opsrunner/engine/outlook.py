"""What a play still has in store for its hosts, as far as its text tells."""

from __future__ import annotations

from collections.abc import Mapping

from opsrunner import modules
from opsrunner.plan.model import Play, Step


def following(play: Play) -> Mapping[int, int]:
    """By step number: how many of the play's later steps send commands to a host.

    Handlers are left out, as are steps that are added while the play runs: a host that is sent more than was
    expected is no harm.
    """
    found, count = {}, 0
    for step in reversed(play.steps):
        found[step.number] = count
        if not step.handler and _sends(step):
            count += 1
    return found


def _sends(step: Step) -> bool:
    return step.module != "raw" and not modules.get(step.module).SPEC.local
