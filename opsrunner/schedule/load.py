"""``schedules.yml``: schedules, each checked whole before any of them counts, and notifiers beside them."""

from __future__ import annotations

import datetime
import difflib
import os
import re
import zoneinfo
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cronsim import CronSim, CronSimError

from opsrunner import yamlsource
from opsrunner.errors import InputError, Place, raise_all
from opsrunner.notify import load as notify_load

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
#: Seconds of the longest ``every``; who wants more writes a cron time.
LONGEST = 366 * 86400
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
KEYS = ("name", "cron", "every", "playbook", "inventory", "limit", "vars", "timezone", "overlap", "notify")
#: What may stand at the top of a file that is a mapping; a list holds schedules alone.
SECTIONS = ("schedules", "notifiers")
OVERLAPS = ("skip", "allow")

_At = Callable[[str], Place]


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule; exactly one of ``cron`` (five fields) and ``every`` (seconds) is set.

    Paths are as seen from the current directory; in the file they were meant beside it.
    """

    name: str
    playbook: Path
    cron: str | None = None
    every: int | None = None
    inventory: tuple[str, ...] = ()
    limit: str | None = None
    vars: Mapping[str, Any] = field(default_factory=dict)
    timezone: str = "UTC"
    #: What happens to a due time while the schedule's last run still goes on: ``skip`` or ``allow``.
    overlap: str = "skip"
    #: Names of notifiers; none: those of the settings.
    notify: tuple[str, ...] = ()


def load(path: Path, notifiers: Iterable[str] = ()) -> tuple[Schedule, ...]:
    """Every schedule of the file; ``notifiers`` are those that are declared elsewhere.

    Raises InputError with every fault in it.
    """
    text = yamlsource.read_file(path)
    errors: list[InputError] = []
    document = yamlsource.load(text, str(path), on_duplicate=errors.append)
    schedules: list[Schedule] = []
    top = getattr(document, "place", Place(str(path), 1, 1))
    declared: Mapping[str, Any] = {}
    if isinstance(document, yamlsource.Mapping):
        for key in document:
            if key not in SECTIONS:
                errors.append(_unknown(f"unknown key {key!r}", key, SECTIONS, document.key_places[key]))
        declared = notify_load.declared(document, text, path.parent, errors)
        top = document.value_places.get("schedules", top)
        document = document.get("schedules")
    known = {*notifiers, *declared}
    if document is not None and not isinstance(document, yamlsource.Sequence):
        errors.append(InputError("schedules are a list", place=top, remedy="begin each with `- name: …`"))
    else:
        entries = list(zip(document, document.item_places, strict=True)) if document else []
        errors += _twice(entry for entry, _ in entries)
        for entry, place in entries:
            faults = list(_faults(entry, place, path.parent))
            if isinstance(entry, yamlsource.Mapping) and "notify" in entry:
                faults += notify_load.name_faults(entry["notify"], entry.value_places["notify"], known)
            errors += faults
            if not faults:
                schedules.append(_schedule(entry, path.parent))
    for error in errors:
        error.excerpt = error.excerpt or (yamlsource.excerpt(text, error.place) if error.place else None)
    raise_all(errors)
    return tuple(schedules)


def find(schedules: tuple[Schedule, ...], name: str) -> Schedule:
    """The schedule of that name. Raises InputError with the nearest name."""
    for schedule in schedules:
        if schedule.name == name:
            return schedule
    near = difflib.get_close_matches(name, [schedule.name for schedule in schedules], 1)
    raise InputError(
        f"no schedule {name!r}", remedy=f"did you mean {near[0]!r}?" if near else "`opsrunner schedule list` lists them"
    )


def parse_every(value: Any) -> int | None:
    """``15m`` in seconds, None when it is no such time."""
    text = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text)
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    return seconds if 0 < seconds <= LONGEST else None


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


def _faults(entry: Any, place: Place, folder: Path) -> Iterator[InputError]:
    if not isinstance(entry, yamlsource.Mapping):
        yield InputError("a schedule is a mapping", place=place, remedy="name:, cron: or every:, playbook:")
        return
    for key in entry:
        if key not in KEYS:
            yield _unknown(f"unknown key {key!r} of a schedule", key, KEYS, entry.key_places[key])

    def at(key: str) -> Place:
        return entry.value_places.get(key, place)

    if not isinstance(entry.get("name"), str) or not _NAME.match(entry["name"]):
        yield InputError("a schedule needs a name", place=at("name"), why="letters, digits, '.', '_' and '-'")
    yield from _time_faults(entry, at)
    if not isinstance(entry.get("playbook"), str):
        yield InputError("a schedule needs a playbook", place=at("playbook"))
    elif not os.path.isfile(folder / entry["playbook"]):  # noqa: PTH113 -- a name too long is no file, where Path raises
        yield InputError(f"no playbook {entry['playbook']}", place=at("playbook"), why=f"looked in {folder.absolute()}")
    yield from _option_faults(entry, at, folder)


def _time_faults(entry: yamlsource.Mapping, at: _At) -> Iterator[InputError]:
    if "cron" in entry and "every" in entry:
        yield InputError("cron: and every: at one schedule", place=entry.key_places["every"], remedy="keep one of them")
    elif "cron" not in entry and "every" not in entry:
        yield InputError("a schedule needs either cron: or every:", place=at("cron"))
    if "cron" in entry and (fault := cron_fault(entry["cron"])):
        yield InputError(f"cron {entry['cron']!r} is not valid", place=at("cron"), why=fault)
    if "every" in entry and parse_every(entry["every"]) is None:
        yield InputError(
            f"every {entry['every']!r} is no time", place=at("every"), remedy="write 30s, 15m, 2h or 1d, at most 366d"
        )
    zone = entry.get("timezone", "UTC")
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        if zone != "UTC":
            yield _unknown(f"unknown timezone {zone!r}", zone, zoneinfo.available_timezones(), at("timezone"))


def _option_faults(entry: yamlsource.Mapping, at: _At, folder: Path) -> Iterator[InputError]:
    given = entry.get("inventory", "inventory")
    sources = given if isinstance(given, list) else [given]
    if not sources or not all(isinstance(one, str) and one for one in sources):
        yield InputError("inventory is a path or a list of paths", place=at("inventory"))
    elif "inventory" in entry:
        for one in sources:
            source = _source(one, folder)
            if isinstance(source, Path) and not os.path.exists(source):  # noqa: PTH110
                yield InputError(f"no inventory {one}", place=at("inventory"), why=f"looked in {folder.absolute()}")
    if not isinstance(entry.get("limit", "all"), str):
        yield InputError("limit is a pattern", place=at("limit"))
    variables = entry.get("vars", {})
    if not isinstance(variables, dict):
        yield InputError("vars is a mapping", place=at("vars"))
    elif isinstance(variables, yamlsource.Mapping):
        for name in variables:
            if not isinstance(name, str) or not name.isidentifier():
                yield InputError(
                    f"{name!r} is no name of a variable",
                    place=variables.key_places[name],
                    why="letters, digits and '_'",
                )
    if entry.get("overlap", "skip") not in OVERLAPS:
        yield _unknown(
            f"overlap {entry['overlap']!r} is neither skip nor allow", entry["overlap"], OVERLAPS, at("overlap")
        )


def cron_fault(text: Any) -> str | None:
    """Why this is no cron time, None when it is one."""
    if not isinstance(text, str):
        return "write it as text in quotes"
    if text.startswith("@") and text not in NICKNAMES:
        return f"known are {', '.join(NICKNAMES)}"
    text = NICKNAMES.get(text, text)
    if len(text.split()) != 5:
        return "five fields are wanted: minute hour day month weekday"
    try:
        next(CronSim(text, datetime.datetime.now(datetime.UTC)))
    except CronSimError as error:
        return str(error)
    except StopIteration:
        return "no such day ever comes"
    return None


def _unknown(what: str, name: Any, known: Iterable[str], place: Place) -> InputError:
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, 1)
    some = ", ".join(names) if len(names) < 20 else "names such as Europe/Berlin or UTC"
    return InputError(what, place=place, remedy=f"did you mean {near[0]!r}?" if near else f"known are {some}")


def _source(text: str, folder: Path) -> str | Path:
    """A host list (``host,`` or ``h1,h2``) as it is, else the path it means."""
    path = folder / os.path.expanduser(text)  # noqa: PTH111 -- leaves ~nobody as it is, where Path raises
    return text if "," in text and not os.path.exists(path) else path  # noqa: PTH110


def _schedule(entry: yamlsource.Mapping, folder: Path) -> Schedule:
    given = entry.get("inventory", [])
    sources = [given] if isinstance(given, str) else given
    cron, told = entry.get("cron"), entry.get("notify", ())
    return Schedule(
        name=entry["name"],
        playbook=folder / entry["playbook"],
        cron=NICKNAMES.get(cron, cron) if cron else None,
        every=parse_every(entry["every"]) if "every" in entry else None,
        inventory=tuple(str(_source(one, folder)) for one in sources),
        limit=entry.get("limit"),
        vars=dict(entry.get("vars", {})),
        timezone=entry.get("timezone", "UTC"),
        overlap=entry.get("overlap", "skip"),
        notify=tuple([told] if isinstance(told, str) else told),
    )
