"""Two plans of one playbook: what differs, and the newer one made fit for the run of the older. Pure.

The same steps must stand in the same order for that, since the ledger knows them by their numbers,
blocks by theirs, and a play's hosts and batches as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from msgspec.structs import asdict, replace

from opsrunner import modules
from opsrunner.errors import InputError
from opsrunner.inventory import Inventory
from opsrunner.plan.codec import plain
from opsrunner.plan.contrast import alike, changed_names, contrast, listed, ranges
from opsrunner.plan.inventories import Difference, inventory_differences
from opsrunner.plan.model import Plan, Play, Step

__all__ = ["Difference", "changed_files", "differences", "revised"]

#: What tells a step from another one; its number and its place in the file may change freely.
_IDENTITY = ("section", "handler", "path", "module", "name")
#: Fields whose values may be secrets: only the names in them are told.
_NAMES_ONLY = ("vars", "environment", "params")
#: Fields that follow from where a step stands, and from its variables.
_FOLLOWING = ("number", "place", "role", "search", "known_as", "inclusions")
_COMPARED = tuple(
    field
    for field in Step.__struct_fields__
    if field not in (*_IDENTITY, *_NAMES_ONLY, *_FOLLOWING, "arguments", "loop")
)
#: Hosts and steps named in an error before it says "and N more".
_NAMED = 5


def differences(old: Plan, new: Plan) -> tuple[Difference, ...]:
    """What differs in ``new``, told with ``old``'s numbers of steps; options and extra variables are the run's own.

    Where every file that was read is as it was there is none: templates that give something else at
    each reading (``now``, ``random``) are no change.
    """
    files = _file_differences(old, new)
    if old.sources and new.sources and _same_files(old, new):
        return tuple(files)
    return (*_play_differences(old, new), *files, *inventory_differences(old, new))


def changed_files(old: Plan, new: Plan) -> tuple[str, ...]:
    """Paths of playbook, inventories and variable files whose content changed, and of those that came or went."""
    before, after = (dict(plan.sources.files) if plan.sources else {} for plan in (old, new))
    return tuple(sorted(changed_names(before, after)))


def revised(old: Plan, new: Plan) -> Plan:
    """``new`` for the run that ``old`` was made for: hosts, batches, options and places of handlers stay.

    Raises InputError where the steps do not correspond one to one, or a host of the run is gone.
    """
    apart = list(_apart(old, new))
    if apart:
        raise InputError(
            "the playbook as it is now does not fit what this run has done",
            why=listed(apart, _NAMED, "; "),
            remedy="start a new run, or go on with the plan as it was stored: --stored",
        )
    inventory = Inventory.from_data(new.inventory)
    made_from = Inventory.from_data(old.inventory)
    # Hosts that the run itself has added are in neither.
    gone = [host for host in _hosts(old) if made_from.knows(host) and not inventory.knows(host)]
    if gone:
        raise InputError(
            f"hosts of this run are gone from the inventory: {listed(gone, _NAMED)}",
            remedy="put them back, start a new run, or go on with the plan as it was stored: --stored",
        )
    return replace(
        new,
        title=old.title,
        plays=tuple(
            _revised_play(*pair, titles=(old.title, new.title)) for pair in zip(old.plays, new.plays, strict=True)
        ),
        extra_vars=old.extra_vars,
        options=old.options,
        zones=_zones(old, new),
    )


def _revised_play(old: Play, new: Play, titles: tuple[str, str]) -> Play:
    steps = tuple(
        # The ledger notes who was notified by the places of the handlers.
        replace(after, place=before.place if after.handler else _renamed(after.place, *titles))
        for before, after in zip(old.steps, new.steps, strict=True)
    )
    return replace(
        new,
        hosts=new.hosts if old.is_undecided else old.hosts,
        batches=new.batches if old.is_undecided else old.batches,
        late=new.late if old.is_undecided else old.late,
        batch_names=old.batch_names,
        serial_by=old.serial_by,
        error_budget=old.error_budget,
        unreachable_budget=old.unreachable_budget,
        steps=steps,
        place=_renamed(new.place, *titles),
    )


def _renamed(place: str, old_title: str, new_title: str) -> str:
    """A place in the playbook by the path as the operator gave it."""
    return old_title + place.removeprefix(new_title) if place.startswith(f"{new_title}:") else place


def _zones(old: Plan, new: Plan) -> dict[str, tuple[str, ...]]:
    """The zones of the run's hosts, as the inventory says now where it still targets them."""
    zone_of = {host: zone for plan in (old, new) for zone, hosts in plan.zones.items() for host in hosts}
    zones: dict[str, list[str]] = {}
    for host in _hosts(old):
        zones.setdefault(zone_of[host], []).append(host)
    return {zone: tuple(hosts) for zone, hosts in zones.items()}


