"""What a playbook file says, as frozen records; nothing is rendered and nothing is inherited yet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from msgspec import Struct, field

from opsrunner.errors import Place
from opsrunner.redacted import Redacted

SectionName = Literal["pre_tasks", "tasks", "post_tasks", "gate"]
IncludeKind = Literal["import_tasks", "include_tasks", "import_role", "include_role"]
#: The parts of a play that hold tasks, in the order they run.
SECTIONS: tuple[SectionName, ...] = ("pre_tasks", "tasks", "post_tasks", "gate")


class Keyword(NamedTuple):
    """A keyword's value, checked and brought into one shape.

    ``source`` is the value as the file has it: a list or mapping of it knows the places inside.
    """

    value: Any
    place: Place
    source: Any


class Loop(Struct, frozen=True):
    """``loop``, or ``with_`` and the name of a lookup (``kind``), with what ``loop_control`` says."""

    kind: str
    over: Keyword
    variable: str = "item"
    index_variable: str | None = None
    label: Keyword | None = None
    pause: Keyword | None = None
    extended: Keyword | None = None
    extended_allitems: Keyword | None = None
    break_when: Keyword | None = None


class Choice(Struct, frozen=True):
    """What a host may bring in at an include: the name that it must render, the item that it must be at."""

    name: str
    item: Any = None
    index: int | None = None
    #: ``ansible_loop`` there, where the loop is extended.
    position: Any = None


class Task(Struct, frozen=True):
    """One task or handler.

    ``module`` is the short name, ``action`` the name as written. ``argument_places`` tells where
    each argument's value stands (inline arguments: where their text begins). A task that brings in
    others at run time has ``choices``: the tasks of each are a Block of their own that follows it.
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
    choices: tuple[Choice, ...] = ()


class Origin(Struct, frozen=True):
    """Where tasks come from that stand in another file: whose variables and files they have.

    ``role`` counts the play's roles, None for the play's own tasks; ``search`` counts the plan's
    lists of folders; ``params`` are variables that win over those of hosts.
    """

    role: int | None
    search: int
    params: Mapping[str, Any] = field(default_factory=dict)


class Block(Struct, frozen=True):
    """Tasks that share keywords, with what is to happen when one fails and what in any case.

    ``origin`` is there once an include was resolved; ``entered`` tells that hosts come in by that
    include only, and not as they pass.
    """

    place: Place
    name: str | None
    block: tuple[Entry, ...]
    rescue: tuple[Entry, ...] = ()
    always: tuple[Entry, ...] = ()
    keywords: Mapping[str, Keyword] = field(default_factory=dict)
    vars: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin | None = None
    entered: bool = False


class Include(Struct, frozen=True):
    """A task that stands for those of a file or of a role, not resolved yet.

    ``applied`` and ``applied_vars`` are what ``apply`` hands on; ``task`` is the step that a
    dynamic include is. ``arguments`` have their names without aliases.
    """

    place: Place
    name: str | None
    kind: IncludeKind
    action: str
    arguments: Mapping[str, Any]
    argument_places: Mapping[str, Place]
    keywords: Mapping[str, Keyword] = field(default_factory=dict)
    vars: Mapping[str, Any] = field(default_factory=dict)
    loop: Loop | None = None
    applied: Mapping[str, Keyword] = field(default_factory=dict)
    applied_vars: Mapping[str, Any] = field(default_factory=dict)
    #: What module_defaults around it say (:mod:`opsrunner.playbook.defaults`).
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dynamic(self) -> bool:
        return self.kind.startswith("include_")

    @property
    def of_role(self) -> bool:
        return self.kind.endswith("_role")


class RoleEntry(Struct, frozen=True):
    """One entry under ``roles`` or a role's ``dependencies``; ``params`` are its keys that are no keywords."""

    place: Place
    name: str
    keywords: Mapping[str, Keyword] = field(default_factory=dict)
    vars: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    #: What module_defaults around it say.
    defaults: Mapping[str, Any] = field(default_factory=dict)


#: What a list of tasks holds.
Entry = Task | Block | Include


class Prompt(Struct, frozen=True):
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
    #: The scheme of a password's hash, which the variable holds in place of what was typed.
    encrypt: str | None = None
    salt: str | None = None
    salt_size: int | None = None


class Play(Struct, frozen=True):
    """One play. ``vars_files`` holds, for each entry, its alternatives: the first that exists is read.

    ``dwell`` is what its gate says of the time before it; the gate's tasks are a section of one block.
    """

    place: Place
    name: str | None
    hosts: Keyword  # tuple[str, ...]
    sections: Mapping[SectionName, tuple[Entry, ...]]
    handlers: tuple[Entry, ...] = ()
    keywords: Mapping[str, Keyword] = field(default_factory=dict)
    vars: Mapping[str, Any] = field(default_factory=dict)
    vars_files: tuple[tuple[Keyword, ...], ...] = ()
    prompts: tuple[Prompt, ...] = ()
    roles: tuple[RoleEntry, ...] = ()
    dwell: Keyword | None = None


class ImportedPlaybook(Struct, frozen=True):
    """``import_playbook`` in the place of a play."""

    place: Place
    path: Keyword
    keywords: Mapping[str, Keyword] = field(default_factory=dict)
    vars: Mapping[str, Any] = field(default_factory=dict)


class Playbook(Redacted, frozen=True):
    """A playbook file. ``text`` is kept for the excerpts of errors found later."""

    HIDDEN: ClassVar = frozenset(("text",))

    path: Path
    plays: tuple[Play | ImportedPlaybook, ...]
    text: str
    warnings: tuple[str, ...] = ()
