"""Playbook × inventory → plan. Reads files, touches no host; every fault is reported, all of them at once."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opsrunner import yamlsource
from opsrunner.errors import InputError
from opsrunner.inventory import Inventory, patterns
from opsrunner.plan import check, vars_files
from opsrunner.plan.batches import batches, ordered
from opsrunner.plan.bundle import Bundle
from opsrunner.plan.catalogue import Registry
from opsrunner.plan.codec import plain
from opsrunner.plan.facts import gathering_step, spared
from opsrunner.plan.handlers import check_notified
from opsrunner.plan.model import Options, Plan, Play, Step
from opsrunner.plan.scope import PlayScope
from opsrunner.plan.secrets import open_used
from opsrunner.plan.steps import play_steps
from opsrunner.plan.targets import Targets
from opsrunner.plan.templates import check_templates
from opsrunner.plan.zones import zones_of
from opsrunner.playbook import Faults, Keyword, parse_into
from opsrunner.playbook import Play as WrittenPlay
from opsrunner.playbook.keywords import KINDS
from opsrunner.playbook.values import READERS, Wrong
from opsrunner.templating import LookupContext, Templar


@dataclass(frozen=True, slots=True)
class Compiled:
    """A plan, the content of the files it needs by SHA-256, and what the operator should be told."""

    plan: Plan
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    warnings: tuple[str, ...] = ()


def compile_playbook(
    path: Path,
    inventory: Inventory,
    options: Options,
    extra_vars: Mapping[str, Any],
    *,
    templar: Templar | None = None,
    allow_empty: bool = False,
) -> Compiled:
    """Compile the playbook in ``path``; ``templar`` defaults to one that looks things up on this machine.

    ``allow_empty`` lets patterns match no host. Variables beside the playbook (group_vars/,
    host_vars/) are read here. Raises InputError or InputErrors, each with file:line:column.
    """
    faults = Faults()
    playbook = parse_into(faults, yamlsource.read_file(path), path, Registry())
    directory = Path(os.path.abspath(path)).parent  # noqa: PTH100 -- links stay as the operator wrote them
    try:
        inventory = inventory.with_playbook_vars(directory, base=Path.cwd())
    except InputError as error:
        faults.take(error)
    templar = templar or Templar(lookups=lookups_here(directory))
    compiler = _Compiler(inventory, options, extra_vars, directory, templar, faults, allow_empty)
    compiler.broken = len(faults) > 0
    compiler.check_limit()
    for play in playbook.plays:
        compiler.add(play)
    compiler.spare_gathering()
    check_templates(compiler.bundle, templar, faults)
    open_used(compiler.plays, inventory, extra_vars, templar=templar, bundle=compiler.bundle, faults=faults)
    faults.raise_all()
    compiler.check_any_host()
    # A file that several plays name is read, and warned of, by each of them.
    told = (*map(str, inventory.warnings), *playbook.warnings, *compiler.warnings, *compiler.bundle.warnings)
    return Compiled(compiler.plan(str(path)), compiler.bundle.contents, tuple(dict.fromkeys(told)))


def compile_exec(
    pattern: str,
    words: Sequence[str],
    inventory: Inventory,
    options: Options,
    extra_vars: Mapping[str, Any] | None = None,
    *,
    directory: Path | None = None,
    timeout: float | None = None,
    allow_empty: bool = False,
) -> Compiled:
    """Compile one command for the hosts of a pattern.

    One word is a line for a shell; several are a program and its arguments, run without a shell.
    Neither is a template. ``timeout`` is in seconds, None the setting's; ``directory`` defaults to
    the current one. Raises InputError.
    """
    if not words or not any(words):
        raise InputError("there is no command to run", remedy="opsrunner exec PATTERN -- COMMAND")
    directory = directory or Path.cwd()
    if not patterns.split(pattern):
        raise InputError(f"the pattern {pattern!r} says nothing", remedy="all hosts are all")
    hosts = patterns.match(
        inventory, pattern, limit=options.limit, allow_empty=allow_empty, selections=options.selections
    )
    step = _typed_command(words, timeout)
    play = Play(
        number=0,
        name=step.name,
        place=step.place,
        pattern=pattern,
        hosts=tuple(hosts),
        batches=batches(hosts, ()),
        steps=(step,),
    )
    templar, faults = Templar(lookups=lookups_here(directory)), Faults()
    open_used([play], inventory, extra_vars or {}, templar=templar, bundle=None, faults=faults)
    faults.raise_all()
    plan = Plan(
        title=step.name,
        kind="exec",
        directory=str(directory),
        plays=(play,),
        inventory=inventory.to_data(),
        extra_vars=plain(dict(extra_vars or {})),
        options=options,
        zones=zones_of(inventory, hosts, templar, extra_vars),
    )
    nobody = () if hosts else (f"no host matches {pattern!r}",)
    return Compiled(plan, {}, (*map(str, inventory.warnings), *nobody))


def _typed_command(words: Sequence[str], timeout: float | None) -> Step:
    line = words[0] if len(words) == 1 else shlex.join(words)
    return Step(
        number=0,
        name=line,
        module="shell" if len(words) == 1 else "command",
        place="command line",
        arguments={"_raw_params": line} if len(words) == 1 else {"argv": list(words), "expand_argument_vars": False},
        timeout=timeout,
        literal=True,
    )


def lookups_here(directory: Path) -> LookupContext:
    """Lookups of the machine that submits; paths are relative to ``directory``."""

    def read(path: str) -> str:
        for place in vars_files.candidates(directory, "files", path):
            if os.path.isfile(place):  # noqa: PTH113 -- a name too long is no file, where Path raises
                data = place.read_bytes()
                yamlsource.note(place, data)
                return yamlsource.open_file(data, path).decode("utf-8")
        raise FileNotFoundError(path)

    return LookupContext(environment=os.environ, read_file=read, directory=str(directory))


def _targeted(plays: Sequence[Play]) -> list[str]:
    """Every targeted host once, in the order of the plays."""
    return list(dict.fromkeys(host for play in plays for host in play.hosts))


class _Compiler:
    """Compiles the plays of one playbook, one after the other."""

    def __init__(
        self,
        inventory: Inventory,
        options: Options,
        extra_vars: Mapping[str, Any],
        directory: Path,
        templar: Templar,
        faults: Faults,
        allow_empty: bool,
    ) -> None:
        self.inventory = inventory
        self.options = options
        self.extra_vars = extra_vars
        self.directory = directory
        self.templar = templar
        self.faults = faults
        self.allow_empty = allow_empty
        #: Something could not be read: what refers to it is not looked for, so that one fault is told once.
        self.broken = False
        self.bundle = Bundle(directory, faults)
        self.plays: list[Play] = []
        self.warnings: list[str] = []
        self._next_step = 0
        #: Plays that do not say whether facts are gathered.
        self._implied: set[int] = set()
        self._magic = self._magic_variables()

    def add(self, written: WrittenPlay) -> None:
        """Compile one play and append it."""
        check.check_play(written, self.templar, self.faults)
        scope = PlayScope(
            self.templar,
            self.faults,
            play_vars=plain(written.vars),
            extra_vars=self.extra_vars,
            magic={**self._magic, "ansible_play_name": written.name or ",".join(written.hosts.value)},
        )
        vars_files.read_all(written, scope, self.directory, lambda warning: self.warnings.append(str(warning)))
        targets = Targets(written, scope, self.inventory, self.options, self.faults, allow_empty=self.allow_empty)
        self.warnings += targets.warnings
        steps = play_steps(written, self.options, scope, self._next_step)
        self._next_step += len(steps)
        if not self.broken:
            check_notified(written, [step for step in steps if step.handler], scope)
        gathering = gathering_step(written, self.options, scope, self._value(written, "gather_facts", scope))
        wanted = {step.place: step for step in steps}
        for task in (*check.play_tasks(written), *written.handlers):
            if step := wanted.get(str(task.place)):
                self.bundle.add_task(task, scope)
                check.check_guard(task, step, self.faults)
        if "gather_facts" not in written.keywords:
            self._implied.add(len(self.plays))
        self.plays.append(self._play(written, scope, targets, (*gathering, *steps)))
        self._warn_of_free(self.plays[-1])

    def _warn_of_free(self, play: Play) -> None:
        """Under ``strategy: free`` hosts never meet, so what speaks of the others has no effect, as in Ansible."""
        if play.strategy != "free":
            return
        without = [word for word in ("run_once", "any_errors_fatal") if any(getattr(step, word) for step in play.steps)]
        if play.max_fail_percentage is not None:
            without.append("max_fail_percentage")
        for word in without:
            self.warnings.append(f"{play.place}: {word} has no effect under strategy: free")

    def spare_gathering(self) -> None:
        """Leave out the gathering that nobody asked for in plays that cannot use a fact."""
        self.plays = spared(self.plays, self._implied, self.bundle, self.inventory, self.extra_vars)

    def check_limit(self) -> None:
        """A slip in ``--limit`` must not quietly leave hosts out. Raises nothing; a fault is noted."""
        options = self.options
        if options.limit is None:
            return
        try:
            patterns.check_limit(
                self.inventory, options.limit, allow_empty=self.allow_empty, selections=options.selections
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
            extra_vars=plain(self.extra_vars),
            files=self.bundle.keys,
            modes=self.bundle.modes,
            options=self.options,
            zones=zones_of(self.inventory, _targeted(self.plays), self.templar, self.extra_vars),
        )

    def check_any_host(self) -> None:
        """A run for nobody is a mistake, unless it was said that it is none."""
        if not self.allow_empty and self.plays and not any(play.hosts for play in self.plays):
            limit = f" and --limit {self.options.limit!r}" if self.options.limit else ""
            raise InputError(
                f"no play has any host: patterns{limit} leave none", remedy="--allow-empty accepts a run for no host"
            )

    def _play(self, written: WrittenPlay, scope: PlayScope, targets: Targets, steps: tuple[Step, ...]) -> Play:
        seed = f"{self.options.shuffle_seed}:{len(self.plays)}"
        in_order = ordered(targets.hosts, self._value(written, "order", scope), seed)
        return Play(
            number=len(self.plays),
            name=self._name(written, scope, targets.pattern),
            place=str(written.place),
            pattern=targets.pattern,
            hosts=tuple(in_order),
            batches=self._batches(written, scope, in_order),
            steps=steps,
            strategy=self._value(written, "strategy", scope) or "linear",
            vars=plain(written.vars),
            vars_from_files=dict(scope.from_files),
            max_fail_percentage=self._percentage(written, scope),
            force_handlers=self._value(written, "force_handlers", scope) or False,
        )

    def _percentage(self, written: WrittenPlay, scope: PlayScope) -> float | None:
        found = self._value(written, "max_fail_percentage", scope)
        return None if found is None else float(found)

    def _value(self, written: WrittenPlay, name: str, scope: PlayScope) -> Any:
        """A play's keyword rendered and checked once more; None when it is not there or wrong."""
        keyword = written.keywords.get(name)
        if keyword is None:
            return None
        rendered = scope.render(keyword.value, keyword.place, name)
        if rendered is None:
            return None
        return self._checked(name, rendered, keyword)

    def _checked(self, name: str, rendered: Any, keyword: Keyword) -> Any:
        try:
            return READERS[KINDS["play"][name]](rendered)
        except Wrong as wrong:
            self.faults.add(f"{name} {wrong.what}", keyword.place, remedy=wrong.remedy)
            return None

    def _name(self, written: WrittenPlay, scope: PlayScope, pattern: str) -> str:
        if not written.name:
            return pattern
        rendered = scope.render(written.name, written.place, "name")
        return written.name if rendered is None else str(rendered)

    def _batches(self, written: WrittenPlay, scope: PlayScope, hosts: list[str]) -> tuple[tuple[str, ...], ...]:
        keyword = written.keywords.get("serial")
        sizes: list[Any] = []
        for entry in keyword.value if keyword else ():
            rendered = scope.render(entry, keyword.place if keyword else None, "serial")
            sizes.extend(rendered if isinstance(rendered, list) else [] if rendered is None else [rendered])
        checked = self._checked("serial", sizes, keyword) if keyword else ()
        return batches(hosts, checked or ())

    def _magic_variables(self) -> dict[str, Any]:
        """What Ansible sets for a whole play, as far as it is known before any host is."""
        return {
            "playbook_dir": str(self.directory),
            "groups": self.inventory.groups_variable(),
            "ansible_check_mode": self.options.check,
            "ansible_diff_mode": self.options.diff,
            "ansible_run_tags": list(self.options.tags) or ["all"],
            "ansible_skip_tags": list(self.options.skip_tags),
            "ansible_verbosity": self.options.verbosity,
            **({"ansible_limit": self.options.limit} if self.options.limit else {}),
        }
