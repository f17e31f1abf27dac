"""Schedules that were added at run time: kept in Redis, sealed as plans are, beside those of the file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from opsrunner.errors import InputError, raise_all
from opsrunner.ledger import keys
from opsrunner.ledger.client import Client
from opsrunner.ledger.decoding import decode_text
from opsrunner.ledger.store import Store
from opsrunner.schedule.entry import Surroundings, faults, make
from opsrunner.schedule.load import Contents, chain_fault, find
from opsrunner.schedule.model import Schedule

#: The field that counts the changes; no schedule is called so.
_CHANGE = "#"


class Added(Struct, frozen=True):
    """What was added at run time: what counts, and why the rest does not."""

    schedules: tuple[Schedule, ...] = ()
    faults: dict[str, str] = field(default_factory=dict)


def change(client: Client) -> bytes:
    """Another one after each change."""
    return client.hget(keys.SCHEDULES, _CHANGE) or b""


def load(store: Store, contents: Contents) -> Added:
    """Those of them that are sound beside the file's. Raises SealError for another key."""
    schedules: dict[str, Schedule] = {}
    wrong: dict[str, str] = {}
    taken = {schedule.name for schedule in contents.schedules}
    stored = store.redis.hgetall(keys.SCHEDULES)
    for name in sorted(decode_text(raw) for raw in stored if raw != _CHANGE.encode()):
        document = json.loads(store.sealer.open(stored[name.encode()], purpose=_purpose(name)))
        around = Surroundings(Path(document["directory"]), contents.calendars, contents.notifiers)
        found = [str(error) for error in faults(document["entry"], None, around)]
        if name in taken:
            found.append("the file holds one of that name, too")
        if found:
            wrong[name] = "; ".join(found)
        else:
            schedules[name] = make(document["entry"], around)
    known = [*contents.schedules, *schedules.values()]
    for schedule in list(schedules.values()):
        if fault := _chain_fault(schedule, known):
            wrong[schedule.name] = fault
            del schedules[schedule.name]
    return Added(tuple(schedules.values()), wrong)


def add(store: Store, entry: Mapping[str, Any], directory: Path, contents: Contents) -> None:
    """Keep one more; its paths are meant beside ``directory``. Raises InputError."""
    around = Surroundings(directory, contents.calendars, contents.notifiers)
    raise_all(faults(entry, None, around))
    schedule = make(entry, around)
    before = load(store, contents)
    known = [*contents.schedules, *before.schedules]
    if schedule.name in before.faults or schedule.name in {one.name for one in known}:
        was_added = store.redis.hexists(keys.SCHEDULES, schedule.name)
        raise InputError(
            f"there is a schedule {schedule.name!r} already",
            why="it was added at run time" if was_added else "it stands in the file",
            remedy="take another name" + (f", or opsrunner schedule rm {schedule.name} first" if was_added else ""),
        )
    if fault := _chain_fault(schedule, known):
        raise InputError(fault, remedy="`opsrunner schedule list` lists them")
    try:
        text = json.dumps({"entry": entry, "directory": str(directory)})
    except (TypeError, ValueError) as error:
        raise InputError("its variables cannot be kept", why=str(error)) from None
    pipeline = store.redis.pipeline(transaction=True)
    pipeline.hset(keys.SCHEDULES, schedule.name, store.sealer.seal(text.encode(), purpose=_purpose(schedule.name)))
    pipeline.hincrby(keys.SCHEDULES, _CHANGE, 1)
    # One of that name may have been there before: what it has missed is not this one's.
    pipeline.hdel(keys.schedule(schedule.name), "timing", "started", "paused")
    pipeline.execute()


def remove(store: Store, name: str, contents: Contents) -> None:
    """Take one away, and what is known of it; its runs stay. Raises InputError."""
    added = load(store, contents)
    if not store.redis.hexists(keys.SCHEDULES, name):
        if any(schedule.name == name for schedule in contents.schedules):
            raise InputError(f"schedule {name!r} stands in the file", remedy="take it out there, or pause it")
        find([*contents.schedules, *added.schedules], name)
    followers = [one.name for one in (*contents.schedules, *added.schedules) if one.after == name]
    if followers:
        what = f"schedule {name!r} is followed by {', '.join(followers)}"
        raise InputError(what, remedy="take these away first")
    pipeline = store.redis.pipeline(transaction=True)
    pipeline.hdel(keys.SCHEDULES, name)
    pipeline.hincrby(keys.SCHEDULES, _CHANGE, 1)
    pipeline.delete(*keys.of_schedule(name))
    pipeline.execute()


def names(client: Client) -> set[str]:
    """Those that were added at run time."""
    return {decode_text(name) for name in client.hkeys(keys.SCHEDULES)} - {_CHANGE}


def _chain_fault(schedule: Schedule, known: Iterable[Schedule]) -> str | None:
    after = {one.name: one.after for one in (*known, schedule) if one.after}
    if schedule.after and schedule.after not in {one.name for one in known}:
        return f"there is no schedule {schedule.after!r} to follow"
    circle = chain_fault(schedule.name, after)
    return f"schedules follow each other in a circle: {circle}" if circle else None


def _purpose(name: str) -> bytes:
    return b"schedule:" + name.encode()
