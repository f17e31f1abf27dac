"""What the executor is given besides the step, and what it gives back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

from msgspec import Struct, field

from opsrunner.errors import InputError
from opsrunner.executor.prepared import Prepared
from opsrunner.inventory import Inventory
from opsrunner.inventory.additions import Addition, Grown, is_new
from opsrunner.ledger.records import Mark, Result, Status
from opsrunner.modules.contract import Files, ModuleFailure
from opsrunner.plan.model import Options, Step
from opsrunner.redacted import Redacted
from opsrunner.remote import OnOutput, Remote
from opsrunner.templating import Scope


class Fenced(Exception):
    """The claim is no longer ours (lease gone, or somebody settled it): nothing may be sent or said."""


class Stopped(Exception):
    """The run was cancelled before the command was sent."""


class Additions:
    """What one step on one host adds to the run's inventory."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._grown: Grown | None = None
        self.made: list[Addition] = []

    def add(self, addition: Addition) -> bool:
        """Whether it changes the inventory, with what the step has added before. Raises ModuleFailure."""
        changed = is_new(self._inventory, addition) if not self.made else None
        if changed is None:
            changed = self._try(addition)
        self.made.append(addition)
        return changed

    def _try(self, addition: Addition) -> bool:
        try:
            if self._grown is None:  # to make one costs as much as the inventory is large
                self._grown = Grown(self._inventory)
                for earlier in self.made:
                    self._grown.add(earlier)
            return self._grown.add(addition)
        except InputError as error:
            raise ModuleFailure(error.what) from None


class Questions(Protocol):
    """Asks the operator; ``number`` counts the questions of the step."""

    def put(self, number: int, text: str, *, echo: bool) -> None: ...

    def answer(self, number: int) -> str | None: ...


class Surroundings(Struct):
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
    #: What was gathered of a host before, under the names that modules gave.
    facts_of: Callable[[str], Mapping[str, Any]] = field(default=lambda _host: {})
    #: None where nobody can be asked.
    questions: Questions | None = None
    #: The operator said no to the step.
    left_out: bool = False
    #: Names this try of the host × step among all, the same for whoever takes it over.
    attempt: Callable[[], str] = str
    #: The run's inventory as it is when the step begins.
    inventory: Inventory = field(default_factory=lambda: Inventory({}, {}))
    #: What of the step is the same for all hosts.
    prepared: Prepared | None = None
    #: What was found out of the host from its variables, as long as they say the same; None where they may not.
    lasting: dict[object, Any] | None = None
    #: Why the host cannot have the variables that it should: the step fails with that.
    problem: InputError | None = None


class StepResult(Redacted, frozen=True):
    """What one host × step came to.

    ``result`` may be shown; ``values`` are variables for later steps (``registered`` names the one
    that is the result itself, as ``full`` is, which is never shown; ``FACTS`` names all facts of the
    host); ``given`` are variables of other hosts (``delegate_facts``); ``notify`` holds names of
    handlers, ``secret`` tells that ``result`` is not all of it.
    ``name`` is the name of a step that failed, rendered, and empty where none was written.
    """

    HIDDEN: ClassVar = frozenset(("full",))

    status: Status
    result: Result
    mark: Mark | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    registered: str | None = None
    given: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    notify: tuple[str, ...] = ()
    secret: bool = False
    full: Result = field(default_factory=dict)
    #: Blocks of the tasks that an include brought in.
    entered: frozenset[int] = frozenset()
    name: str | None = None
    #: What joins the run's inventory.
    additions: tuple[Addition, ...] = ()
