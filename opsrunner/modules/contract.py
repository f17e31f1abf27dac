"""What a module is: a plain file with ``SPEC`` and ``run(context) -> Result``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, runtime_checkable

from msgspec import Struct, field

from opsrunner.inventory.additions import Addition
from opsrunner.ledger.records import Result
from opsrunner.remote import Become, Command, Completed, OnOutput, Remote

ArgumentType = Literal["str", "int", "float", "bool", "list", "dict", "path", "raw", "mode", "regex"]


class Argument(Struct, frozen=True):
    """One argument of a module, named and typed as Ansible documents it."""

    type: ArgumentType = "str"
    help: str = ""
    required: bool = False
    default: Any = None
    choices: tuple[Any, ...] | None = None
    aliases: tuple[str, ...] = ()
    #: Type of the items of a list.
    elements: ArgumentType | None = None
    #: A path on the submitting machine that travels with the run (looked for in this folder).
    bundled_from: Literal["files", "templates", "vars"] | None = None


class Spec(Struct, frozen=True):
    """A module's arguments and habits: the source of validation and of ``opsrunner doc``."""

    summary: str
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    #: Text after the module's name that is no key=value: the argument it stands for.
    free_form: str | None = None
    #: Beside the free form any key=value is an argument (include_vars).
    pairs_beside_free_form: bool = False
    #: Any argument name is accepted (set_fact).
    any_argument: bool = False
    mutually_exclusive: tuple[tuple[str, ...], ...] = ()
    required_one_of: tuple[tuple[str, ...], ...] = ()
    required_together: tuple[tuple[str, ...], ...] = ()
    #: (argument, value, what it needs then, whether one of these is enough).
    required_if: tuple[tuple[str, Any, tuple[str, ...], bool], ...] = ()
    #: Never touches the host: it runs on the worker and needs no claim to be sent.
    local: bool = False
    #: Whatever its arguments, the first it does is to send the host something.
    sends_first: bool = False
    #: Only looks: may be run again after a lost answer.
    reads_only: bool = False
    #: What it returns as ansible_facts are facts of the host, kept apart from variables and not shown (setup).
    gathers: bool = False
    #: Runs once for the whole batch (pause), as Ansible's BYPASS_HOST_LOOP.
    once: bool = False
    #: What check mode does: "full" predicts, "skip" answers skipped, "run" runs as it only looks.
    check_mode: Literal["full", "skip", "run"] = "skip"
    #: With ``async``: a "job" can be left to itself on the host (``poll: 0``), "waited" can only be waited for.
    asynchronous: Literal["job", "waited", "refused"] = "waited"
    #: Arguments that hold expressions and are handed over unrendered (debug's var, assert's that).
    unrendered: tuple[str, ...] = ()
    #: Arguments that Ansible knows and opsrunner refuses, each with the reason it gives.
    refused: Mapping[str, str] = field(default_factory=dict)
    examples: str = ""


#: The folder by which a file is asked for that travels as it lies on disk, encrypted with Ansible Vault.
STILL_ENCRYPTED = "still encrypted"


#: Begins the names under which variables of include_vars are kept: they are templates, and weaker than facts.
INCLUDED = "include_vars:"
#: The folder that holds a mark for each file of variables that lies encrypted on the submitting machine.
WAS_ENCRYPTED = "was encrypted"
#: Where jobs are on a host, unless its ``ansible_async_dir`` says otherwise.
JOBS = "~/.ansible_async"
#: Behind a folder's path: the name of the list of what is in it.
LISTING = "/*"


def _adds_nothing(_addition: Addition) -> bool:
    raise ModuleFailure("there is no inventory to add to")


class ModuleFailure(Exception):
    """The module says that its step failed; ``extra`` joins the result."""

    def __init__(self, msg: str, **extra: Any) -> None:
        super().__init__(msg)
        self.msg = msg
        self.extra = extra


class Files(Protocol):
    """The files that came with the run."""

    def read(self, path: str, *, folder: str) -> bytes:
        """Content of a bundled file, found as Ansible finds ``src``; ModuleFailure when absent."""
        ...


@runtime_checkable
class FilesWithModes(Files, Protocol):
    """Files that also know the permission bits that they had on the submitting machine."""

    def mode(self, path: str, *, folder: str) -> int:
        """Permission bits (0 to 0o7777) of a bundled file, for ``mode: preserve``."""
        ...


class JobOrder(Struct, frozen=True):
    """The step's command is to be left to itself on the host: under which name, and for how many seconds at most."""

    name: str
    seconds: int


class Context(Struct):
    """What a module is given for one host and one set of rendered, validated arguments."""

    host: str
    arguments: Mapping[str, Any]
    remote: Remote
    files: Files
    #: Renders a value (or a template's text) with the host's variables.
    render: Callable[[Any], Any]
    #: Renders a template file's text as the template module does (keeps types out: always text).
    #: ``about`` is what the template may say of itself. Keywords, given only when a task sets them, change Jinja's
    #: rules: trim_blocks, lstrip_blocks,
    #: newline_sequence, and the delimiters (variable_start_string …).
    render_text: Callable[..., str]
    #: Evaluates a bare Jinja expression or list of them to True or False.
    condition: Callable[[Any], bool]
    #: Looks up a variable or expression and gives its value.
    evaluate: Callable[[str], Any]
    #: The same for debug's var: what is undefined is said in its place, and listed.
    shown: Callable[[str], tuple[Any, list[str]]]
    environment: Mapping[str, str] = field(default_factory=dict)
    become: Become | None = None
    timeout: float | None = None
    check: bool = False
    diff: bool = False
    verbosity: int = 0
    stop: threading.Event | None = None
    on_output: OnOutput | None = None
    #: Waits that many seconds, or less when the run is cancelled (then raises RemoteCancelled).
    sleep: Callable[[float], None] = lambda seconds: None
    #: Asks the operator a question, whose answer may be seen while it is typed or not; None where nobody can be asked.
    ask: Callable[[str, bool], str | None] = lambda text, echo: None
    #: Seconds of a clock that only goes forward.
    monotonic: Callable[[], float] = lambda: 0.0
    #: Adds to the run's inventory; whether that changes it (add_host, group_by). Raises ModuleFailure.
    add: Callable[[Addition], bool] = _adds_nothing
    #: Where jobs are on the host.
    jobs: str = JOBS
    #: Of a module whose spec says that it can be a job.
    job: JobOrder | None = None

    def exec(
        self,
        line: str,
        *,
        stdin: bytes = b"",
        directory: str | None = None,
        executable: str | None = None,
        live: bool = False,
        program: bool = False,
        timeout: float | None = None,
    ) -> Completed:
        """Run one line of POSIX sh on the host with the step's environment, become and deadline.

        With ``live`` its output is shown as it comes; helpers' own small scripts leave it off. ``program`` says
        of the line what :class:`~opsrunner.remote.Command` takes it for.
        """
        command = Command(
            line,
            stdin=stdin,
            environment=self.environment,
            directory=directory,
            become=self.become,
            executable=executable,
            program=program,
            timeout=self.timeout if timeout is None else timeout,
        )
        return self.remote.exec(command, on_output=self.on_output if live else None, stop=self.stop)


class Module(Protocol):
    """The shape of a module's file."""

    SPEC: Spec

    @staticmethod
    def run(context: Context) -> Result:
        """Do it on one host. A failure is a result with ``failed`` or a ModuleFailure raised."""
        ...


Modules = Mapping[str, Module]
