"""``schedules.yml``: schedules and calendars, each checked whole before any of them counts, and notifiers beside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from opsrunner import yamlsource
from opsrunner.errors import InputError, Place, did_you_mean, raise_all
from opsrunner.notify import load as notify_load
from opsrunner.notify.choice import names_elsewhere
from opsrunner.schedule.entry import Surroundings, faults, make, unknown
from opsrunner.schedule.model import Schedule
from opsrunner.schedule.windows import Dated, parse_dated
from opsrunner.settings import Settings

#: What may stand at the top of a file that is a mapping; a list holds schedules alone.
SECTIONS = ("schedules", "calendars", "notifiers")


class Contents(Struct, frozen=True):
    """What the file holds."""

    schedules: tuple[Schedule, ...] = ()
    calendars: Mapping[str, tuple[Dated, ...]] = field(default_factory=dict)
    #: Names of the notifiers that schedules may name, declared here or elsewhere.
    notifiers: frozenset[str] = frozenset()


def contents_of(settings: Settings) -> Contents:
    """What the file of the settings holds, nothing where there is none. Raises InputError with every fault in it."""
    path, elsewhere = Path(settings.schedules), names_elsewhere(settings)
    return load_contents(path, elsewhere) if path.exists() else Contents(notifiers=frozenset(elsewhere))


def load(path: Path, notifiers: Iterable[str] = ()) -> tuple[Schedule, ...]:
    """Every schedule of the file; ``notifiers`` are those that are declared elsewhere. As :func:`load_contents`."""
    return load_contents(path, notifiers).schedules


def load_contents(path: Path, notifiers: Iterable[str] = ()) -> Contents:
    """Everything in the file but for what notifiers are. Raises InputError with every fault in it."""
    text = yamlsource.read_file(path)
    errors: list[InputError] = []
    document = yamlsource.load(text, str(path), on_duplicate=errors.append)
    place = getattr(document, "place", Place(str(path), 1, 1))
    sections = document if isinstance(document, yamlsource.Mapping) else {"schedules": document}
    for key in sections:
        if key not in SECTIONS:
            errors.append(unknown(f"unknown key {key!r}", key, SECTIONS, yamlsource.place_of_key(sections, key, place)))
    calendars, wrong = _calendars(sections.get("calendars"), place)
    errors += wrong
    declared = {}
    if isinstance(document, yamlsource.Mapping):
        declared = notify_load.declared(document, text, path.parent, errors)
    known = frozenset((*notifiers, *declared))
    at = yamlsource.place_of_value(sections, "schedules", place) or place
    schedules, wrong = _schedules(sections.get("schedules"), at, Surroundings(path.parent, calendars, known))
    errors += wrong
    for error in errors:
        error.excerpt = error.excerpt or (yamlsource.excerpt(text, error.place) if error.place else None)
    raise_all(errors)
    return Contents(tuple(schedules), calendars, known)


def find(schedules: Iterable[Schedule], name: str) -> Schedule:
    """The schedule of that name. Raises InputError with the nearest name."""
    by_name = {schedule.name: schedule for schedule in schedules}
    if name in by_name:
        return by_name[name]
    remedy = did_you_mean(name, by_name, "`opsrunner schedule list` lists them")
    raise InputError(f"no schedule {name!r}", remedy=remedy)


def chain_fault(name: str, after: dict[str, str]) -> str | None:
    """Why a schedule cannot follow the one that ``after`` says, None when it can."""
    seen = [name]
    while (before := after.get(seen[-1])) is not None:
        if before in seen:
            return " → ".join((*seen, before))
        seen.append(before)
    return None


def _calendars(given: Any, place: Place) -> tuple[dict[str, tuple[Dated, ...]], list[InputError]]:
    if given is None:
        return {}, []
    if not isinstance(given, yamlsource.Mapping):
        remedy = 'calendars: {holidays: ["2026-12-24..2026-12-26", 2027-01-01]}'
        return {}, [InputError("calendars are a mapping of names to dates", place=place, remedy=remedy)]
    errors: list[InputError] = []
    found: dict[str, tuple[Dated, ...]] = {}
    for name, dates in given.items():
        at = given.value_places[name]
        if not isinstance(dates, yamlsource.Sequence):
            errors.append(InputError(f"calendar {name!r} is a list of dates", place=at))
            continue
        windows: list[Dated] = []
        for one, item_place in zip(dates, dates.item_places, strict=True):
            try:
                windows.append(parse_dated(one, name=str(name)))
            except ValueError as error:
                errors.append(InputError(f"{str(one)!r} is no date of a calendar", place=item_place, why=str(error)))
        found[name] = tuple(windows)
    return found, errors


def _schedules(given: Any, place: Place, around: Surroundings) -> tuple[list[Schedule], list[InputError]]:
    if given is None:
        return [], []
    if not isinstance(given, yamlsource.Sequence):
        return [], [InputError("schedules are a list", place=place, remedy="begin each with `- name: …`")]
    entries = list(zip(given, given.item_places, strict=True))
    errors = list(_twice(entry for entry, _ in entries))
    schedules: list[Schedule] = []
    for entry, at in entries:
        wrong = list(faults(entry, at, around))
        errors += wrong
        if not wrong:
            schedules.append(make(entry, around))
    return schedules, errors + list(_chain_faults([entry for entry, _ in entries]))


def _twice(entries: Iterable[Any]) -> Iterator[InputError]:
    """Names that stand at two schedules: which of them is meant could not be told."""
    first: dict[str, Place] = {}
    for entry in entries:
        name = entry.get("name") if isinstance(entry, yamlsource.Mapping) else None
        if isinstance(name, str):
            place = entry.value_places["name"]
            if name in first:
                yield InputError(
                    f"schedule {name!r} stands twice", place=place, remedy=f"the first is at {first[name]}; rename one"
                )
            first.setdefault(name, place)


def _chain_faults(entries: Sequence[Any]) -> Iterator[InputError]:
    """What follows a schedule that is not there, or itself in the end."""
    named = [entry for entry in entries if isinstance(entry, yamlsource.Mapping) and isinstance(entry.get("name"), str)]
    names = {entry["name"] for entry in named}
    after = {entry["name"]: entry["after"] for entry in named if isinstance(entry.get("after"), str)}
    for entry in named:
        if entry["name"] not in after:
            continue
        place = entry.value_places["after"]
        if entry["after"] not in names:
            yield unknown(f"no schedule {entry['after']!r} in this file", entry["after"], names, place)
        elif circle := chain_fault(entry["name"], after):
            yield InputError("schedules follow each other in a circle", place=place, why=circle)
