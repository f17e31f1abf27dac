"""Which tasks every host comes to and cannot fail at: a file that another one names may be missing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from opsrunner.plan.model import Step
from opsrunner.playbook import Keyword


def has_condition(keywords: Mapping[str, Keyword]) -> bool:
    """Whether there is a ``when`` that may be false."""
    return "when" in keywords and any(one is not True for one in keywords["when"].value)


class Certainty:
    """Tells of the steps of one play."""

    def __init__(self, steps: Iterable[Step]) -> None:
        steps = list(steps)
        self._rescued = {number for step in steps for number, part in step.path if part == "rescue"}
        self._includes = {one.block: step for step in steps for one in step.inclusions or ()}

    def must_succeed(self, step: Step) -> bool:
        """Whether every host carries the step out, and none goes on when it fails."""
        if step.ignore_errors or any(part == "block" and number in self._rescued for number, part in step.path):
            return False
        return self._is_sure(step)

    def _is_sure(self, step: Step) -> bool:
        if any(one is not True for one in step.when):
            return False
        includes = (self._includes.get(number) for number, part in step.path if part == "included")
        return all(one is None or (len(one.inclusions or ()) == 1 and self._is_sure(one)) for one in includes)
