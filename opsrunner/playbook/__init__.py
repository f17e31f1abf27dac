"""Playbooks as they are written: YAML into frozen records with places. Knows nothing of inventory."""

from __future__ import annotations

from opsrunner.playbook.catalogue import ModuleCatalogue
from opsrunner.playbook.faults import Faults
from opsrunner.playbook.load import Meta, load, parse, parse_into, parse_meta, parse_tasks
from opsrunner.playbook.model import (
    SECTIONS,
    Block,
    Choice,
    Entry,
    ImportedPlaybook,
    Include,
    Keyword,
    Loop,
    Origin,
    Play,
    Playbook,
    Prompt,
    RoleEntry,
    Task,
)

__all__ = [
    "SECTIONS",
    "Block",
    "Choice",
    "Entry",
    "Faults",
    "ImportedPlaybook",
    "Include",
    "Keyword",
    "Loop",
    "Meta",
    "ModuleCatalogue",
    "Origin",
    "Play",
    "Playbook",
    "Prompt",
    "RoleEntry",
    "Task",
    "load",
    "parse",
    "parse_into",
    "parse_meta",
    "parse_tasks",
]
