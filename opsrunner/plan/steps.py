"""Makes a play's steps: keywords inherited, blocks flattened, tags applied, handlers placed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from opsrunner.plan import steering
from opsrunner.plan.codec import plain
from opsrunner.plan.handlers import answering
from opsrunner.plan.loops import loop_of
from opsrunner.plan.model import BlockSection, Inclusion, Options, Role, Section, Step
from opsrunner.plan.scope import PlayScope
from opsrunner.plan.tags import selected
from opsrunner.playbook import SECTIONS, Block, Entry, Keyword, Origin, Play, Task

#: Keywords of which the innermost wins.
_OVERRIDE = (
    "become",
    "become_user",
    "become_method",
    "become_flags",
    "remote_user",
    "connection",
    "port",
    "ignore_errors",
    "ignore_unreachable",
    "no_log",
    "run_once",
    "any_errors_fatal",
    "check_mode",
    "diff",
    "guard",
    "timeout",
    "throttle",
    "notify",
    "delegate_to",
    "delegate_facts",
)
#: Keywords that stand on the task itself.
_OWN = ("register", "retries", "delay", "rerun", "listen", "poll")

_INCLUDES = ("include_tasks", "include_role")

Path = tuple[tuple[int, BlockSection], ...]


#: Tasks that stand in the play itself.
_OWN_TASKS = Origin(None, 0)


class Inherited(Struct, frozen=True):
    """What a task has from the play and the blocks around it."""

    override: Mapping[str, Any] = field(default_factory=dict)
    when: tuple[Any, ...] = ()
    tags: tuple[str, ...] = ()
    environment: tuple[Any, ...] = ()
    vars: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin = _OWN_TASKS

    def with_keywords(
        self, keywords: Mapping[str, Keyword], own_vars: Mapping[str, Any], scope: PlayScope
    ) -> Inherited:
        """These and what stands one level further in.

        Conditions and environments of the outside come first, tags add up, of all else the inner wins.
        """
        return Inherited(
            override={**self.override, **{name: plain_of(keywords[name]) for name in _OVERRIDE if name in keywords}},
            when=(*self.when, *(keywords["when"].value if "when" in keywords else ())),
            tags=(*self.tags, *(tag for tag in rendered_tags(keywords, scope) if tag not in self.tags)),
            environment=(*self.environment, *(plain_of(keywords["environment"]) if "environment" in keywords else ())),
            vars={**self.vars, **plain(own_vars)},
            origin=self.origin,
        )


class Made(Struct, frozen=True):
    """A step, and the task it was made of."""

    step: Step
    task: Task


def play_steps(
    play: Play,
    options: Options,
    scope: PlayScope,
    first: int,
    roles: Sequence[Role] = (),
    search: int = 0,
    *,
    tags: set[str],
) -> tuple[Made, ...]:
    """The steps of a resolved play, numbered from ``first``; see :attr:`opsrunner.plan.model.Play.steps`.

    Tags of tasks, also of those that are left out, are added to ``tags``.
    """
    outer = Inherited(origin=Origin(None, search)).with_keywords(play.keywords, {}, scope)
    flattening = _Flattening(scope, options, roles, tags)
    found: list[Made] = []
    for section in SECTIONS:
        if section == "gate" and not _is_wanted(play, found):
            continue
        of_section = [
            one
            for made in flattening.flat(play.sections[section], section, (), outer)
            for one in _flushed(made, play, flattening, outer)
        ]
        found += of_section
        handlers = _handlers(play, flattening, outer)
        # Handlers that notify a handler before them leave it to the next flush, as Ansible has three a play.
        if of_section or (found and any(made.step.notify for made in handlers)):
            found += handlers
    return tuple(
        replace(made, step=replace(made.step, number=number)) for number, made in enumerate(found, start=first)
    )


def _is_wanted(play: Play, found: Sequence[Made]) -> bool:
    """Whether the play has a gate, and tags have left something that it could be the gate of."""
    tasks = any(play.sections[name] for name in SECTIONS if name != "gate")
    return bool(play.sections["gate"]) and (bool(found) or not tasks)


def _flushed(made: Made, play: Play, flattening: _Flattening, outer: Inherited) -> list[Made]:
    """The step, and the handlers that run behind it in the middle of a section, where it is a flush of them."""
    step = made.step
    if steering.action_of(step) != "flush_handlers" or step.handler:
        return [made]
    handlers = _handlers(play, flattening, outer)
    return [
        made,
        *(
            replace(one, step=replace(one.step, section=step.section, path=(*step.path, *one.step.path)))
            for one in handlers
        ),
    ]


def _handlers(play: Play, flattening: _Flattening, outer: Inherited) -> list[Made]:
    """The play's handlers, the blocks of tasks that they include numbered anew for each flush."""
    lists = [list(flattening.flat(entries, "handlers", (), outer)) for entries in _lists(play.handlers)]
    found = answering([[(made, made.step) for made in one] for one in lists], flattening.scope)
    return [replace(made, step=step) for one in found for made, step in one]


