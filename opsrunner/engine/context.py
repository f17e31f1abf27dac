"""A run as a worker holds it in memory: the plan opened once, each host's variables and connection."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from opsrunner.engine import magic
from opsrunner.engine.additions import decode_additions
from opsrunner.engine.outlook import following
from opsrunner.engine.reaching import Reaching
from opsrunner.engine.remembered import Remembered
from opsrunner.executor import Prepared
from opsrunner.executor.facts import FACTS, FactVariables
from opsrunner.inventory import Inventory
from opsrunner.inventory.additions import Added, grown
from opsrunner.ledger.client import patiently
from opsrunner.ledger.reader import Reader
from opsrunner.ledger.results import is_long
from opsrunner.ledger.store import Store
from opsrunner.modules.contract import INCLUDED, ModuleFailure
from opsrunner.plan import machine
from opsrunner.plan.codec import decode
from opsrunner.plan.host_files import layers_of
from opsrunner.plan.late import ADDING
from opsrunner.plan.model import Play, Role, Step
from opsrunner.plan.paths import key_of
from opsrunner.plan.role_variables import role_magic
from opsrunner.templating import Layer, Scope, Templar, TemplateFailure


class RunContext:
    """Everything of one run that does not change, and the variables that steps gave to hosts.

    ``lap`` tells how often the run was resumed: its plan may have been replaced then.
    Raises LookupError when the run is gone, InputError (SealError) when the plan cannot be opened with this node's key.
    """

    def __init__(self, run_id: str, lap: int, store: Store, reader: Reader) -> None:
        data = store.load_plan(run_id)
        if data is None:
            raise LookupError(run_id)
        self.run_id = run_id
        self.lap = lap
        self.store = store
        self.reader = reader
        self.plan = decode(data)
        self._planned = Inventory.from_data(self.plan.inventory)
        #: What is known now: with the hosts and groups that the run has added.
        self.inventory = self._planned
        self._added: list[Added] = []
        self._records = 0
        self._adds = any(step.module in ADDING for play in self.plan.plays for step in play.steps)
        self.templar = Templar(lookups=machine.lookups(machine.replayed(self.plan.lookups), self.plan.directory))
        self.files = RunFiles(run_id, store, self.plan.files, self.plan.modes)
        self.magic = magic.of_context(self)
        self.stops = Stops()
        self.zone_of = {host: zone for zone, hosts in self.plan.zones.items() for host in hosts}
        #: Host → number (among all of the plan) of the last batch it is in.
        self.last_batch = {
            host: number
            for number, batch in enumerate(batch for play in self.plan.plays for batch in play.batches)
            for host in batch
        }
        self._values: dict[str, tuple[int, dict[str, Any]]] = {}
        self._facts: dict[str, Mapping[str, Any]] = {}
        self._following: dict[int, Mapping[int, int]] = {}
        self.reaching = Reaching(self)
        self._prepared: dict[int, Prepared] = {}
        self._inventory_layers: dict[str, tuple[Layer, Layer]] = {}
        self._stage = ""
        self._fresh: set[str] = set()
        self._lock = threading.Lock()
        self._growing = threading.Lock()
        self._known = 0
        self.see_additions()

    @property
    def known(self) -> int:
        """The highest sequence number of the run that this process was told."""
        return self._known

    def learn(self, number: int) -> None:
        if number > self._known:
            with self._lock:
                self._known = max(self._known, number)

    def prepared(self, step: Step) -> Prepared:
        """What of the step is the same for all hosts."""
        known = self._prepared.get(step.number)
        if known is None:
            known = self._prepared[step.number] = Prepared(step, self.plan.options)
        return known

    # ------------------------------------------------------------------ inventory
    def see_additions(self) -> None:
        """Take in what steps have added to the inventory, here or on other workers."""
        if not self._adds:
            return
        with self._growing:
            records = patiently(lambda: self.store.additions(self.run_id, self._records))
            if records:
                self._records += len(records)
                self._added += decode_additions(records)
                self.inventory = grown(self._planned, self._added)
                # All of them depend on what the inventory says of a host.
                self._inventory_layers = {}
                self.reaching.forget()

    # ------------------------------------------------------------------ variables
    def values(self, host: str, version: int | None = None) -> dict[str, Any]:
        """What earlier steps gave a host, without its facts; read again when ``version`` tells of changes."""
        known = self._values.get(host)
        if known is not None and (version is None or known[0] == version):
            return known[1]
        # Whatever gives a host variables counts up: nothing was given where nothing is counted.
        read = (0, {}) if version == 0 else patiently(lambda: self.store.host_variables(self.run_id, host))
        with self._lock:
            self._facts[host] = read[1].pop(FACTS, {})
            self._values[host] = read
        return read[1]

    def version(self, host: str) -> int:
        """Which version of these is remembered."""
        self.values(host)
        return self._values[host][0]

    def facts(self, host: str) -> Mapping[str, Any]:
        """What was gathered of a host, by the names that modules gave."""
        self.values(host)
        return self._facts[host]

    def latest_facts(self, host: str) -> Mapping[str, Any]:
        """The same of any host, not older than this stage."""
        self.refresh(host)
        return self.facts(host)

    def begin_stage(self, cursor: str) -> None:
        """Other workers may have given hosts new variables, and the run new hosts, since the last stage."""
        with self._lock:
            if cursor != self._stage:
                self._stage = cursor
                self._fresh.clear()
        self.see_additions()

    def refresh(self, host: str) -> None:
        """Make sure that what is remembered of another host is not older than this stage."""
        with self._lock:
            fresh = host in self._fresh
            self._fresh.add(host)
        if not fresh:
            self.values(host, patiently(lambda: self.store.variables_version(self.run_id, host)))

    def remember(self, host: str, version: int, values: Mapping[str, Any]) -> None:
        """What a step of this worker has just given the host, now stored as ``version``."""
        with self._lock:
            known = self._values.get(host)
            # What hosts printed at length is read again, small as it is stored, if it is wanted at all.
            if known is not None and known[0] == version - 1 and not any(map(is_long, values.values())):
                given = dict(values)
                self._facts[host] = given.pop(FACTS, self._facts[host])
                self._values[host] = (version, {**known[1], **given})
            else:
                self._values.pop(host, None)

    def forget(self, host: str) -> None:
        """A step of another host gave this one variables: they are read again when they are wanted."""
        with self._lock:
            self._values.pop(host, None)
            self._fresh.discard(host)

    def scope(self, host: str, play: Play | None = None, step: Step | None = None, *, batch: int = 0) -> Scope:
        """The host's variables in Ansible's order of precedence, lowest first.

        Without ``play`` as ``hostvars`` shows them: nothing of the play, and no ``vars`` or ``hostvars`` in them.
        """
        values, facts = self.values(host), self.facts(host)
        layers = partial(self._layers, host, play, step, batch, values, facts)
        if play is None:
            return Scope(self.templar, layers, made={})
        return Scope(self.templar, layers, made=None if step is None else magic.Made(self, host, play, step))

    def _layers(
        self,
        host: str,
        play: Play | None,
        step: Step | None,
        batch: int,
        values: Mapping[str, Any],
        facts: Mapping[str, Any],
    ) -> list[Layer]:
        role = play.roles[step.role] if play is not None and step is not None and step.role is not None else None
        layers = self._below_files(host, play, role, facts)
        if play is not None:
            of_files, _ = self._of_host_files(host, play, step, batch)
            layers += [*of_files, Layer(play.role_vars, True)]
        layers += [Layer(role.vars, True)] if role else []
        if step is not None and step.vars:
            layers.append(Layer(step.vars, True))
        included = {name.removeprefix(INCLUDED): values[name] for name in values if name.startswith(INCLUDED)}
        if included:
            layers.append(Layer(included, True))
            values = {name: value for name, value in values.items() if not name.startswith(INCLUDED)}
        layers.append(Layer(Remembered(values), False))
        layers += [Layer(role.params, True)] if role else []
        if step is not None and step.params:
            layers.append(Layer(step.params, True))
        layers += [
            Layer(self.plan.extra_vars, True),
            Layer(role_magic(role), False),
            Layer(magic.Magic(self, play, batch), False),
        ]
        if play is not None and step is not None:
            layers.append(Layer({"environment": list(step.environment)}, True))
        return layers

    def _below_files(self, host: str, play: Play | None, role: Role | None, facts: Mapping[str, Any]) -> list[Layer]:
        """What is weaker than the files of variables that hosts have of their own, with the play's others."""
        layers = [] if play is None else [Layer(play.role_defaults, True)]
        layers += [Layer(role.defaults, True)] if role else []
        layers += [*self._of_inventory(host), Layer(FactVariables(facts), False)]
        return layers if play is None else [*layers, Layer(play.vars, True), Layer(play.vars_from_files, True)]

    def _of_inventory(self, host: str) -> tuple[Layer, Layer]:
        known = self._inventory_layers.get(host)
        if known is None:
            of_host = Layer(self.inventory.variables(host), True), Layer(self.inventory.magic(host), False)
            known = self._inventory_layers[host] = of_host
        return known

    def _of_host_files(
        self, host: str, play: Play, step: Step | None, batch: int
    ) -> tuple[list[Layer], TemplateFailure | None]:
        """The variables of the files that are the host's own, and why it cannot have all of them."""
        if play.host_files is None:
            return [], None
        role = play.roles[step.role] if step is not None and step.role is not None else None
        below = self._below_files(host, play, role, self.facts(host))
        above = [Layer(self.plan.extra_vars, True), Layer(role_magic(role), False)]
        above.append(Layer(magic.Magic(self, play, batch), False))
        made = None if step is None else magic.Made(self, host, play, step)
        found, problem = layers_of(
            play.host_files,
            lambda before: Scope(self.templar, [*below, *(Layer(one, True) for one in before), *above], made=made),
            self.templar,
            gathered="module_setup" in self.facts(host),
        )
        return [Layer(one, True) for one in found], problem

    def problem_of_files(self, host: str, play: Play, step: Step, *, batch: int) -> TemplateFailure | None:
        """Why the step cannot have the variables that ``vars_files`` hold for the host."""
        return self._of_host_files(host, play, step, batch)[1]

    def following(self, step: Step, play: int) -> int:
        """How many of the play's later steps send commands to a host."""
        known = self._following.get(play)
        if known is None:
            known = self._following[play] = following(self.plan.plays[play])
        return known.get(step.number, 0)


