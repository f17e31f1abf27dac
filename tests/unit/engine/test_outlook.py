"""How much of a play is still to come, for who decides what pays."""

from __future__ import annotations

from opsrunner.engine.outlook import following
from opsrunner.plan.model import Play, Step


def step(number: int, module: str, *, handler: bool = False) -> Step:
    return Step(number=number, name="", module=module, place="", handler=handler)


def test_only_steps_that_send_commands_count() -> None:
    modules = ["setup", "debug", "command", "raw", "set_fact", "shell"]
    steps = [step(number + 5, module) for number, module in enumerate(modules)]
    steps.append(step(11, "service", handler=True))
    play = Play(number=0, name="", place="", pattern="all", hosts=(), batches=(), steps=tuple(steps))
    assert following(play) == {5: 2, 6: 2, 7: 1, 8: 1, 9: 1, 10: 0, 11: 0}
