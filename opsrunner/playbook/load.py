"""Reads a playbook file: everything that is wrong in it is reported at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from opsrunner import yamlsource
from opsrunner.errors import InputError, Place
from opsrunner.playbook import defaults, gates, includes, prompts, spellings, tasks, values
from opsrunner.playbook.catalogue import ModuleCatalogue
from opsrunner.playbook.faults import Faults
from opsrunner.playbook.model import SECTIONS, Entry, ImportedPlaybook, Keyword, Play, Playbook, RoleEntry, SectionName
from opsrunner.playbook.reading import (
    Defaults,
    Reading,
    name_of,
    plain_keywords,
    refuse_unknown,
    value_place,
    variables,
)
from opsrunner.yamlsource import place_of_value

_NO_DEFAULTS: Mapping[str, Defaults] = {}


class Parsed(NamedTuple):
    """What a file of tasks holds, and what the operator should be told of it."""

    entries: tuple[Entry, ...]
    warnings: tuple[str, ...]


class Meta(NamedTuple):
    """What a role's meta says of its runs."""

    dependencies: tuple[RoleEntry, ...] = ()
    allow_duplicates: bool = False


def load(path: Path, catalogue: ModuleCatalogue) -> Playbook:
    """Read the playbook in ``path``. Raises InputError or InputErrors with file:line:column."""
    return parse(yamlsource.read_file(path), path, catalogue)


def parse(text: str, path: Path, catalogue: ModuleCatalogue) -> Playbook:
    """As :func:`load`, of a text that is there already; ``path`` is what errors call it."""
    faults = Faults()
    playbook = parse_into(faults, text, path, catalogue)
    faults.raise_all()
    return playbook


def parse_into(faults: Faults, text: str, path: Path, catalogue: ModuleCatalogue) -> Playbook:
    """What can be read of the playbook; faults are noted for the caller to raise with those it finds itself.

    Raises InputError only where there is no YAML to go on with.
    """
    name = str(path)
    reading, document = _document(faults, text, path, catalogue)
    plays = tuple(play for source in _plays(reading, document, name) if (play := _play(reading, source)))
    return Playbook(path, plays, text, tuple(reading.warnings))


def parse_tasks(
    faults: Faults,
    text: str,
    path: Path,
    catalogue: ModuleCatalogue,
    *,
    handlers: bool = False,
    around: Mapping[str, Defaults] = _NO_DEFAULTS,
) -> Parsed:
    """A file of tasks or handlers, inside the module_defaults ``around`` it; faults are noted.

    Raises InputError only where there is no YAML to go on with.
    """
    reading, document = _document(faults, text, path, catalogue)
    reading.defaults = around
    found = tasks.entries_of(reading, document, "a file of tasks", getattr(document, "place", Place(str(path), 1, 1)))
    read = tasks.handlers_of(reading, found) if handlers else tasks.tasks_of(reading, found)
    return Parsed(read, tuple(reading.warnings))


def parse_meta(
    faults: Faults, text: str, path: Path, catalogue: ModuleCatalogue, around: Mapping[str, Defaults] = _NO_DEFAULTS
) -> Meta:
    """A role's meta/main.yml, of which only what it means for a run is kept."""
    reading, document = _document(faults, text, path, catalogue)
    reading.defaults = around
    if document is None:
        return Meta()
    if not isinstance(document, yamlsource.Mapping):
        place = getattr(document, "place", Place(str(path), 1, 1))
        faults.add(f"a role's meta is a mapping, not {values.described(document)}", place)
        return Meta()
    duplicates = document.get("allow_duplicates", False)
    try:
        duplicates = values.boolean(duplicates)
    except values.Wrong as wrong:
        faults.add(f"allow_duplicates {wrong.what}", value_place(document, "allow_duplicates"))
    return Meta(includes.roles(reading, document, "dependencies"), duplicates is True)