class Stops:
    """Tells the host-steps at work that they were cancelled: all of a run, one host's, one step's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all = False
        self._at_work: dict[tuple[str, int], threading.Event] = {}

    def begin(self, host: str, step: int) -> threading.Event:
        """The event of a host × step that is set once it is cancelled."""
        with self._lock:
            event = self._at_work[host, step] = threading.Event()
            if self._all:
                event.set()
            return event

    def end(self, host: str, step: int) -> None:
        with self._lock:
            self._at_work.pop((host, step), None)

    def cancel_all(self) -> None:
        with self._lock:
            self._all = True
            for event in self._at_work.values():
                event.set()

    def cancel(self, wanted: Collection[str]) -> None:
        """``wanted`` as in :func:`opsrunner.ledger.keys.cancels`."""
        with self._lock:
            for (host, step), event in self._at_work.items():
                if is_cancelled(wanted, host, step):
                    event.set()


def is_cancelled(wanted: Collection[str], host: str, step: int) -> bool:
    """Whether an operator cancelled that host × step by itself."""
    return any(word in wanted for word in (f"h|{host}", f"s|{step}", f"x|{step}|{host}"))


class RunFiles:
    """The files that travel with the run, read from the ledger when first wanted."""

    def __init__(self, run_id: str, store: Store, digests: Mapping[str, str], modes: Mapping[str, int]) -> None:
        self._run_id = run_id
        self._store = store
        self._digests = digests
        self._modes = modes
        self._contents: dict[str, bytes] = {}

    def of(self, step: Step) -> StepFiles:
        """The files as that step looks for them."""
        return StepFiles(self, step.search)

    def read(self, search: int, path: str, *, folder: str) -> bytes:
        digest = self._digests.get(key_of(search, folder, path))
        if digest is None:
            raise ModuleFailure(f"Could not find or access '{path}' among the files that came with the run")
        if digest not in self._contents:
            content = patiently(lambda: self._store.load_file(self._run_id, digest))
            if content is None:
                raise ModuleFailure(f"the content of '{path}' is gone from the ledger")
            self._contents[digest] = content
        return self._contents[digest]

    def mode(self, search: int, path: str, *, folder: str) -> int:
        mode = self._modes.get(key_of(search, folder, path))
        if mode is None:
            raise ModuleFailure(f"nothing is known of the permissions of '{path}'")
        return mode


class StepFiles:
    """The files of a run as one step finds them: by the folders of its role, or of the playbook."""

    def __init__(self, files: RunFiles, search: int) -> None:
        self._files = files
        self._search = search

    def read(self, path: str, *, folder: str) -> bytes:
        return self._files.read(self._search, path, folder=folder)

    def mode(self, path: str, *, folder: str) -> int:
        return self._files.mode(self._search, path, folder=folder)