def _hosts(plan: Plan) -> list[str]:
    return list(dict.fromkeys(host for play in plan.plays for host in play.hosts))


def _same_files(old: Plan, new: Plan) -> bool:
    assert old.sources and new.sources
    return old.sources.files == new.sources.files and old.sources.inventories == new.sources.inventories


# ---------------------------------------------------------------------- steps
def _identity(step: Step) -> tuple[Any, ...]:
    return tuple(getattr(step, name) for name in _IDENTITY)


def _aligned(old: Sequence[Step], new: Sequence[Step]) -> Iterator[tuple[Step | None, Step | None]]:
    """Steps that correspond, those that went and those that came, in order."""
    matcher = SequenceMatcher(None, [*map(_identity, old)], [*map(_identity, new)], autojunk=False)
    for tag, low, high, new_low, new_high in matcher.get_opcodes():
        if tag == "equal":
            yield from zip(old[low:high], new[new_low:new_high], strict=True)
        else:
            yield from ((step, None) for step in old[low:high])
            yield from ((None, step) for step in new[new_low:new_high])


def _apart(old: Plan, new: Plan) -> Iterator[str]:
    """Why the plans' steps do not correspond one to one; nothing where they do."""
    if len(old.plays) != len(new.plays):
        yield f"{len(old.plays)} plays have become {len(new.plays)}"
    for before, after in zip(old.plays, new.plays, strict=False):
        if [*map(_identity, before.steps)] != [*map(_identity, after.steps)]:
            yield from _moved(before, after) or [f"the order of steps in play {before.name!r}"]


def _moved(old: Play, new: Play) -> list[str]:
    """Steps that came or went. Each handler stands in a play several times, and is told of once."""
    pairs = list(_aligned(old.steps, new.steps))
    both = {_identity(before) for before, after in pairs if before and after}
    told: dict[str, None] = {}
    for before, after in pairs:
        one = before or after
        assert one
        if (before and after) or (one.handler and _identity(one) in both):
            continue
        told[f"step {one.number} {_named(one)} is gone" if before else f"step {_named(one)} is new"] = None
    return list(told)


def _named(step: Step) -> str:
    return f"{'handler ' * step.handler}{step.name!r} ({step.place})"


def _play_differences(old: Plan, new: Plan) -> Iterator[Difference]:
    known = Inventory.from_data(new.inventory).knows
    for before, after in zip(old.plays, new.plays, strict=False):
        yield from map(Difference, _keyword_texts(before, after))
        yield from map(Difference, _moved(before, after))
        yield from map(Difference, _step_texts(before, after))
        yield from _host_differences(before, after, known)
    common = min(len(old.plays), len(new.plays))
    for play in old.plays[common:]:
        yield Difference(f"play {play.name!r} ({play.place}) is gone")
    for play in new.plays[common:]:
        yield Difference(f"play {play.name!r} ({play.place}) is new")


def _host_differences(old: Play, new: Play, known: Callable[[str], bool]) -> Iterator[Difference]:
    """Hosts that a play gained and lost; those that are gone altogether are told of with the inventory."""
    if old.late or new.late:
        return  # the run decides
    before, after = set(old.hosts), set(new.hosts)
    came = tuple(host for host in new.hosts if host not in before)
    went = tuple(host for host in old.hosts if host not in after and known(host))
    if came:
        yield Difference(f"new in play {old.name!r}, and not part of this run", came)
    if went:
        yield Difference(f"no longer in play {old.name!r}, and still part of this run", went)


def _keyword_texts(old: Play, new: Play) -> Iterator[str]:
    """What the play itself says; its name is only shown."""
    head = f"play {old.name!r} ({new.place}): "
    for name, word in (
        ("pattern", "hosts"),
        ("strategy", "strategy"),
        ("max_fail_percentage", "max_fail_percentage"),
        ("force_handlers", "force_handlers"),
        ("dwell", "dwell of the gate"),
    ):
        if not alike(getattr(old, name), getattr(new, name)):
            yield f"{head}{word}: {contrast(getattr(old, name), getattr(new, name))}"
    for name in ("error_budget", "unreachable_budget"):
        if not alike(getattr(old, name), getattr(new, name)):
            yield f"{head}{name}: {contrast(getattr(old, name), getattr(new, name))}, and this run keeps its own"
    for name, word in (
        ("vars", "vars"),
        ("vars_from_files", "vars_files"),
        ("role_defaults", "defaults of roles"),
        ("role_vars", "vars of roles"),
    ):
        names = changed_names(getattr(old, name), getattr(new, name))
        if names:
            yield f"{head}{word} changed: {listed(names)}"
    if not alike(old.host_files, new.host_files):
        yield f"{head}vars_files of which each host takes its own changed"
    yield from _role_texts(head, old, new)
    sizes = [tuple(map(len, play.batches)) for play in (old, new)]
    if old.late or new.late:
        return
    if not alike(old.serial_by, new.serial_by):
        yield f"{head}serial_by: {contrast(old.serial_by, new.serial_by)}, and this run keeps its batches"
    elif set(old.hosts) == set(new.hosts) and sizes[0] != sizes[1]:
        yield f"{head}batches: {len(sizes[0])} → {len(sizes[1])}, and this run keeps its own"