def _lists(handlers: Sequence[Entry]) -> list[list[Entry]]:
    """The lists that handlers were written in: each role's, and the play's own."""
    lists: list[list[Entry]] = [[]]
    for entry in handlers:
        if isinstance(entry, Block) and entry.origin and entry.origin.role is not None and not entry.entered:
            lists += [[entry], []]
        else:
            lists[-1].append(entry)
    return lists


class _Flattening:
    """Makes a flat list of steps of blocks within blocks; numbers the blocks."""

    def __init__(self, scope: PlayScope, options: Options, roles: Sequence[Role], tags: set[str]) -> None:
        self.scope = scope
        self._tags = tags
        self._options = options
        self._roles = roles
        self._next_block = 0

    def _take(self) -> int:
        self._next_block += 1
        return self._next_block - 1

    def flat(self, entries: Sequence[Entry], section: Section, path: Path, outer: Inherited) -> Iterator[Made]:
        """The steps of entries in which no include is left, in order."""
        left = iter(entries)
        for entry in left:
            if isinstance(entry, Block):
                yield from self._block(entry, section, path, outer)
            elif isinstance(entry, Task):
                included = [next(left) for _ in entry.choices]
                inherited = outer.with_keywords(entry.keywords, entry.vars, self.scope)
                self._tags.update(inherited.tags)
                if section == "handlers" or selected(inherited.tags, self._options.tags, self._options.skip_tags):
                    yield from self._task(entry, included, section, path, inherited, outer)

    def _task(
        self, task: Task, included: list[Entry], section: Section, path: Path, inherited: Inherited, outer: Inherited
    ) -> Iterator[Made]:
        """A task, and what hosts may bring in by it."""
        blocks = [self._take() for _ in included]
        step = _step(task, section, path, inherited, self._roles)
        if task.module in _INCLUDES:
            known = zip(blocks, task.choices, strict=True)
            inclusions = tuple(
                Inclusion(block, one.name, plain(one.item), one.index, plain(one.position)) for block, one in known
            )
            step = replace(step, inclusions=inclusions)
        written = task.name is not None and not task.name.startswith(f"{task.action} : ")
        yield Made(replace(step, name=self._shown(step)) if written else step, task)
        for block, entry in zip(blocks, included, strict=True):
            assert isinstance(entry, Block)
            inner = replace(outer, origin=entry.origin or outer.origin)
            inner = inner.with_keywords(entry.keywords, entry.vars, self.scope)
            entered: Path = (*path, (block, "included"))
            yield from self.flat(entry.block, section, (*entered, *self._of_role(entry, outer)), inner)

    def _block(self, block: Block, section: Section, path: Path, outer: Inherited) -> Iterator[Made]:
        inherited = replace(outer, origin=block.origin or outer.origin)
        inherited = inherited.with_keywords(block.keywords, block.vars, self.scope)
        if block.origin is not None:
            # What an import brought in is no block: a failure passes through.
            yield from self.flat(block.block, section, (*path, *self._of_role(block, outer)), inherited)
            return
        number = self._take()
        parts: tuple[tuple[BlockSection, Sequence[Entry]], ...] = (
            ("block", block.block),
            ("rescue", block.rescue),
            ("always", block.always),
        )
        for part, inner in parts:
            yield from self.flat(inner, section, (*path, (number, part)), inherited)

    def _shown(self, step: Step) -> str:
        """The step's name, as far as it is known before any host is: with hosts' variables in it as it was written."""
        if step.handler:
            return step.name
        role = self._roles[step.role] if step.role is not None else None
        return self.scope.shown(step.name, {**(role.vars if role else {}), **step.vars}, step.params)

    def _of_role(self, block: Block, outer: Inherited) -> Path:
        """What tells the steps of a role that ``meta: end_role`` may end from those behind it."""
        begins = block.origin is not None and block.origin.role not in (None, outer.origin.role)
        return ((self._take(), "role"),) if begins and steering.ends_early(block) else ()