def _document(faults: Faults, text: str, path: Path, catalogue: ModuleCatalogue) -> tuple[Reading, Any]:
    name = str(path)
    faults.know(name, text)
    reading = Reading(catalogue, faults)

    def warn(duplicate: InputError) -> None:
        reading.warnings.append(f"{duplicate.place}: {duplicate.what} (as in Ansible the last one counts)")

    return reading, yamlsource.load(text, name, on_duplicate=warn)


def _plays(reading: Reading, document: Any, name: str) -> Iterator[yamlsource.Mapping]:
    if not document and not isinstance(document, (str, int, float)):
        reading.faults.add("the playbook is empty", Place(name, 1, 1), remedy="a playbook is a list of plays")
        return
    if not isinstance(document, yamlsource.Sequence):
        place = getattr(document, "place", Place(name, 1, 1))
        reading.faults.add(
            f"a playbook is a list of plays, not {values.described(document)}",
            place,
            remedy="begin each play with a dash",
        )
        return
    for index, entry in enumerate(document):
        if isinstance(entry, yamlsource.Mapping):
            yield entry
        else:
            reading.faults.add(f"a play is a mapping, not {values.described(entry)}", place_of_value(document, index))


def _play(reading: Reading, source: yamlsource.Mapping) -> Play | ImportedPlaybook | None:
    if key := includes.playbook_key(source):
        return includes.playbook(reading, source, key)
    source = spellings.modern(reading, source, "play")
    refuse_unknown(reading, source, "play")
    found = plain_keywords(reading, source, "play")
    hosts = _hosts(reading, source)
    with defaults.inside(reading, source):
        gate, dwell = gates.gate(reading, source)
        sections: dict[SectionName, tuple[Entry, ...]] = {
            name: gate if name == "gate" else tasks.task_list(reading, source, name) for name in SECTIONS
        }
        handlers = tasks.handlers(reading, source)
        roles = includes.roles(reading, source, "roles")
    name = name_of(reading, source)
    scope = variables(reading, source, "play")
    files = _vars_files(reading, source)
    if hosts is None:
        return None
    return Play(
        place=source.place,
        name=name,
        hosts=hosts,
        sections=sections,
        handlers=handlers,
        keywords=found,
        vars=scope,
        vars_files=files,
        prompts=prompts.prompts(reading, source),
        roles=roles,
        dwell=dwell,
    )


def _hosts(reading: Reading, source: yamlsource.Mapping) -> Keyword | None:
    if "hosts" not in source:
        reading.faults.add("the play names no hosts", source.place, remedy="for example  hosts: all")
        return None
    value, place = source["hosts"], value_place(source, "hosts")
    several = value if isinstance(value, list) else [value]
    for index, one in enumerate(several):
        if not isinstance(one, str) or not one.strip():
            inside = place_of_value(value, index, place)
            reading.faults.add(f"hosts takes patterns, not {values.described(one)}", inside)
            return None
    if not several:
        reading.faults.add("hosts is empty", place, remedy="for example  hosts: all")
        return None
    return Keyword(tuple(several), place, value)


def _vars_files(reading: Reading, source: yamlsource.Mapping) -> tuple[tuple[Keyword, ...], ...]:
    value = source.get("vars_files")
    if value is None:
        return ()
    place = value_place(source, "vars_files")
    found: list[tuple[Keyword, ...]] = []
    for index, entry in enumerate(value if isinstance(value, list) else [value]):
        entry_place = place_of_value(value, index, place) or place
        alternatives: list[Keyword] = []
        for inner, one in enumerate(entry if isinstance(entry, list) else [entry]):
            one_place = place_of_value(entry, inner, entry_place) or entry_place
            if isinstance(one, str) and one:
                alternatives.append(Keyword(one, one_place, one))
            else:
                reading.faults.add(f"vars_files takes paths, not {values.described(one)}", one_place)
        if alternatives:
            found.append(tuple(alternatives))
    return tuple(found)
