"""A playbook compiled against an inventory: frozen, JSON there and back, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from msgspec import Struct, field

from opsrunner.redacted import Redacted

Section = Literal["pre_tasks", "tasks", "post_tasks", "gate", "handlers"]
#: A role that may end early is a part of its own; a failure passes through it.
BlockSection = Literal["block", "rescue", "always", "included", "role"]


class Loop(Struct, frozen=True):
    """``loop`` or a ``with_…``: the unrendered list, and how its items are named and shown."""

    kind: str  # "loop", or the name of the lookup behind with_
    over: Any
    variable: str = "item"
    index_variable: str | None = None
    label: str | None = None
    pause: Any = 0  # seconds, or a template of them
    extended: Any = False
    extended_allitems: Any = True
    break_when: tuple[Any, ...] = ()


class Inclusion(Struct, frozen=True):
    """Tasks that a host may bring in at a step: it enters ``block`` when it renders that name, at that item."""

    block: int
    name: str
    item: Any = None
    index: int | None = None
    position: Any = None


class Role(Struct, frozen=True):
    """A role as one entry of a play brings it in: variables of the roles it depends on are merged in already."""

    name: str
    path: str  # absolute, on the submitting machine
    defaults: Mapping[str, Any] = field(default_factory=dict)
    vars: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)


class Step(Struct, frozen=True):
    """One task or handler. Values are unrendered unless said otherwise.

    ``path`` lists the blocks it stands in, outermost first, each with the part of the block it
    stands in. Blocks' and the play's keywords are merged in already.
    """

    number: int  # from 0, unique in the plan
    name: str
    module: str
    place: str  # file:line:column
    arguments: Mapping[str, Any] = field(default_factory=dict)
    section: Section = "tasks"
    path: tuple[tuple[int, BlockSection], ...] = ()
    when: tuple[Any, ...] = ()
    loop: Loop | None = None
    register: str | None = None
    until: tuple[Any, ...] = ()
    retries: Any = None
    delay: Any = 5
    failed_when: tuple[Any, ...] | None = None
    changed_when: tuple[Any, ...] | None = None
    ignore_errors: Any = False
    ignore_unreachable: Any = False
    notify: tuple[Any, ...] = ()
    handler: bool = False
    listen: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    environment: tuple[Any, ...] = ()
    become: Any = None
    become_user: Any = None
    become_method: Any = None
    become_flags: Any = None
    remote_user: Any = None
    connection: Any = None
    port: Any = None
    timeout: Any = None  # seconds, None = the setting
    no_log: Any = False
    vars: Mapping[str, Any] = field(default_factory=dict)
    run_once: Any = False
    delegate_to: Any = None
    #: Facts are those of the host that the step is sent to.
    delegate_facts: Any = False
    any_errors_fatal: Any = False
    check_mode: Any = None
    diff: Any = None
    rerun: Literal["safe", "never"] | None = None
    throttle: Any = None  # hosts at that step at once, over all workers; None or 0: no limit
    #: Each command leaves a directory on the host that tells what became of it; None: as the host's variable says.
    guard: Any = None
    #: Seconds that the step may take as a job; None and 0: it is none.
    async_val: Any = None
    #: Seconds between two looks at it; 0: it is left to itself.
    poll: Any = None
    #: Which of the play's roles the step belongs to.
    role: int | None = None
    #: Variables that its includes were given: they win over those of hosts.
    params: Mapping[str, Any] = field(default_factory=dict)
    #: Which of the plan's lists of folders its files were looked for in.
    search: int = 0
    #: Of a handler: the names by which it is notified, as no later one has taken them.
    known_as: tuple[str, ...] = ()
    #: What hosts may bring in here; None where the step is no include.
    inclusions: tuple[Inclusion, ...] | None = None
    #: Arguments are taken as they stand, never rendered (an ad hoc command may hold ``{{``).
    literal: bool = False


class HostFile(Struct, frozen=True):
    """An entry of ``vars_files`` that each host renders: the first of ``alternatives`` that exists is the host's.

    ``followed_by`` are the variables of the entries behind it, up to the next of its kind.
    """

    alternatives: tuple[str, ...]
    followed_by: Mapping[str, Any] = field(default_factory=dict)


class HostFiles(Struct, frozen=True):
    """The entries of ``vars_files`` from the first on that each host renders, and the files that they may name.

    ``contents`` and ``unusable`` (why a file cannot be read) have absolute paths of the submitting machine,
    ``directory`` is the playbook's folder there.
    """

    entries: tuple[HostFile, ...]
    directory: str
    contents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unusable: Mapping[str, str] = field(default_factory=dict)

    @property
    def layers(self) -> tuple[Mapping[str, Any], ...]:
        """All variables that a host may have of them."""
        return (*(entry.followed_by for entry in self.entries), *self.contents.values())


class Late(Struct, frozen=True):
    """How the hosts of a play are found once the run gets there, as steps before may add hosts and groups to it."""

    patterns: tuple[str, ...]
    #: The single patterns of ``--limit``, those of files in their place; None without one.
    limit: tuple[str, ...] | None = None
    order: str | None = None
    #: Tells one ``order: shuffle`` from another.
    seed: str = ""
    serial: tuple[Any, ...] = ()
    #: The walk of the run (see :mod:`opsrunner.engine.cursor`) in which they were decided last; None before that.
    walk: int | None = None


class Play(Struct, frozen=True):
    """One play: its steps in the order they would run, its hosts cut into batches.

    ``steps`` holds the pre_tasks, tasks, post_tasks and the gate, and after each of those sections (when it
    has tasks) a copy of every handler, so that a flush is nothing but steps that only notified hosts take part in.
    """

    number: int  # from 0
    name: str
    place: str
    pattern: str
    hosts: tuple[str, ...]  # in the pattern's order, as `ansible_play_hosts` tells them
    batches: tuple[tuple[str, ...], ...]  # in the order in which they are at work
    steps: tuple[Step, ...]
    strategy: Literal["linear", "free"] = "linear"
    #: What the batches are cut by besides their size, and the values of it that each stands for.
    serial_by: str | None = None
    batch_names: tuple[str, ...] = ()
    vars: Mapping[str, Any] = field(default_factory=dict)
    #: Variables of the entries of ``vars_files`` before the first in ``host_files``.
    vars_from_files: Mapping[str, Any] = field(default_factory=dict)
    host_files: HostFiles | None = None
    max_fail_percentage: float | None = None
    #: Hosts of the whole run that may fail, or be out of reach: a number or ``N%``; see :mod:`opsrunner.plan.budgets`.
    error_budget: str | None = None
    unreachable_budget: str | None = None
    force_handlers: bool = False
    #: Seconds between a batch's tasks and its gate.
    dwell: float = 0
    #: The roles whose tasks are in the play, and the variables that all of the play has of them.
    roles: tuple[Role, ...] = ()
    role_defaults: Mapping[str, Any] = field(default_factory=dict)
    role_vars: Mapping[str, Any] = field(default_factory=dict)
    #: Names of the roles that the play itself brings in, in order; then those that these depend on.
    role_names: tuple[str, ...] = ()
    dependent_role_names: tuple[str, ...] = ()
    #: Folder of the playbook that the play was imported from, None for that of the plan.
    directory: str | None = None
    #: The run decides who the play is for. Until then ``hosts`` are those that it would be for now, in no batch.
    late: Late | None = None

    @property
    def is_undecided(self) -> bool:
        return self.late is not None and self.late.walk is None

    @property
    def vars_of_files(self) -> tuple[Mapping[str, Any], ...]:
        """All variables that a host may have of ``vars_files``."""
        return (self.vars_from_files, *(self.host_files.layers if self.host_files else ()))


class Options(Redacted, frozen=True):
    """What the command line adds to a playbook."""

    HIDDEN: ClassVar = frozenset(("connection_password", "become_password"))

    check: bool = False
    diff: bool = False
    verbosity: int = 0
    forks: int | None = None
    tags: tuple[str, ...] = ()
    skip_tags: tuple[str, ...] = ()
    #: Handlers of hosts that failed run too, where the play does not say otherwise.
    force_handlers: bool = False
    #: Name or pattern of the task that the run begins with.
    start_at_task: str | None = None
    limit: str | None = None
    #: Somebody follows the run at a terminal, and can be asked; with ``step`` before each task.
    interactive: bool = False
    step: bool = False
    #: What each ``@failed-of-RUN`` in the patterns stood for when the run was started, without its ``@``.
    selections: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: Tells one ``order: shuffle`` from another.
    shuffle_seed: int = 0
    remote_user: str | None = None
    private_key: str | None = None
    connection_timeout: float | None = None
    become: bool | None = None
    become_user: str | None = None
    become_method: str | None = None
    #: What becomes of a host that another run holds.
    locked: Literal["wait", "skip", "fail", "ignore"] = "wait"
    #: Seconds to wait for it, None the setting's.
    lock_timeout: float | None = None
    #: Seconds for which unreachable hosts are kept and tried again, None not at all.
    park: float | None = None
    #: Hosts of the run that may fail, or be out of reach, until nothing more is sent, in place of what plays say.
    max_failed: str | None = None
    max_unreachable: str | None = None
    connection_password: str | None = None
    become_password: str | None = None


class Sources(Struct, frozen=True):
    """What a plan was made from, so that it can be made again later and compared.

    Paths are absolute, on the machine ``machine`` (its hostname).
    """

    #: What ``-i`` named, in order: paths, and host lists as they were written.
    inventories: tuple[str, ...]
    #: The working directory.
    directory: str
    machine: str
    #: None for an ad hoc command.
    playbook: str | None = None
    allow_empty: bool = False
    #: Path → SHA-256 of every file that was read: playbook, inventories, variable files; of a script
    #: that was run its output, too, as ``PATH --list``.
    files: Mapping[str, str] = field(default_factory=dict)


class Plan(Redacted, frozen=True):
    """Everything a worker needs to carry out a run; it shares no disk with the submitting machine.

    ``files`` maps ``"<folder>/<path as written>"`` to the SHA-256 of the content, which travels
    beside the plan; for a step that looks elsewhere than beside the playbook, its ``search`` and a
    slash stand before that. ``inventory`` is what ``Inventory.to_data`` gave.
    """

    HIDDEN: ClassVar = frozenset(("lookups", "answers"))

    title: str
    kind: Literal["playbook", "exec"]
    directory: str  # absolute folder of the playbook: playbook_dir
    plays: tuple[Play, ...]
    inventory: Mapping[str, Any]
    #: Lists of folders in which steps look for files, by the numbers in their ``search``.
    searches: tuple[tuple[str, ...], ...] = ()
    extra_vars: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    #: Permission bits on the submitting machine, by the keys of ``files``.
    modes: Mapping[str, int] = field(default_factory=dict)
    #: What lookups asked of the submitting machine, and its answers (:mod:`opsrunner.plan.machine`).
    lookups: Mapping[str, Any] = field(default_factory=dict)
    options: Options = field(default_factory=Options)
    #: Zone → its targeted hosts.
    zones: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sources: Sources | None = None
    #: What ``vars_prompt`` was answered, by the play's number and then by name: nobody is asked twice.
    answers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Compiled(Redacted, frozen=True):
    """A plan, the content of the files it needs by SHA-256, and what the operator should be told."""

    HIDDEN: ClassVar = frozenset(("files",))

    plan: Plan
    files: Mapping[str, bytes] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
