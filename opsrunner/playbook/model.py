"""What a playbook file says, as frozen records; nothing is rendered and nothing is inherited yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from opsrunner.errors import Place

SectionName = Literal["pre_tasks", "tasks", "post_tasks"]
#: The parts of a play that hold tasks, in the order they run.
SECTIONS: tuple[SectionName, ...] = ("pre_tasks", "tasks", "post_tasks")


class Keyword(NamedTuple):
    """A keyword's value, checked and brought into one shape.

    ``source`` is the value as the file has it: a list or mapping of it knows the places inside.
    """

    value: Any
    place: Place
    source: Any


@dataclass(frozen=True, slots=True)
class Loop:
    """``loop`` or ``with_items``, with what ``loop_control`` says."""

    kind: Literal["loop", "items"]
    over: Keyword
    variable: str = "item"
    index_variable: str | None = None
    label: Keyword | None = None
    pause: Keyword | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One task or handler.

    ``module`` is the short name, ``action`` the name as written. ``argument_places`` tells where
    each argument's value stands (inline arguments: where their text begins).
    """

    place: Place
    name: str | None
    module: str
    action: str
    arguments: Mapping[str, Any]
    argument_places: Mapping[str, Place]
    keywords: Mapping[str, Keyword] = field(default_factory=dict)
    vars: Mapping[str, Any] = field(default_factory=dict)
    loop: Loop | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """Tasks that share keywords, with what is to happen when one fails and what in any case."""

    place: Place
    name: str | None
    block: tuple[Task | Block, ...]
    rescue: tuple[Task | Block, ...] = ()
    always: tuple[Task | Block, ...] = ()
    keywords: Mapping[str, Keyword] = field(default_factory=dict)
    vars: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prompt:
    """One entry of ``vars_prompt``."""

    place: Place
    name: str
    text: str
    default: str | None = None
    #: What is typed is not shown.
    private: bool = True
    #: To be typed twice.
    confirm: bool = False
    #: The answer is no template, whatever it holds.
    unsafe: bool = False


@dataclass(frozen=True, slots=True)
class Play:
    """One play. ``vars_files`` holds, for each entry, its alternatives: the first that exists is read."""

    place: Place
    name: str | None
    hosts: Keyword  # tuple[str, ...]
    sections: Mapping[SectionName, tuple[Task | Block, ...]]
    handlers: tuple[Task, ...] = ()
    keywords: Mapping[str, Keyword] = field(default_factory=dict)
    vars: Mapping[str, Any] = field(default_factory=dict)
    vars_files: tuple[tuple[Keyword, ...], ...] = ()
    prompts: tuple[Prompt, ...] = ()


@dataclass(frozen=True, slots=True)
class Playbook:
    """A playbook file. ``text`` is kept for the excerpts of errors found later."""

    path: Path
    plays: tuple[Play, ...]
    text: str = field(repr=False)
    warnings: tuple[str, ...] = ()