def _step(task: Task, section: Section, path: Path, inherited: Inherited, roles: Sequence[Role]) -> Step:
    keywords = task.keywords
    own: dict[str, Any] = {name: keywords[name].value for name in _OWN if name in keywords}
    own |= {name: keywords[name].value for name in ("failed_when", "changed_when") if _some(keywords, name)}
    if "async" in keywords:
        own["async_val"] = keywords["async"].value
    return steering.adapted(_plain_step(task, section, path, inherited, own, roles))


def _plain_step(
    task: Task, section: Section, path: Path, inherited: Inherited, own: dict[str, Any], roles: Sequence[Role]
) -> Step:
    keywords, origin = task.keywords, inherited.origin
    return Step(
        number=0,
        name=_name(task, roles[origin.role] if origin.role is not None else None, section),
        module=task.module,
        place=str(task.place),
        arguments=plain(task.arguments),
        section=section,
        # What a handler includes is run because the handler was, not because it is notified itself.
        handler=section == "handlers" and not any(part == "included" for _, part in path),
        path=path,
        when=inherited.when,
        until=keywords["until"].value if "until" in keywords else (),
        loop=loop_of(task.loop) if task.loop else None,
        tags=inherited.tags,
        environment=inherited.environment,
        vars=inherited.vars,
        role=origin.role,
        search=origin.search,
        params=dict(origin.params),
        **inherited.override,
        **own,
    )


def _name(task: Task, role: Role | None, section: Section) -> str:
    name = task.name or task.action
    # An included role is named by itself already.
    name = f"{role.name} : {name}" if role and task.module != "include_role" else name
    return f"gate : {name}" if section == "gate" else name


def _some(keywords: Mapping[str, Keyword], name: str) -> bool:
    # An empty list of conditions is no condition at all, rather than one that is always true.
    return name in keywords and bool(keywords[name].value)


def plain_of(keyword: Keyword) -> Any:
    """A keyword's value without places; what is several stays a tuple."""
    if isinstance(keyword.value, tuple):
        return tuple(plain(one) for one in keyword.value)
    return plain(keyword.value)


def rendered_tags(keywords: Mapping[str, Keyword], scope: PlayScope) -> tuple[str, ...]:
    """The ``tags`` keyword with its templates rendered: one of a list stands for all in it."""
    if "tags" not in keywords:
        return ()
    keyword = keywords["tags"]
    found: list[str] = []
    for tag in keyword.value:
        rendered = scope.render(tag, keyword.place, "tags")
        for one in rendered if isinstance(rendered, list) else [rendered]:
            if isinstance(one, str) and one:
                found.append(one)
            elif one is not None and not isinstance(one, str):
                scope.faults.add(f"tags takes texts, not {one!r}", keyword.place)
    return tuple(dict.fromkeys(found))
