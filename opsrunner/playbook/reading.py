"""What plays, blocks and tasks have in common when they are read: keywords, names, variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from opsrunner import yamlsource
from opsrunner.errors import Place, did_you_mean
from opsrunner.playbook import keywords, values
from opsrunner.playbook.catalogue import ModuleCatalogue
from opsrunner.playbook.faults import Faults
from opsrunner.playbook.keywords import On
from opsrunner.playbook.model import Keyword
from opsrunner.yamlsource import place_of_key, place_of_value

#: Arguments of a module, and where each of them stands.
Defaults = tuple[Mapping[str, Any], Mapping[str, Place]]


class Reading(Struct):
    """What every part of one file's reading needs."""

    catalogue: ModuleCatalogue
    faults: Faults
    warnings: list[str] = field(default_factory=list)
    #: Module → what module_defaults around the place that is read say of it.
    defaults: Mapping[str, Defaults] = field(default_factory=dict)


def keyword(reading: Reading, source: yamlsource.Mapping, name: str, on: On) -> Keyword | None:
    """One keyword whose kind says all; None when its value is wrong, and the fault is noted."""
    kind = keywords.KINDS[on][name]
    value = source[name]
    place = value_place(source, name)
    if value is None and kind not in values.NULLABLE:
        reading.faults.add(f"{name} has no value", place_of_key(source, name, place), remedy="give it one, or drop it")
        return None
    try:
        shaped = values.READERS[kind](value)
    except values.Wrong as wrong:
        inside = place_of_value(value, wrong.inside, place) if wrong.inside is not None else place
        reading.faults.add(f"{name} {wrong.what}", inside or place, remedy=wrong.remedy)
        return None
    if kind == "collections":
        warn_of_collections(reading, shaped, place)
    return Keyword(shaped, place, value)


def plain_keywords(reading: Reading, source: yamlsource.Mapping, on: On) -> dict[str, Keyword]:
    """Every keyword in ``source`` whose kind says all."""
    found: dict[str, Keyword] = {}
    for name in source:
        if name in keywords.KINDS[on]:
            read = keyword(reading, source, name, on)
            if read is not None:
                found[name] = read
    return found


def refuse_unknown(reading: Reading, source: yamlsource.Mapping, on: On) -> None:
    """Note every key that is no keyword there."""
    valid = keywords.known(on)
    for key in source:
        if key not in valid:
            note_unknown(reading, source, key, on, also=())


def note_unknown(
    reading: Reading, source: yamlsource.Mapping, key: Any, on: On, *, also: tuple[str, ...] | list[str]
) -> None:
    """Note that ``key`` is no keyword there: refused, or a slip; ``also`` are other words that may stand there."""
    place = place_of_key(source, key, source.place)
    refused = keywords.REFUSED[on].get(key) if isinstance(key, str) else None
    if refused:
        reading.faults.add(f"{key} {refused}", place)
        return
    article = "an" if on[:1] in "aeiou" else "a"
    what = on if on in ("loop_control", "import_playbook") else f"{article} {on}"
    noun = "keyword or module" if on in ("task", "handler") else "keyword"
    reading.faults.add(
        f"{key!r} is no {noun} of {what}", place, remedy=did_you_mean(key, [*sorted(keywords.known(on)), *also])
    )


def name_of(reading: Reading, source: yamlsource.Mapping) -> str | None:
    """The ``name`` keyword; no name and an empty one are the same."""
    if source.get("name") is None:
        return None
    try:
        return values.text(source["name"]) or None
    except values.Wrong as wrong:
        reading.faults.add(f"name {wrong.what}", place_of_value(source, "name"), remedy=wrong.remedy)
        return None


def variables(reading: Reading, source: yamlsource.Mapping, on: On) -> Mapping[str, Any]:
    """The ``vars`` keyword: a mapping whose keys are names of variables."""
    found = source.get("vars")
    if found is None:
        return {}
    if not isinstance(found, yamlsource.Mapping):
        reading.faults.add(
            f"vars of a {on} takes a mapping, not {values.described(found)}", place_of_value(source, "vars")
        )
        return {}
    for key in found:
        if not values.is_identifier(key):
            reading.faults.add(
                f"{key!r} is no name of a variable",
                place_of_key(found, key),
                remedy="letters, digits and underscores, and no digit first",
            )
    return found


def value_place(source: yamlsource.Mapping, key: Any) -> Place:
    """Where the value of a key that is there stands."""
    return place_of_value(source, key) or source.place


def warn_of_collections(reading: Reading, names: tuple[str, ...], place: Place) -> None:
    """Say which collections cannot be looked into; modules are opsrunner's own."""
    others = [name for name in names if name not in values.COLLECTIONS]
    if others:
        reading.warnings.append(f"{place}: no module is looked for in {', '.join(others)}: opsrunner has its own")
