"""Finds the module of a task and its arguments, in all the ways in which Ansible lets one write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from opsrunner import yamlsource
from opsrunner.errors import InputError, Place, did_you_mean
from opsrunner.playbook import foreign, keywords, values
from opsrunner.playbook.keywords import On
from opsrunner.playbook.reading import Reading, note_unknown, value_place
from opsrunner.yamlsource import place_of_key

#: namespace.collection.module
_OF_COLLECTION = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*){2,}", re.ASCII)


class Action(NamedTuple):
    """A module, the name it was called by, its arguments and where each of them stands."""

    module: str
    written: str
    arguments: Mapping[str, Any]
    places: Mapping[str, Place]


class _Candidate(NamedTuple):
    written: str
    given: Any
    place: Place  # of the module's name
    given_place: Place


def find(reading: Reading, task: yamlsource.Mapping, on: On) -> Action | None:
    """The one action of a task; None when there is none or several, and the fault is noted."""
    before = len(reading.faults)
    candidates = [*_old_style(reading, task), *_by_key(reading, task, on)]
    if len(candidates) > 1:
        written = ", ".join(candidate.written for candidate in candidates)
        reading.faults.add(
            f"several modules in one task: {written}", candidates[1].place, remedy="write one task for each"
        )
        return None
    if not candidates:
        if len(reading.faults) == before:
            reading.faults.add("the task names no module", task.place, remedy='for example  command: "uptime"')
        return None
    return _resolve(reading, task, candidates[0])


def _by_key(reading: Reading, task: yamlsource.Mapping, on: On) -> list[_Candidate]:
    """Keys that are names of modules; every key that means nothing is noted."""
    found = []
    known = keywords.known(on)
    for key, given in task.items():
        if key in known:
            continue
        if isinstance(key, str) and (
            reading.catalogue.canonical(key) or _elsewhere(reading, key) or collection_of(key)
        ):
            place = place_of_key(task, key, task.place) or task.place
            found.append(_Candidate(key, given, place, value_place(task, key)))
        else:
            note_unknown(reading, task, key, on, also=list(reading.catalogue.names()))
    return found


def _old_style(reading: Reading, task: yamlsource.Mapping) -> list[_Candidate]:
    """``action: copy src=a dest=b`` and ``local_action``, or either with a mapping that names its module."""
    found = []
    for key in ("action", "local_action"):
        if key not in task:
            continue
        thing, place = task[key], value_place(task, key)
        if isinstance(thing, str) and thing.strip():
            written, *text = thing.split(None, 1)
            found.append(_Candidate(written, text[0] if text else None, place, place))
        elif isinstance(thing, yamlsource.Mapping) and isinstance(thing.get("module"), str):
            rest = yamlsource.Mapping(thing.place)
            for name in thing:
                if name != "module":
                    rest[name] = thing[name]
                    rest.key_places[name] = thing.key_places[name]
                    rest.value_places[name] = thing.value_places[name]
            found.append(_Candidate(thing["module"].strip(), rest, place, place))
        else:
            reading.faults.add(
                f"{key} takes a module and its arguments, not {values.described(thing)}",
                place,
                remedy=f"for example  {key}: command uptime",
            )
    return found


def _resolve(reading: Reading, task: yamlsource.Mapping, candidate: _Candidate) -> Action | None:
    module = reading.catalogue.canonical(candidate.written)
    if module is None or _short(candidate.written) in keywords.INCLUDES:
        _note_no_module(reading, candidate)
        return None
    before = len(reading.faults)
    arguments, places = keyword_args(reading, task)
    given, given_places = _given(reading, module, candidate)
    if len(reading.faults) > before:
        return None
    defaults, defaults_places = reading.defaults.get(module, ({}, {}))
    arguments = {**defaults, **arguments, **given}
    places = {**defaults_places, **places, **given_places}
    for problem in reading.catalogue.problems(module, arguments):
        place = places.get(problem.argument or "", candidate.place)
        reading.faults.add(problem.text, place, remedy=problem.remedy)
    return Action(module, candidate.written, arguments, places)


def _note_no_module(reading: Reading, candidate: _Candidate) -> None:
    name = candidate.written
    if values.is_template(name):
        reading.faults.add("the name of a module cannot be a template", candidate.place)
    elif _short(name) in keywords.INCLUDES:
        reading.faults.add(f"{name} does not stand under action", candidate.place, remedy="write it as the task's key")
    elif _elsewhere(reading, name):
        reading.faults.add(f"module {name} is Ansible's, opsrunner does not have it yet", candidate.place)
    elif collection := collection_of(name):
        what = f"{name} is a module of the collection {collection} that opsrunner does not have"
        reading.faults.add(what, candidate.place, remedy=_own(reading, name))
    else:
        remedy = did_you_mean(name, reading.catalogue.names())
        reading.faults.add(f"there is no module {name!r}", candidate.place, remedy=remedy)


def _elsewhere(reading: Reading, name: str) -> bool:
    return reading.catalogue.is_known_elsewhere(name)


def _short(name: str) -> str:
    return name.removeprefix("ansible.builtin.").removeprefix("ansible.legacy.")


def collection_of(name: str) -> str | None:
    """``community.general`` of ``community.general.ufw`` and ``ufw``; None for Ansible's own and for no such name."""
    if "." not in name:
        return foreign.collection(name)
    collection = name.rpartition(".")[0]
    return collection if _OF_COLLECTION.fullmatch(name) and collection not in values.COLLECTIONS else None


def _own(reading: Reading, name: str) -> str | None:
    short = reading.catalogue.canonical(name.rpartition(".")[2])
    return f"opsrunner has a module {short} of its own" if short else None


def keyword_args(reading: Reading, task: yamlsource.Mapping) -> tuple[dict[str, Any], dict[str, Place]]:
    """The ``args`` keyword: arguments that those beside the module win over."""
    if "args" not in task:
        return {}, {}
    args = task["args"]
    if isinstance(args, yamlsource.Mapping):
        return _mapping(reading, args)
    what = (
        "a template of all arguments is Ansible's, opsrunner does not have it yet"
        if values.is_template(args)
        else f"args takes a mapping, not {values.described(args)}"
    )
    reading.faults.add(what, value_place(task, "args"))
    return {}, {}


def _given(reading: Reading, module: str, candidate: _Candidate) -> tuple[Mapping[str, Any], Mapping[str, Place]]:
    """What stands beside the module's name."""
    given = candidate.given
    if given is None:
        return {}, {}
    if isinstance(given, yamlsource.Mapping):
        arguments, places = _mapping(reading, given)
        nested = arguments.pop("args", None) if candidate.place == candidate.given_place else None
        if isinstance(nested, yamlsource.Mapping):
            inner, inner_places = _mapping(reading, nested)
            return arguments | inner, places | inner_places
        return arguments, places
    if isinstance(given, str):
        try:
            parsed = reading.catalogue.parse_inline(module, given)
        except InputError as error:
            reading.faults.add(
                f"{candidate.written}: {error.what}", candidate.given_place, why=error.why, remedy=error.remedy
            )
            return {}, {}
        return parsed, dict.fromkeys(parsed, candidate.given_place)
    reading.faults.add(
        f"{candidate.written} takes arguments as a mapping or a text, not {values.described(given)}",
        candidate.given_place,
    )
    return {}, {}


def _mapping(reading: Reading, source: yamlsource.Mapping) -> tuple[dict[str, Any], dict[str, Place]]:
    for key in source:
        if not isinstance(key, str):
            reading.faults.add(f"{key!r} is no name of an argument", place_of_key(source, key), remedy="quote it")
    return dict(source), dict(source.value_places)
