"""Makes a play's steps: keywords inherited, blocks flattened, tags applied, handlers placed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from opsrunner.plan import steering
from opsrunner.plan.codec import plain
from opsrunner.plan.handlers import handler_steps
from opsrunner.plan.model import BlockSection, Loop, Options, Section, Step
from opsrunner.plan.scope import PlayScope
from opsrunner.plan.tags import selected
from opsrunner.playbook import SECTIONS, Block, Keyword, Play, Task

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
)
#: Keywords that stand on the task itself.
_OWN = ("register", "retries", "delay", "rerun", "listen")

Path = tuple[tuple[int, BlockSection], ...]


@dataclass(frozen=True, slots=True)
class Inherited:
    """What a task has from the play and the blocks around it."""

    override: Mapping[str, Any] = field(default_factory=dict)
    when: tuple[Any, ...] = ()
    tags: tuple[str, ...] = ()
    environment: tuple[Any, ...] = ()
    vars: Mapping[str, Any] = field(default_factory=dict)

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
        )


def play_steps(play: Play, options: Options, scope: PlayScope, first: int) -> tuple[Step, ...]:
    """The steps of a play, numbered from ``first``; see :attr:`opsrunner.plan.model.Play.steps`."""
    outer = Inherited().with_keywords(play.keywords, {}, scope)
    handlers = handler_steps(
        play, scope, lambda task: _step(task, "handlers", (), outer.with_keywords(task.keywords, task.vars, scope))
    )
    # Handlers that notify a handler before them leave it to the next flush, as Ansible has three a play.
    carried_over = any(step.notify for step in handlers)
    numbers = _Counter()
    found: list[Step] = []
    for section in SECTIONS:
        of_section = list(_flat(play.sections[section], section, (), outer, scope, options, numbers))
        found += of_section
        if of_section or (found and carried_over):
            found += handlers
    flushed = (one for step in found for one in (step, *_flushed(step, handlers)))
    return tuple(replace(step, number=number) for number, step in enumerate(flushed, start=first))


def _flushed(step: Step, handlers: list[Step]) -> list[Step]:
    """The handlers that run in the middle of a section, where ``meta: flush_handlers`` stands."""
    if steering.action_of(step) != "flush_handlers" or step.handler:
        return []
    return [replace(handler, section=step.section, path=step.path) for handler in handlers]


class _Counter:
    """Numbers the blocks of a play."""

    def __init__(self) -> None:
        self._next = 0

    def take(self) -> int:
        self._next += 1
        return self._next - 1


def _flat(
    entries: tuple[Task | Block, ...],
    section: Section,
    path: Path,
    outer: Inherited,
    scope: PlayScope,
    options: Options,
    numbers: _Counter,
) -> Iterator[Step]:
    for entry in entries:
        inherited = outer.with_keywords(entry.keywords, entry.vars, scope)
        if isinstance(entry, Block):
            number = numbers.take()
            parts: tuple[tuple[BlockSection, tuple[Task | Block, ...]], ...] = (
                ("block", entry.block),
                ("rescue", entry.rescue),
                ("always", entry.always),
            )
            for part, inner in parts:
                yield from _flat(inner, section, (*path, (number, part)), inherited, scope, options, numbers)
        elif selected(inherited.tags, options.tags, options.skip_tags):
            yield _step(entry, section, path, inherited)


def _step(task: Task, section: Section, path: Path, inherited: Inherited) -> Step:
    keywords = task.keywords
    own: dict[str, Any] = {name: keywords[name].value for name in _OWN if name in keywords}
    own |= {name: keywords[name].value for name in ("failed_when", "changed_when") if _some(keywords, name)}
    return steering.adapted(_plain_step(task, section, path, inherited, own))


def _plain_step(task: Task, section: Section, path: Path, inherited: Inherited, own: dict[str, Any]) -> Step:
    keywords = task.keywords
    return Step(
        number=0,
        name=task.name or task.action,
        module=task.module,
        place=str(task.place),
        arguments=plain(task.arguments),
        section=section,
        handler=section == "handlers",
        path=path,
        when=inherited.when,
        until=keywords["until"].value if "until" in keywords else (),
        loop=_loop(task),
        tags=inherited.tags,
        environment=inherited.environment,
        vars=inherited.vars,
        **inherited.override,
        **own,
    )


def _some(keywords: Mapping[str, Keyword], name: str) -> bool:
    # An empty list of conditions is no condition at all, rather than one that is always true.
    return name in keywords and bool(keywords[name].value)


def _loop(task: Task) -> Loop | None:
    if task.loop is None:
        return None
    return Loop(
        kind=task.loop.kind,
        over=plain(task.loop.over.value),
        variable=task.loop.variable,
        index_variable=task.loop.index_variable,
        label=task.loop.label.value if task.loop.label else None,
        pause=task.loop.pause.value if task.loop.pause else 0,
    )


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
