"""gather_facts: what a play does first of itself, as a task."""

from __future__ import annotations

from msgspec.structs import replace

from opsrunner.modules import setup
from opsrunner.modules.contract import Argument

SPEC = replace(
    setup.SPEC,
    summary="Gather facts of the host as a play does at its beginning",
    arguments={
        **setup.SPEC.arguments,
        "parallel": Argument("bool", "accepted and without effect: there is one command for all facts"),
    },
    examples="- gather_facts:\n",
)

run = setup.run
