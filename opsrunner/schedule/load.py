"""``schedules.yml``: a list of schedules, each checked whole before any of them counts."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from opsrunner import yamlsource
from opsrunner.errors import InputError, Place, raise_all

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
KEYS = ("name", "cron", "every", "playbook", "inventory", "limit", "vars", "timezone")


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule; exactly one of ``cron`` (five fields) and ``every`` (seconds) is set.

    Paths are absolute: relative ones were meant beside the schedules' file.
    """

    name: str
    playbook: Path
    cron: str | None = None
    every: int | None = None
    inventory: tuple[str, ...] = ()
    limit: str | None = None
    vars: dict[str, Any] = field(default_factory=dict)
    timezone: str = "UTC"
    place: Place | None = None


def load(path: Path) -> tuple[Schedule, ...]:
    """Every schedule of the file. Raises InputError with every fault in it."""
    document = yamlsource.load_file(path)
    if document is None:
        return ()
    if not isinstance(document, yamlsource.Sequence):
        place = getattr(document, "place", Place(str(path), 1, 1))
        raise InputError("schedules are a list", place=place, remedy="begin each with `- name: …`")
    errors: list[InputError] = []
    schedules: list[Schedule] = []
    for index, entry in enumerate(document):
        faults = list(_faults(entry, document.item_places[index], path.parent))
        errors += faults
        if not faults:
            schedules.append(_schedule(entry, document.item_places[index], path.parent))
    names = [schedule.name for schedule in schedules]
    for schedule in schedules:
        if names.count(schedule.name) > 1:
            errors.append(InputError(f"schedule {schedule.name!r} stands twice", place=schedule.place))
            break
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


def parse_every(text: Any) -> int | None:
    """``15m`` in seconds, None when it is no such time."""
    if isinstance(text, int) and not isinstance(text, bool):
        return text if text > 0 else None
    match = re.fullmatch(r"(\d+)([smhd]?)", text) if isinstance(text, str) else None
    seconds = int(match[1]) * _UNITS[match[2] or "s"] if match else 0
    return seconds or None


def _faults(entry: Any, place: Place, folder: Path) -> Iterator[InputError]:
    if not isinstance(entry, yamlsource.Mapping):
        yield InputError("a schedule is a mapping", place=place, remedy="name:, cron: or every:, playbook:")
        return
    for key in entry:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, 1)
            remedy = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(KEYS)}"
            yield InputError(f"unknown key {key!r} of a schedule", place=entry.key_places[key], remedy=remedy)

    def at(key: str) -> Place:
        return entry.value_places.get(key, place)

    if not isinstance(entry.get("name"), str) or not _NAME.match(entry["name"]):
        yield InputError("a schedule needs a name", place=at("name"), why="letters, digits, '.', '_' and '-'")
    if ("cron" in entry) == ("every" in entry):
        yield InputError("a schedule needs either cron: or every:", place=place)
    if "cron" in entry and (fault := _cron_fault(entry["cron"])):
        yield InputError(f"cron {entry['cron']!r} is not valid", place=at("cron"), why=fault)
    if "every" in entry and parse_every(entry["every"]) is None:
        yield InputError(f"every {entry['every']!r} is no time", place=at("every"), remedy="write 30s, 15m, 2h or 1d")
    if not isinstance(entry.get("playbook"), str):
        yield InputError("a schedule needs a playbook", place=at("playbook"))
    elif not (folder / entry["playbook"]).is_file():
        yield InputError(f"no playbook {entry['playbook']}", place=at("playbook"), why=f"looked in {folder}")
    yield from _option_faults(entry, at)


def _option_faults(entry: yamlsource.Mapping, at: Any) -> Iterator[InputError]:
    inventory = entry.get("inventory", [])
    if not isinstance(inventory, str) and not (
        isinstance(inventory, list) and all(isinstance(one, str) for one in inventory)
    ):
        yield InputError("inventory is a path or a list of paths", place=at("inventory"))
    if not isinstance(entry.get("limit", ""), str):
        yield InputError("limit is a pattern", place=at("limit"))
    if not isinstance(entry.get("vars", {}), dict):
        yield InputError("vars is a mapping", place=at("vars"))
    try:
        ZoneInfo(entry.get("timezone", "UTC"))
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        yield InputError(
            f"unknown timezone {entry['timezone']!r}", place=at("timezone"), remedy="e.g. Europe/Berlin or UTC"
        )


def _cron_fault(text: Any) -> str | None:
    import datetime

    if not isinstance(text, str):
        return "write it as text in quotes"
    text = _NICKNAMES.get(text, text)
    if len(text.split()) != 5:
        return "five fields are wanted: minute hour day month weekday"
    try:
        CronSim(text, datetime.datetime.now(datetime.UTC))
    except CronSimError as error:
        return str(error)
    return None


def _schedule(entry: yamlsource.Mapping, place: Place, folder: Path) -> Schedule:
    inventory = entry.get("inventory", [])
    sources = [inventory] if isinstance(inventory, str) else inventory
    cron = entry.get("cron")
    return Schedule(
        name=entry["name"],
        playbook=(folder / entry["playbook"]).absolute(),
        cron=_NICKNAMES.get(cron, cron) if cron else None,
        every=parse_every(entry["every"]) if "every" in entry else None,
        inventory=tuple(one if one.endswith(",") else str((folder / one).absolute()) for one in sources),
        limit=entry.get("limit"),
        vars=dict(entry.get("vars", {})),
        timezone=entry.get("timezone", "UTC"),
        place=place,
    )
