"""Reads the gate of a play: a block whose first failure is the whole batch's, and the time before it."""

from __future__ import annotations

from opsrunner import yamlsource
from opsrunner.playbook import defaults, tasks, values
from opsrunner.playbook.model import Block, Keyword
from opsrunner.playbook.reading import Reading, name_of, plain_keywords, refuse_unknown, value_place, variables
from opsrunner.yamlsource import place_of_key


def gate(reading: Reading, play: yamlsource.Mapping) -> tuple[tuple[Block, ...], Keyword | None]:
    """The gate as a section of the play, and its ``dwell``; nothing of both where the play has none."""
    if "gate" not in play:
        return (), None
    source, place = play["gate"], value_place(play, "gate")
    if not isinstance(source, yamlsource.Mapping):
        remedy = "for example  gate: {dwell: 30s, tasks: [...]}"
        reading.faults.add(f"gate takes a mapping, not {values.described(source)}", place, remedy=remedy)
        return (), None
    refuse_unknown(reading, source, "gate")
    with defaults.inside(reading, source):
        found = tasks.task_list(reading, source, "tasks")
    if not source.get("tasks"):
        reading.faults.add("the gate has no tasks", source.place, remedy="a gate is passed when its tasks succeed")
    keywords = plain_keywords(reading, source, "gate")
    tags = keywords.get("tags", Keyword((), place, None))
    # One failure keeps the batches that follow from being begun, whatever --tags leaves of what it is to check.
    keywords["any_errors_fatal"] = Keyword(True, place, True)
    keywords["tags"] = tags._replace(value=(*tags.value, "always"))
    scope = variables(reading, source, "gate")
    block = Block(source.place, name_of(reading, source), found, keywords=keywords, vars=scope)
    return (block,), _dwell(reading, source)


def _dwell(reading: Reading, source: yamlsource.Mapping) -> Keyword | None:
    if "dwell" not in source:
        return None
    value, place = source["dwell"], value_place(source, "dwell")
    if value is None:
        reading.faults.add("dwell has no value", place_of_key(source, "dwell", place), remedy="give it one, or drop it")
        return None
    try:
        return Keyword(values.duration(value), place, value)
    except values.Wrong as wrong:
        reading.faults.add(f"dwell {wrong.what}", place, remedy=wrong.remedy)
        return None
