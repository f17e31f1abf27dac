"""Playbooks as they are written: YAML into frozen records with places. Knows nothing of inventory."""

from __future__ import annotations

from opsrunner.playbook.catalogue import ModuleCatalogue
from opsrunner.playbook.faults import Faults, nearest
from opsrunner.playbook.load import load, parse, parse_into
from opsrunner.playbook.model import SECTIONS, Block, Keyword, Loop, Play, Playbook, Prompt, Task

__all__ = [
    "SECTIONS",
    "Block",
    "Faults",
    "Keyword",
    "Loop",
    "ModuleCatalogue",
    "Play",
    "Playbook",
    "Prompt",
    "Task",
    "load",
    "nearest",
    "parse",
    "parse_into",
]
