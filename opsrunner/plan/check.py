"""Checks Jinja in a playbook before anything is rendered: syntax, unknown filters and tests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from opsrunner import modules
from opsrunner.errors import Place
from opsrunner.plan.model import Step
from opsrunner.playbook import SECTIONS, Block, Entry, Faults, Include, Keyword, Play, Task
from opsrunner.templating import Templar
from opsrunner.yamlsource import place_of_value

#: Keywords that hold bare expressions.
_EXPRESSIONS = frozenset(("when", "until", "failed_when", "changed_when"))

#: Variables that begin with ``ansible_`` and are no facts: they configure, or the tool sets them.
NO_FACT = re.compile(
    r"""ansible_(
    async_dir
    | become\w* | connection | host | host_key_checking | password | port | private_key_file | python_interpreter
    | remote_tmp | shell_executable | shell_type | sudo_pass | timeout | user | paramiko_\w+
    | ssh_(?!host_key_\w+_public)\w+
    | check_mode | collection_name | config_file | current_hosts | delegated_vars | dependent_role_names | diff_mode
    | failed_hosts | failed_result | failed_task | forks | index_var | inventory_sources | limit | loop
    | loop_var | module_compression | parent_role_\w+ | pipelining | play_\w+ | playbook_python | role_names?
    | run_tags | search_path | skip_tags | verbosity | version
    )""",
    re.VERBOSE,
)


class Text(NamedTuple):
    """One text of the playbook that Jinja will see, and whether it is a bare expression."""

    text: str
    place: Place
    expression: bool


def check_play(play: Play, templar: Templar, faults: Faults) -> None:
    """Note every template and expression of the play that cannot be right, once however often it is included."""
    for found in dict.fromkeys(texts(play)):
        for problem in problems(found, templar):
            faults.add(problem, found.place)


def check_guard(task: Task, step: Step, faults: Faults) -> None:
    """Note a guard before raw text, which goes to the login shell with nothing around it."""
    if step.module == "raw" and step.guard is True:
        keyword = task.keywords.get("guard")
        faults.add(
            "raw cannot be guarded: its text goes to the login shell as it is",
            keyword.place if keyword else task.place,
            remedy="use shell, or set guard: false on the task",
        )


def check_async(task: Task, step: Step, faults: Faults) -> None:
    """Note a job of a module that cannot be one, as far as that shows before rendering."""
    if not isinstance(step.async_val, int):
        return
    poll = step.poll if isinstance(step.poll, int) else 1
    place = task.keywords["async"].place
    spec = modules.get(step.module).SPEC
    if step.async_val and (spec.local or spec.asynchronous == "refused"):
        faults.add(f"{step.module} cannot be run with async", place, remedy="take async out")
    elif step.async_val and not poll and spec.asynchronous != "job":
        faults.add(
            f"{step.module} cannot be left to itself on the host (poll: 0)",
            task.keywords["poll"].place,
            why="a worker sends its commands one by one",
            remedy="let it be waited for (poll: 10), or give the command itself to command or shell",
        )


def problems(found: Text, templar: Templar) -> list[str]:
    """What is wrong with one text."""
    return templar.check_condition(found.text) if found.expression else templar.check(found.text)


def names_used(found: Iterable[Text], templar: Templar) -> Iterator[tuple[str, Text]]:
    """Variables called ``ansible_…`` that templates name, and where. What cannot be read is passed over."""
    for one in found:
        if "ansible_" not in one.text or problems(one, templar):
            continue
        names = templar.expression_names(one.text) if one.expression else templar.names(one.text)
        yield from ((name, one) for name in sorted(names) if name.startswith("ansible_"))


def texts(play: Play) -> Iterator[Text]:
    """Every text of the play that Jinja will see."""
    yield from _keyword_texts(play.keywords)
    yield from _leaves(play.vars, play.place)
    yield from _leaves(play.hosts.source, play.hosts.place)
    for one in (*(one for several in play.vars_files for one in several), *((play.dwell,) if play.dwell else ())):
        yield from _leaves(one.value, one.place)
    for name in SECTIONS:
        for entry in play.sections[name]:
            yield from _entry_texts(entry)
    for handler in play.handlers:
        yield from _entry_texts(handler)


def play_tasks(play: Play) -> Iterator[Task]:
    """All tasks of a play and its handlers, in the order they run."""
    return (entry for entry in entries(play) if isinstance(entry, Task))


def handler_tasks(play: Play) -> Iterator[Task]:
    """The tasks among a play's handlers."""
    return (entry for entry in _with_inner(play.handlers) if isinstance(entry, Task))


def entries(play: Play) -> Iterator[Task | Block]:
    """All tasks, blocks and handlers of a play."""
    for name in SECTIONS:
        yield from _with_inner(play.sections[name])
    yield from _with_inner(play.handlers)


def _with_inner(outer: Iterable[Entry]) -> Iterator[Task | Block]:
    for entry in outer:
        assert not isinstance(entry, Include), "resolved before"
        yield entry
        if isinstance(entry, Block):
            yield from _with_inner((*entry.block, *entry.rescue, *entry.always))


def _entry_texts(entry: Entry) -> Iterator[Text]:
    assert not isinstance(entry, Include), "resolved before"
    yield from _keyword_texts(entry.keywords)
    yield from _leaves(entry.vars, entry.place)
    if entry.name:
        yield Text(entry.name, entry.place, expression=False)
    if isinstance(entry, Block):
        for inner in (*entry.block, *entry.rescue, *entry.always):
            yield from _entry_texts(inner)
        return
    if entry.loop:
        loop = entry.loop
        for keyword in (loop.over, loop.label, loop.pause, loop.extended, loop.extended_allitems):
            if keyword:
                yield from _leaves(keyword.source, keyword.place)
        if loop.break_when:
            yield from _leaves(loop.break_when.source, loop.break_when.place, expression=True)
    unrendered = modules.get(entry.module).SPEC.unrendered
    for name, value in entry.arguments.items():
        place = entry.argument_places.get(name, entry.place)
        yield from _leaves(value, place, expression=name in unrendered)


def _keyword_texts(keywords: Mapping[str, Keyword]) -> Iterator[Text]:
    for name, keyword in keywords.items():
        yield from _leaves(keyword.source, keyword.place, expression=name in _EXPRESSIONS)


def _leaves(value: Any, place: Place, *, expression: bool = False) -> Iterator[Text]:
    if isinstance(value, str):
        yield Text(value, place, expression)
    elif isinstance(value, Mapping):
        for key, content in value.items():
            yield from _leaves(content, place_of_value(value, key, place) or place, expression=expression)
    elif isinstance(value, (list, tuple)):
        for index, content in enumerate(value):
            yield from _leaves(content, place_of_value(value, index, place) or place, expression=expression)
