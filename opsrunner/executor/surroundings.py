"""What the executor is given besides the step, and what it gives back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from opsrunner.errors import InputError
from opsrunner.ledger.records import Mark, Result, Status
from opsrunner.modules.contract import Files
from opsrunner.plan.model import Options, Step
from opsrunner.remote import OnOutput, Remote
from opsrunner.templating import Scope


class Fenced(Exception):
    """The claim is no longer ours (lease gone, or somebody settled it): nothing may be sent or said."""


class Stopped(Exception):
    """The run was cancelled before the command was sent."""


@dataclass(slots=True)
class Surroundings:
    """What the executor needs of the world."""

    files: Files
    #: Reaches a host by its connection variables; called with the scope of the host to be reached.
    reach: Callable[[Step, str, Scope], Remote]
    #: The scope of another host (delegate_to).
    scope_of: Callable[[str], Scope]
    monotonic: Callable[[], float] = time.monotonic
    default_timeout: float = 3600.0
    stop: threading.Event = field(default_factory=threading.Event)
    on_output: OnOutput | None = None
    options: Options = field(default_factory=Options)
    #: What was gathered of the host before, under the names that modules gave.
    facts: Mapping[str, Any] = field(default_factory=dict)
    #: Why the host cannot have the variables that it should: the step fails with that.
    problem: InputError | None = None


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one host × step came to.

    ``result`` may be shown; ``values`` are variables for later steps (``registered`` names the one
    that is the result itself, as ``full`` is, which is never shown; ``FACTS`` names all facts of the
    host); ``notify`` holds names of handlers, ``secret`` tells that ``result`` is not all of it.
    ``name`` is the name of a step that failed, rendered, and empty where none was written.
    """

    status: Status
    result: Result
    mark: Mark | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    registered: str | None = None
    notify: tuple[str, ...] = ()
    secret: bool = False
    full: Result = field(default_factory=dict, repr=False)
    #: Blocks of the tasks that an include brought in.
    entered: frozenset[int] = frozenset()
    name: str | None = None
