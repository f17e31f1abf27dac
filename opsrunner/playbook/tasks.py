"""Reads lists of tasks and blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from opsrunner import yamlsource
from opsrunner.errors import Place
from opsrunner.playbook import actions, defaults, includes, spellings, values
from opsrunner.playbook.keywords import KINDS, LOOPS, On
from opsrunner.playbook.model import Block, Entry, Include, Keyword, Loop, Task
from opsrunner.playbook.reading import (
    Reading,
    keyword,
    name_of,
    plain_keywords,
    refuse_unknown,
    value_place,
    variables,
)
from opsrunner.yamlsource import place_of_key, place_of_value

_BLOCK_KEYS = ("block", "rescue", "always")
#: Keywords that make a loop.
_LOOPING = frozenset(("loop", *(f"with_{name}" for name in LOOPS)))


def task_list(reading: Reading, owner: yamlsource.Mapping, name: str) -> tuple[Entry, ...]:
    """The tasks, blocks and includes under the keyword ``name``; a missing or empty one holds none."""
    return tasks_of(reading, entries(reading, owner, name))


def tasks_of(reading: Reading, found: Iterable[tuple[yamlsource.Mapping, Place]]) -> tuple[Entry, ...]:
    """The tasks, blocks and includes that mappings with their places are."""
    read: list[Entry] = []
    for entry, place in found:
        if any(key in entry for key in _BLOCK_KEYS):
            block = _block(reading, entry)
            if block:
                read.append(block)
        elif task := _task(reading, entry, place, "task"):
            read.append(task)
    return tuple(read)


def handlers(reading: Reading, owner: yamlsource.Mapping) -> tuple[Entry, ...]:
    """The handlers of a play, which are tasks or includes and never blocks."""
    return handlers_of(reading, entries(reading, owner, "handlers"))


def handlers_of(reading: Reading, found: Iterable[tuple[yamlsource.Mapping, Place]]) -> tuple[Entry, ...]:
    """The handlers that mappings with their places are."""
    read = []
    for entry, place in found:
        if any(key in entry for key in _BLOCK_KEYS):
            reading.faults.add(
                "a block cannot be a handler",
                place,
                remedy="write each task as a handler, and let them listen to one topic",
            )
        elif task := _task(reading, entry, place, "handler"):
            if task.name is None and "listen" not in task.keywords and _must_be_notified(task):
                reading.warnings.append(f"{place}: the handler can never be notified: it has neither name nor listen")
            read.append(task)
    return tuple(read)


def _must_be_notified(entry: Entry) -> bool:
    """An import is gone before a handler is notified: what it brings in has names."""
    return not isinstance(entry, Include) or entry.dynamic


def entries(reading: Reading, owner: yamlsource.Mapping, name: str) -> list[tuple[yamlsource.Mapping, Place]]:
    """The mappings in the list under ``name``; what is none is noted."""
    return entries_of(reading, owner.get(name), name, value_place(owner, name) if name in owner else owner.place)


def entries_of(reading: Reading, value: Any, name: str, place: Place | None) -> list[tuple[yamlsource.Mapping, Place]]:
    """The mappings in a list that is called ``name`` and stands at ``place``; what is none is noted."""
    if value is None:
        return []
    if not isinstance(value, yamlsource.Sequence):
        reading.faults.add(
            f"{name} takes a list of tasks, not {values.described(value)}",
            place,
            remedy="begin each task with a dash",
        )
        return []
    found = []
    for index, entry in enumerate(value):
        if isinstance(entry, yamlsource.Mapping):
            found.append((entry, entry.place))
        else:
            reading.faults.add(f"a task is a mapping, not {values.described(entry)}", place_of_value(value, index))
    return found


def _block(reading: Reading, source: yamlsource.Mapping) -> Block | None:
    source = spellings.modern(reading, source, "block")
    refuse_unknown(reading, source, "block")
    with defaults.inside(reading, source):
        parts = {name: task_list(reading, source, name) for name in _BLOCK_KEYS}
    for name in ("rescue", "always"):
        if source.get(name) and not source.get("block"):
            reading.faults.add(f"{name} has no block before it", place_of_key(source, name))
    return Block(
        place=source.place,
        name=name_of(reading, source),
        block=parts["block"],
        rescue=parts["rescue"],
        always=parts["always"],
        keywords=plain_keywords(reading, source, "block"),
        vars=variables(reading, source, "block"),
    )


def _task(reading: Reading, source: yamlsource.Mapping, place: Place, on: On) -> Task | Include | None:
    source = spellings.modern(reading, source, on)
    with defaults.inside(reading, source):
        if key := includes.key_of(source):
            return includes.include(reading, source, key, _loop(reading, source), handler=on == "handler")
        action = actions.find(reading, source, on)
    found = plain_keywords(reading, source, on)
    name = name_of(reading, source)
    loop = _loop(reading, source)
    scope = variables(reading, source, on)
    _delegation(reading, source, found)
    if action is None:
        return None
    return Task(
        place=place,
        name=name,
        module=action.module,
        action=action.written,
        arguments=action.arguments,
        argument_places=action.places,
        keywords=found,
        vars=scope,
        loop=loop,
    )


def _delegation(reading: Reading, source: yamlsource.Mapping, found: dict[str, Keyword]) -> None:
    """``local_action`` means ``delegate_to: localhost``."""
    if "local_action" not in source:
        return
    if "delegate_to" in source:
        reading.faults.add("local_action says where to run already", place_of_key(source, "delegate_to"))
    place = place_of_key(source, "local_action", source.place) or source.place
    found["delegate_to"] = Keyword("localhost", place, "localhost")


def _loop(reading: Reading, source: yamlsource.Mapping) -> Loop | None:
    written = [name for name in source if name in _LOOPING]
    control = _loop_control(reading, source)
    if len(written) > 1:
        reading.faults.add(
            f"a task has one loop: either {written[0]} or {written[1]}", place_of_key(source, written[1])
        )
        return None
    if not written:
        if "loop_control" in source:
            reading.faults.add("loop_control without a loop", place_of_key(source, "loop_control"))
        return None
    name = written[0]
    over, place = source[name], value_place(source, name)
    if not _loopable(name, over):
        reading.faults.add(
            f"{name} takes a list or a template of one, not {values.described(over)}",
            place,
            remedy='write  loop: "{{ name }}"  or a list' if isinstance(over, str) else None,
        )
        return None
    return Loop(
        kind=name.removeprefix("with_"),
        over=Keyword(over, place, over),
        variable=control["loop_var"].value if "loop_var" in control else "item",
        index_variable=control["index_var"].value if "index_var" in control else None,
        **{word: control.get(word) for word in ("label", "pause", "extended", "extended_allitems", "break_when")},
    )


def _loopable(name: str, over: Any) -> bool:
    # Anything but a list is one term of with_'s lookup.
    if name == "loop":
        return isinstance(over, list) or values.is_template(over)
    return over is not None


def _loop_control(reading: Reading, source: yamlsource.Mapping) -> Mapping[str, Keyword]:
    if "loop_control" not in source:
        return {}
    control = source["loop_control"]
    if not isinstance(control, yamlsource.Mapping):
        reading.faults.add(
            f"loop_control takes a mapping, not {values.described(control)}", value_place(source, "loop_control")
        )
        return {}
    refuse_unknown(reading, control, "loop_control")
    return {
        name: read
        for name in control
        if name in KINDS["loop_control"] and (read := keyword(reading, control, name, "loop_control")) is not None
    }
