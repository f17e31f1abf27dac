"""Playbook × inventory → plan. Reads files, touches no host; every fault is reported, all of them at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from opsrunner.errors import InputError, did_you_mean
from opsrunner.inventory import Inventory, patterns
from opsrunner.plan import check, imports, late, machine, prompts, role_paths, steering, tags, vars_files
from opsrunner.plan.bundle import Bundle
from opsrunner.plan.certainty import Certainty
from opsrunner.plan.choices import HostScopes
from opsrunner.plan.codec import plain
from opsrunner.plan.facts import gathering_step, spared
from opsrunner.plan.foresight import Foresight
from opsrunner.plan.handlers import check_notified
from opsrunner.plan.magic import of_play, of_roles, of_run
from opsrunner.plan.model import Compiled, Options, Plan, Play, Step
from opsrunner.plan.play_keywords import PlayKeywords
from opsrunner.plan.role_variables import RoleVariables
from opsrunner.plan.roles import Reader
from opsrunner.plan.scope import PlayScope
from opsrunner.plan.secrets import open_used
from opsrunner.plan.steps import Made, play_steps
from opsrunner.plan.structure import Structure
from opsrunner.plan.targets import Targets
from opsrunner.plan.templates import check_templates
from opsrunner.plan.unset import check_set
from opsrunner.plan.zones import zones_of
from opsrunner.playbook import Faults
from opsrunner.playbook import Play as WrittenPlay
from opsrunner.templating import LookupContext, Templar


def compile_playbook(
    path: Path,
    inventory: Inventory,
    options: Options,
    extra_vars: Mapping[str, Any],
    *,
    templar: Templar | None = None,
    allow_empty: bool = False,
    ask: prompts.Ask = prompts.nobody,
    answers: Mapping[str, Mapping[str, Any]] | None = None,
    base: Path | None = None,
) -> Compiled:
    """Compile the playbook in ``path``; ``templar`` defaults to one that looks things up on this machine.

    ``allow_empty`` lets patterns match no host. Variables beside the playbook (group_vars/,
    host_vars/) are read here; ``base`` is the folder whose ansible.cfg says where roles lie, the current
    one if it is not given. ``ask`` is asked for vars_prompt, unless ``answers`` of an earlier
    compilation or ``extra_vars`` have it, and only where nothing is known to be wrong.
    Raises InputError or InputErrors, each with file:line:column.
    """
    faults = Faults()
    directory = _folder(path)
    recorder = machine.Recorder(machine.Here(directory).ask)
    templar = templar or Templar(lookups=machine.lookups(recorder.ask, str(directory)))
    warnings: list[str] = []
    written = imports.read(path, faults, warnings, extra_vars, templar)
    as_loaded = inventory
    try:
        inventory = inventory.with_playbook_vars(directory, base=Path.cwd())
    except InputError as error:
        faults.take(error)
    compiler = _Compiler(inventory, options, extra_vars, path.parent, templar, faults, allow_empty, recorder)
    compiler.look_for_roles(base or Path.cwd())
    compiler.broken = len(faults) > 0
    if any(play.play.prompts for play in written):
        compiler.check_limit()
        faults.raise_all()
    compiler.ask, compiler.known_answers = ask, answers or {}
    for play in written:
        compiler.add(play.play, play.path)
    compiler.check_limit()
    compiler.spare_gathering()
    imports.check_variables(written, as_loaded, inventory, directory, _targeted(compiler.plays), faults)
    check_templates(compiler.bundle, templar, faults)
    open_used(compiler.plays, inventory, extra_vars, templar=templar, bundle=compiler.bundle, faults=faults)
    faults.raise_all()
    compiler.check_begun()
    warnings += tags.unmet(options.tags, compiler.tags)
    compiler.check_any_host()
    # A file that several plays name is read, and warned of, by each of them.
    told = (*map(str, inventory.warnings), *warnings, *compiler.warnings, *compiler.bundle.warnings)
    return Compiled(compiler.plan(str(path)), compiler.bundle.contents, tuple(dict.fromkeys(told)))


def lookups_here(directory: Path) -> LookupContext:
    """Lookups of the machine that submits; paths are relative to ``directory``."""
    return machine.lookups(machine.Here(directory).ask, str(directory))


def _folder(path: Path) -> Path:
    return Path(os.path.abspath(path)).parent  # noqa: PTH100 -- links stay as the operator wrote them


def _targeted(plays: Sequence[Play]) -> list[str]:
    """Every targeted host once, in the order of the plays."""
    return list(dict.fromkeys(host for play in plays for host in play.hosts))


def _is_named(made: Made, wanted: str) -> bool:
    """Whether ``--start-at-task`` means that task: not one that only some hosts come to."""
    step = made.step
    if step.handler or any(part == "included" for _, part in step.path):
        return False
    return any(fnmatchcase(name, wanted) for name in (step.name, made.task.name or ""))


class _Compiler:
    """Compiles the plays of one playbook, one after the other."""

    def __init__(
        self,
        inventory: Inventory,
        options: Options,
        extra_vars: Mapping[str, Any],
        folder: Path,
        templar: Templar,
        faults: Faults,
        allow_empty: bool,
        recorder: machine.Recorder,
    ) -> None:
        self.inventory = inventory
        self.options = options
        self.extra_vars = extra_vars
        #: The playbook's folder as the operator named it, and in full.
        self.folder = folder
        self.directory = directory = Path(os.path.abspath(folder))  # noqa: PTH100 -- links stay as written
        self.templar = templar
        self.faults = faults
        self.allow_empty = allow_empty
        #: Something could not be read: what refers to it is not looked for, so that one fault is told once.
        self.broken = False
        self.searches: list[tuple[str, ...]] = [(str(directory),)]
        self.bundle = Bundle(self.searches, faults)
        self.recorder = recorder
        self.foresight = Foresight(templar, recorder, inventory, faults)
        self.plays: list[Play] = []
        self.warnings: list[str] = []
        self.ask: prompts.Ask = prompts.nobody
        self.known_answers: Mapping[str, Mapping[str, Any]] = {}
        self.answers: dict[str, dict[str, Any]] = {}
        #: Whether the task that the run begins with has been found.
        self.begun = False
        self._passed_over: list[str] = []
        self._next_step = 0
        self.tags: set[str] = set()
        #: Plays that do not say whether facts are gathered.
        self._implied: set[int] = set()
        #: What the plays so far may add to the inventory.
        self._makes = late.Makes()
        self._magic = self._magic_variables()
        self._reader = Reader(faults, self.warnings, self._shown)

    def look_for_roles(self, base: Path) -> None:
        """Learn where roles lie besides those of the playbook."""
        self._reader.elsewhere = found = role_paths.read(base, os.environ)
        self.warnings += found.warnings

    def add(self, written: WrittenPlay, path: Path) -> None:
        """Compile one play of the playbook in ``path`` and append it."""
        directory = _folder(path)
        scope = self._scope_of(written, directory)
        self._ask(written, scope)
        from_files, host_files = vars_files.read_all(written, scope, directory, self._warn, self._names_of_hosts)
        targets = Targets(
            written, scope, self.inventory, self.options, self.faults, allow_empty=self.allow_empty, makes=self._makes
        )
        self.warnings += targets.warnings
        # Who a late play is for is not known: whatever is looked at for its hosts is looked at for all.
        likely = [*self.inventory.hosts] if targets.late else targets.hosts
        hosts = HostScopes(likely, self._known_of, others=targets.late)
        host_files = vars_files.take_along(host_files, written, scope, hosts, self._warn)
        scope.add_host_files(host_files.contents.values())
        structure = Structure(self._reader, scope, hosts, directory, self.searches)
        before = len(self.faults)
        resolved = structure.resolve(written, path)
        scope.learn(of_roles(structure.names, structure.dependent_names()))
        self.broken = self.broken or len(self.faults) > before
        check.check_play(resolved, self.templar, self.faults)
        steering.check_play(resolved, self.faults)
        late.check_play(resolved, self.faults)
        search = self.searches.index((str(directory),))
        made = self._begun(
            play_steps(resolved, self.options, scope, self._next_step, structure.roles, search, tags=self.tags)
        )
        steps = tuple(one.step for one in made)
        self._next_step += len(steps)
        if not self.broken:
            # Where tags leave nothing, there are no handlers either.
            if steps or not (self.options.tags or self.options.skip_tags):
                check_notified(resolved, [step for step in steps if step.handler], scope)
            defined = {*structure.variables.names(), *(name for layer in host_files.layers for name in layer)}
            check_set(resolved, scope, self.inventory, likely, self.templar, defined)
        own = {**plain(written.vars), **self.answers.get(str(len(self.plays)), {})}
        self._take_along(made, structure.variables, scope, likely, (own, *host_files.layers))
        if "gather_facts" not in written.keywords:
            self._implied.add(len(self.plays))
        keywords = PlayKeywords(resolved, scope, self.inventory, self.options, self._known_of)
        steps = (*self._gathering(written, keywords), *steps)
        self.plays.append(
            replace(
                keywords.play(len(self.plays), targets, steps, own),
                roles=tuple(structure.roles),
                role_defaults=structure.variables.defaults,
                role_vars=structure.variables.vars,
                role_names=tuple(structure.names),
                dependent_role_names=structure.dependent_names(),
                directory=str(directory) if directory != self.directory else None,
                vars_from_files=from_files,
                host_files=host_files if host_files.entries else None,
            )
        )
        self._warn_of_free(self.plays[-1])
        self._expect(late.made_by(check.play_tasks(resolved)))

    def _scope_of(self, written: WrittenPlay, directory: Path) -> PlayScope:
        magic = {**self._magic, **of_play(written.name or ",".join(written.hosts.value), str(directory))}
        return PlayScope(
            self.templar, self.faults, play_vars=plain(written.vars), extra_vars=self.extra_vars, magic=magic
        )

    def _expect(self, makes: late.Makes) -> None:
        """Later plays may be for hosts that this one adds, and these have the variables that files give them."""
        more = self._makes | makes
        if more == self._makes:
            return
        self._makes = more
        try:
            self.inventory = self.inventory.with_files_of_others(
                more.may_make_group, more.may_make_host, base=Path.cwd()
            )
        except InputError as error:
            self.faults.take(error)
        self.foresight.learn(self.inventory)

    def _take_along(
        self,
        made: Sequence[Made],
        roles: RoleVariables,
        scope: PlayScope,
        hosts: Sequence[str],
        play_vars: Sequence[Mapping[str, Any]],
    ) -> None:
        """The files that the steps name, and what their lookups come to on this machine."""
        keys = [(one.step.role, one.step.search, repr(one.step.params)) for one in made]
        steps = {key: one.step for key, one in zip(keys, made, strict=True)}
        arounds = {key: roles.around(step, self.searches) for key, step in steps.items()}
        others = any(one.step.delegate_to is not None or "hostvars" in repr(one.step) for one in made)
        known = (*play_vars, scope.from_files, self.extra_vars)
        certainty = Certainty(one.step for one in made)
        # A lookup in a variable looks beside the step that uses it.
        self.foresight.look_at_variables(scope, self.inventory.hosts if others else hosts, known, arounds.values())
        for key, one in zip(keys, made, strict=True):
            around = arounds[key]
            self.foresight.look_at(one.step, one.task.place, scope, hosts, around)
            scopes = self.foresight.scopes(one.step, scope, hosts, around)
            likely = self.foresight.likely(one.step, scope, around)
            must = certainty.must_succeed(one.step)
            self.bundle.add_task(one.task, scope, one.step, around, scopes, likely, anybody=bool(hosts), needed=must)
            for text in self.bundle.template_texts(one.step):
                self.foresight.look_into(text, one.step, scope, hosts, around)
            check.check_guard(one.task, one.step, self.faults)
            check.check_async(one.task, one.step, self.faults)
        self.foresight.look_at_variables(scope, hosts, list(self.bundle.variables()), arounds.values())

    def _warn(self, warning: InputError) -> None:
        self.warnings.append(str(warning))

    def _names_of_hosts(self) -> set[str]:
        """Names of variables that one host may have and another not."""
        return {name for host in self.inventory.hosts for name in self._known_of(host)}

    def _shown(self, path: Path) -> Path:
        return self.folder / path.relative_to(self.directory) if path.is_relative_to(self.directory) else path

    def _known_of(self, host: str) -> Mapping[str, Any]:
        """What is known of a host before it is reached."""
        return {**self.inventory.variables(host), **self.inventory.magic(host)}

    def _begun(self, made: Sequence[Made]) -> list[Made]:
        """The steps from the one on that ``--start-at-task`` names, in whichever play that is."""
        wanted = self.options.start_at_task
        if wanted is None or self.begun:
            return list(made)
        begin = next((index for index, one in enumerate(made) if _is_named(one, wanted)), None)
        self.begun = begin is not None
        self._passed_over += [one.step.name for one in made[:begin] if not one.step.handler]
        kept = () if begin is None else made[begin:]
        return [
            replace(one, step=replace(one.step, number=number))
            for number, one in enumerate(kept, start=self._next_step)
        ]

    def check_begun(self) -> None:
        """A run that begins nowhere is a slip."""
        wanted = self.options.start_at_task
        if wanted is not None and not self.begun:
            raise InputError(
                f"no task is named {wanted!r}",
                remedy=did_you_mean(wanted, self._passed_over, "opsrunner plan PLAYBOOK lists them"),
            )

    def _ask(self, written: WrittenPlay, scope: PlayScope) -> None:
        """Ask for what the play's vars_prompt names; the answers become variables of the play."""
        number = str(len(self.plays))
        given = prompts.ask_all(written, scope, self.extra_vars, self.ask, self.known_answers.get(number, {}))
        scope.hide(prompt.name for prompt in written.prompts)
        if given:
            self.answers[number] = given
            scope.add_play_vars(given)

    def _warn_of_free(self, play: Play) -> None:
        """Under ``strategy: free`` hosts never meet, so what speaks of the others has no effect, as in Ansible."""
        if play.strategy != "free":
            return
        apart = [step for step in play.steps if step.section != "gate"]
        without = [word for word in ("run_once", "any_errors_fatal") if any(getattr(step, word) for step in apart)]
        if play.max_fail_percentage is not None:
            without.append("max_fail_percentage")
        for word in without:
            self.warnings.append(f"{play.place}: {word} has no effect under strategy: free")

    def _gathering(self, written: WrittenPlay, keywords: PlayKeywords) -> tuple[Step, ...]:
        """The step that gathers facts, where the play does that and is not one before ``--start-at-task``."""
        wanted = keywords.value("gather_facts")
        if self.options.start_at_task is not None and not self.begun:
            return ()
        return gathering_step(written, self.options, keywords.scope, wanted)

    def spare_gathering(self) -> None:
        """Leave out the gathering that nobody asked for in plays that cannot use a fact."""
        self.plays = spared(self.plays, self._implied, self.bundle, self.inventory, self.extra_vars)

    def check_limit(self) -> None:
        """A slip in ``--limit`` must not quietly leave hosts out. Raises nothing; a fault is noted."""
        options = self.options
        if options.limit is None:
            return
        try:
            parts = patterns.limit_parts(options.limit, selections=options.selections)
            # Names that the run may make are looked for when it has made them.
            known = [part for part in parts if not self._makes.may_touch([part], self.inventory)]
            patterns.check_limit(
                self.inventory, known or options.limit, allow_empty=self.allow_empty, selections=options.selections
            )
        except InputError as error:
            self.faults.take(error)

    def plan(self, title: str) -> Plan:
        """The plan of the plays that were added."""
        return Plan(
            title=title,
            kind="playbook",
            directory=str(self.directory),
            plays=tuple(self.plays),
            inventory=self.inventory.to_data(),
            searches=tuple(self.searches),
            extra_vars=plain(self.extra_vars),
            files=self.bundle.keys,
            modes=self.bundle.modes,
            lookups=self.recorder.answers,
            options=self.options,
            answers=self.answers,
            zones=zones_of(self.inventory, _targeted(self.plays), self.templar, self.extra_vars),
        )

    def check_any_host(self) -> None:
        """A run for nobody is a mistake, unless it was said that it is none."""
        if not self.allow_empty and self.plays and not any(play.hosts or play.late for play in self.plays):
            limit = f" and --limit {self.options.limit!r}" if self.options.limit else ""
            raise InputError(
                f"no play has any host: patterns{limit} leave none", remedy="--allow-empty accepts a run for no host"
            )

    def _magic_variables(self) -> dict[str, Any]:
        """What is set for a whole run, as far as it is known before any host is."""
        return {**of_run(self.options, str(self.directory)), "groups": self.inventory.groups_variable()}