def _role_texts(head: str, old: Play, new: Play) -> Iterator[str]:
    """What roles themselves see differently; how many there are follows from the steps."""
    told: set[str] = set()
    for before, after in zip(old.roles, new.roles, strict=False):
        if before.name == after.name:
            layers = ("defaults", "vars", "params")
            told.update(
                f"{head}variables of role {after.name} changed: {listed(names)}"
                for names in (changed_names(getattr(before, one), getattr(after, one)) for one in layers)
                if names
            )
    yield from sorted(told)


def _step_texts(old: Play, new: Play) -> Iterator[str]:
    """What changed in steps that correspond; what changed alike in many is told once."""
    found: dict[str, list[Step]] = {}
    handlers: set[str] = set()
    for before, after in _aligned(old.steps, new.steps):
        if not before or not after or before.place in handlers:
            continue
        if before.handler:
            handlers.add(before.place)
        for text in _changes(before, after):
            found.setdefault(text, []).append(replace(after, number=before.number))
    for text, steps in found.items():
        if len(steps) == 1:
            yield f"step {steps[0].number} {_named(steps[0])}: {text}"
        else:
            yield f"steps {ranges([step.number for step in steps])}: {text}"


def _changes(old: Step, new: Step) -> Iterator[str]:
    hidden = bool(old.no_log or new.no_log)
    for name, before, after in (*_argument_changes(old, new), *_keyword_changes(old, new)):
        yield f"{name} changed (hidden by no_log)" if hidden else f"{name}: {contrast(before, after)}"
    for word in _NAMES_ONLY:
        names = changed_names(_content(getattr(old, word)), _content(getattr(new, word)))
        if names:
            yield f"{word} changed: {listed(names)}"
    names = changed_names(*map(_given_variables, (old, new)))
    if names:
        yield f"{old.module} changed: {listed(names)}"


def _argument_changes(old: Step, new: Step) -> Iterator[tuple[str, Any, Any]]:
    if modules.get(old.module).SPEC.any_argument:
        return
    for name in changed_names(old.arguments, new.arguments):
        shown = old.module if name == "_raw_params" else name
        yield shown, old.arguments.get(name), new.arguments.get(name)


def _keyword_changes(old: Step, new: Step) -> Iterator[tuple[str, Any, Any]]:
    for name in _COMPARED:
        before, after = getattr(old, name), getattr(new, name)
        if not alike(before, after):
            yield name, before, after
    before, after = (plain(asdict(step.loop)) if step.loop else None for step in (old, new))
    over, other = ((loop["over"] if loop else None) for loop in (before, after))
    if not alike(over, other):
        yield "loop", over, other
    elif not alike(before, after):
        yield "loop_control", before, after


def _given_variables(step: Step) -> Mapping[str, Any]:
    """What a step gives as variables by its arguments (set_fact)."""
    return step.arguments if modules.get(step.module).SPEC.any_argument else {}


def _content(value: Any) -> Mapping[str, Any]:
    """``vars``, or the parts of ``environment``: mappings, and templates of them, which are named whole."""
    if isinstance(value, Mapping):
        return value
    merged: dict[str, Any] = {}
    for one in value:
        merged.update(one if isinstance(one, Mapping) else {str(one): one})
    return merged


# ---------------------------------------------------------------------- files
def _file_differences(old: Plan, new: Plan) -> list[Difference]:
    """Files that travel along. A file of a whole folder goes by several names, of which the shortest is told."""
    names: dict[tuple[str | None, str | None], str] = {}
    for name in sorted(changed_names(old.files, new.files), key=len, reverse=True):
        names[old.files.get(name), new.files.get(name)] = name
    found = [
        Difference(f"{name} {'is new' if before is None else 'is gone' if after is None else 'changed'}")
        for (before, after), name in sorted(names.items(), key=lambda item: item[1])
    ]
    if _keeps_modes(old) or _keeps_modes(new):
        both = sorted(name for name in old.modes if name in new.modes and old.modes[name] != new.modes[name])
        found += [Difference(f"{name}: mode {old.modes[name]:04o} → {new.modes[name]:04o}") for name in both]
    return found


def _keeps_modes(plan: Plan) -> bool:
    """Whether the permissions that files have here could reach a host: ``mode: preserve``, or what a template gives."""
    modes = (step.arguments.get("mode") for play in plan.plays for step in play.steps)
    return any(isinstance(mode, str) and (mode == "preserve" or "{" in mode) for mode in modes)
