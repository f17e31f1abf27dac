"""One schedule as it was written, in the file or on the command line: every fault in it, and what it means."""

from __future__ import annotations

import os
import re
import zoneinfo
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from msgspec import Struct, field

from opsrunner import yamlsource
from opsrunner.errors import InputError, Place, did_you_mean
from opsrunner.notify import load as notify_load
from opsrunner.schedule.model import MISFIRE_LIMIT, START_DEADLINE, Misfire, On, Overlap, Schedule
from opsrunner.schedule.moments import parse_moment, parse_span, parse_zone
from opsrunner.schedule.times import NICKNAMES, cron_fault, least_gap
from opsrunner.schedule.windows import Dated, Window, parse_window

#: Exactly one of these says when it is due.
WHEN = ("cron", "every", "at", "after")
#: Names that a remedy tells at most.
SHOWN = 32
#: What does not go together with ``after``: such a schedule has no times of its own.
TIMED = ("jitter", "misfire", "misfire_limit")
KEYS = (
    *("name", *WHEN, "on", "timezone", "jitter", "start_deadline", "overlap", "misfire", "misfire_limit"),
    *("blackout", "max_runtime", "paused", "until", "count"),
    *("playbook", "inventory", "limit", "vars", "tags", "skip_tags", "check", "diff", "forks", "notify"),
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_CHOICES: dict[str, tuple[str, ...]] = {"overlap": get_args(Overlap), "misfire": get_args(Misfire), "on": get_args(On)}
_SPANS = ("jitter", "start_deadline", "max_runtime")
_NUMBERS = ("count", "misfire_limit", "forks")
_FLAGS = ("paused", "check", "diff")
_LISTS = ("tags", "skip_tags")
_SPAN_FORMS = "write 30s, 15m, 2h or 1d, at most 366d"

Calendars = Mapping[str, tuple[Dated, ...]]


class Surroundings(Struct, frozen=True):
    """What an entry is read in: the folder its paths are meant beside, and what it may name."""

    folder: Path
    calendars: Calendars = field(default_factory=dict)
    #: Names of the notifiers that there are.
    notifiers: frozenset[str] = frozenset()


def faults(entry: Any, place: Place | None, around: Surroundings) -> Iterator[InputError]:
    """Everything that is wrong with it, each with its place where it stands in a file."""
    if not isinstance(entry, dict):
        yield InputError("a schedule is a mapping", place=place, remedy="name:, cron: or every:, playbook:")
        return
    given = _named(entry)
    for key, written in given.items():
        if key not in KEYS:
            at_key = yamlsource.place_of_key(entry, written, place)
            yield unknown(f"unknown key {key!r} of a schedule", key, KEYS, at_key)

    def at(key: str) -> Place | None:
        return yamlsource.place_of_value(entry, given[key], place) if key in given else place

    values = {key: entry[written] for key, written in given.items()}
    yield from _name_faults(values, at, around.folder)
    sound = list(_time_faults(values, at))
    yield from sound
    plain = list(_plain_faults(values, at))
    yield from plain
    if not sound and not plain:
        yield from _window_faults(entry, values, at, around)
    yield from _option_faults(values, at, around.folder)
    if "notify" in values:
        yield from notify_load.name_faults(values["notify"], at("notify"), around.notifiers)


def make(entry: Mapping[Any, Any], around: Surroundings) -> Schedule:
    """The schedule that an entry without faults means."""
    values = {key: entry[written] for key, written in _named(entry).items()}
    zone = parse_zone(values.get("timezone", "UTC"))
    given = values.get("inventory", [])
    cron = values.get("cron")
    every = values.get("every")
    return Schedule(
        name=values["name"],
        playbook=around.folder / values["playbook"],
        cron=NICKNAMES.get(cron, cron) if cron else None,
        every=None if every is None else parse_span(every),
        at=parse_moment(values["at"], zone) if "at" in values else None,
        after=values.get("after"),
        on=values.get("on", "success"),
        timezone=values.get("timezone", "UTC"),
        jitter=parse_span(values["jitter"]) or 0 if "jitter" in values else 0,
        start_deadline=parse_span(values.get("start_deadline", START_DEADLINE)) or START_DEADLINE,
        overlap=values.get("overlap", "skip"),
        misfire=values.get("misfire", "skip"),
        misfire_limit=values.get("misfire_limit", MISFIRE_LIMIT),
        blackout=tuple(_windows(values.get("blackout", []), around.calendars)),
        max_runtime=parse_span(values["max_runtime"]) if "max_runtime" in values else None,
        paused=values.get("paused", False),
        until=parse_moment(values["until"], zone, end_of_day=True) if "until" in values else None,
        count=values.get("count"),
        inventory=tuple(str(_source(one, around.folder)) for one in _listed(given)),
        limit=values.get("limit"),
        vars=dict(values.get("vars", {})),
        tags=_words(values.get("tags", ())),
        skip_tags=_words(values.get("skip_tags", ())),
        check=values.get("check", False),
        diff=values.get("diff", False),
        forks=values.get("forks"),
        notify=_words(values.get("notify", ())),
    )


def unknown(what: str, name: Any, known: Iterable[str], place: Place | None) -> InputError:
    names = sorted(known)
    some = ", ".join(names[:SHOWN]) + (" …" if len(names) > SHOWN else "")
    return InputError(what, place=place, remedy=did_you_mean(name, names, f"known are {some}"))


def _zone_remedy(name: str) -> str:
    """A city alone is found; letters such as CEST are near to others that are hours away."""
    places = sorted(zone for zone in zoneinfo.available_timezones() if "/" in zone)
    cities = [zone for zone in places if zone.rpartition("/")[2].lower() == name.strip().replace(" ", "_").lower()]
    otherwise = "write a place, as Europe/Berlin, or UTC"
    if cities:
        return f"did you mean {cities[0]}?"
    return did_you_mean(name, places, otherwise) if "/" in name else otherwise


def _named(entry: Mapping[Any, Any]) -> dict[Any, Any]:
    """Key → the key as YAML read it: in YAML 1.1 an ``on`` without quotes is true."""
    return {"on" if key is True else key: key for key in entry}


# ---------------------------------------------------------------------- parts of an entry
_At = Callable[[str], Place | None]


def _name_faults(values: Mapping[str, Any], at: _At, folder: Path) -> Iterator[InputError]:
    if "name" not in values:
        yield InputError("a schedule needs a name", place=at("name"))
    elif not isinstance(values["name"], str) or not _NAME.match(values["name"]):
        why = "a name is text of letters, digits, '.', '_' and '-'"
        yield InputError(f"{values['name']!r} cannot be the name of a schedule", place=at("name"), why=why)
    playbook = values.get("playbook")
    if not isinstance(playbook, str):
        yield InputError("a schedule needs a playbook", place=at("playbook"))
    elif not os.path.isfile(folder / playbook):  # noqa: PTH113 -- a name too long is no file, where Path raises
        yield InputError(f"no playbook {playbook}", place=at("playbook"), why=f"looked in {folder.absolute()}")


def _time_faults(values: Mapping[str, Any], at: _At) -> Iterator[InputError]:
    said = [key for key in WHEN if key in values]
    if not said:
        forms = "cron '30 2 * * *', every 1h, at '2026-12-01 02:00', or after another schedule"
        yield InputError("a schedule needs one of cron, every, at and after", place=at("cron"), remedy=forms)
    for key in said[1:]:
        what = f"a schedule cannot have both {said[0]} and {key}"
        yield InputError(what, place=at(key), remedy="keep one of them")
    if "cron" in values and (fault := cron_fault(values["cron"])):
        yield InputError(f"cron {values['cron']!r} is not valid", place=at("cron"), why=fault)
    if "every" in values and parse_span(values["every"]) is None:
        yield InputError(f"every {values['every']!r} is no time", place=at("every"), remedy=_SPAN_FORMS)
    try:
        zone = parse_zone(values.get("timezone", "UTC"))
    except ValueError as error:
        yield InputError(str(error), place=at("timezone"), remedy=_zone_remedy(str(values["timezone"])))
        return
    for key, end_of_day in (("at", False), ("until", True)):
        if key in values:
            try:
                parse_moment(values[key], zone, end_of_day=end_of_day)
            except ValueError as error:
                yield InputError(f"{key} {str(values[key])!r} is no time", place=at(key), why=str(error))


def _plain_faults(values: Mapping[str, Any], at: _At) -> Iterator[InputError]:
    """Values that are judged by themselves."""
    for key, choices in _CHOICES.items():
        if key in values and values[key] not in choices:
            listed = f"{', '.join(choices[:-1])} nor {choices[-1]}"
            yield unknown(f"{key} {values[key]!r} is neither {listed}", values[key], choices, at(key))
    for key in _SPANS:
        if key in values and parse_span(values[key]) is None:
            yield InputError(f"{key} {values[key]!r} is no time", place=at(key), remedy=_SPAN_FORMS)
    for key in _NUMBERS:
        if key in values and not (type(values[key]) is int and 0 < values[key] <= 1_000_000):
            yield InputError(f"{key} is a number from 1 to 1000000", place=at(key))
    for key in _FLAGS:
        if not isinstance(values.get(key, False), bool):
            yield InputError(f"{key} is true or false", place=at(key))
    for key in _LISTS:
        if not all(isinstance(one, str) and one for one in _listed(values.get(key, []))):
            yield InputError(f"{key} is a name or a list of names", place=at(key))


def _window_faults(
    entry: Mapping[Any, Any], values: Mapping[str, Any], at: _At, around: Surroundings
) -> Iterator[InputError]:
    """What is judged beside other keys, once each is sound by itself."""
    if "after" in values:
        if not isinstance(values["after"], str):
            yield InputError("after is the name of a schedule", place=at("after"))
        for key in TIMED:
            if key in values:
                why = "it is due when a run of another schedule ends"
                yield InputError(f"{key}: at a schedule with after:", place=at(key), why=why, remedy="take it away")
    elif "on" in values:
        yield InputError("on: without after:", place=at("on"), remedy="name the schedule that it follows")
    if "misfire_limit" in values and values.get("misfire") != "catch_up":
        yield InputError("misfire_limit: without misfire: catch_up", place=at("misfire_limit"))
    for one in _listed(values.get("blackout", [])):
        try:
            list(_windows([one], around.calendars))
        except ValueError as error:
            written = values["blackout"]
            place = at("blackout")
            if isinstance(written, yamlsource.Sequence):
                place = written.item_places[written.index(one)]
            what = f"blackout {str(one)!r} is neither a window nor a calendar"
            yield InputError(what, place=place, why=str(error), remedy=did_you_mean(str(one), around.calendars))
    if "jitter" in values and "after" not in values:
        timed = Schedule("", Path(), cron=_cron(values), every=parse_span(values.get("every", "")))
        jitter, gap = parse_span(values["jitter"]) or 0, least_gap(timed)
        if jitter >= gap:
            why = f"its times are {gap:.0f} s apart: one would be put off beyond the next"
            yield InputError(f"jitter {values['jitter']} is too long", place=at("jitter"), why=why)


def _cron(values: Mapping[str, Any]) -> str | None:
    cron = values.get("cron")
    return NICKNAMES.get(cron, cron) if cron else None


def _option_faults(values: Mapping[str, Any], at: _At, folder: Path) -> Iterator[InputError]:
    if "inventory" in values:
        sources = _listed(values["inventory"])
        if not sources or not all(isinstance(one, str) and one for one in sources):
            yield InputError("inventory is a path or a list of paths", place=at("inventory"))
        else:
            for one in sources:
                source = _source(one, folder)
                if isinstance(source, Path) and not os.path.exists(source):  # noqa: PTH110
                    yield InputError(f"no inventory {one}", place=at("inventory"), why=f"looked in {folder.absolute()}")
    if not isinstance(values.get("limit", "all"), str):
        yield InputError("limit is a pattern", place=at("limit"))
    variables = values.get("vars", {})
    if not isinstance(variables, dict):
        yield InputError("vars is a mapping", place=at("vars"))
        return
    for name in variables:
        if not isinstance(name, str) or not name.isidentifier():
            place = yamlsource.place_of_key(variables, name, at("vars"))
            yield InputError(f"{name!r} is no name of a variable", place=place, why="letters, digits and '_'")


def _windows(given: Any, calendars: Calendars) -> Iterator[Window]:
    """Raises ValueError."""
    for one in _listed(given):
        if isinstance(one, str) and one in calendars:
            yield from calendars[one]
        else:
            yield parse_window(one)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _words(value: Any) -> tuple[str, ...]:
    """A list, or names with commas between."""
    return tuple(part.strip() for one in _listed(value) for part in one.split(",") if part.strip())


def _source(text: str, folder: Path) -> str | Path:
    """A host list (``host,`` or ``h1,h2``) as it is, else the path it means."""
    path = folder / os.path.expanduser(text)  # noqa: PTH111 -- leaves ~nobody as it is, where Path raises
    return text if "," in text and not os.path.exists(path) else path  # noqa: PTH110
