"""What each ``state`` of the file module asks for, given what stands there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Context, ModuleFailure
from opsrunner.modules.entries import (
    LOOK,
    Changes,
    Entry,
    Wanted,
    attribute_changes,
    directory_lines,
    entry_of,
    new_entry_lines,
    state_of,
)
from opsrunner.modules.posix import facts, shown, word

# replace NEW PATH: NEW takes the place of PATH, even where PATH is a link to a directory.
_REPLACE = r"""
replace() {
    if mv -fT -- "$1" "$2" 2>/dev/null; then return 0; fi
    rm -f -- "$2" && mv -f -- "$1" "$2"
}
"""


class Times(Struct, frozen=True):
    """Times asked for: ``now``, seconds since the epoch as text, or None to leave them alone.

    The stamps are the same times as ``touch -t`` takes them, in the host's time zone.
    """

    modified: str | None
    accessed: str | None
    modified_stamp: str = ""
    accessed_stamp: str = ""


class Situation(Struct, frozen=True):
    """What the host told about path and src, and what the task wants of owner, group, mode and times."""

    told: Mapping[str, str]
    path: str
    entry: Entry | None
    target: Entry | None
    wish: Wanted
    times: Times

    @classmethod
    def of(
        cls, told: Mapping[str, str], wish: Wanted, arguments: Mapping[str, Any], stamps: Sequence[str]
    ) -> Situation:
        times = []
        for argument, fact in (("modification_time", "modified"), ("access_time", "accessed")):
            given = arguments[argument]
            if given is None:
                times.append("now" if arguments["state"] == "touch" else None)
            else:
                times.append({"now": "now", "preserve": None}.get(given, told.get(fact)))
        target = entry_of(told, "target")
        return cls(told, told["path"], entry_of(told, "entry"), target, wish, Times(times[0], times[1], *stamps))

    def followed(self, context: Context) -> tuple[str, Entry | None]:
        """The path and entry that attributes are for: where a link leads, when links are followed."""
        if self.entry is not None and self.entry.is_link and context.arguments["follow"]:
            return self.told.get("real") or self.path, self.target
        return self.path, self.entry


class Plan(Struct):
    """What is to be done; ``key`` is what the result calls the path."""

    path: str
    key: str = "path"
    lines: list[str] = field(default_factory=list)
    changed: bool = False
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    extra: Result = field(default_factory=dict)
    #: A link was made or moved: what the attributes are for is known only when it is there.
    look_again: bool = False

    def take(self, changes: Changes) -> None:
        self.lines += changes.lines
        self.before |= changes.before
        self.after |= changes.after
        self.changed = self.changed or bool(changes.after)

    def state(self, before: str, after: str) -> None:
        if before != after:
            self.before["state"], self.after["state"] = before, after


def absent(context: Context, now: Situation) -> Plan:
    """Remove whatever is there, a directory with all that it holds."""
    plan = Plan(now.path, extra={"state": "absent"})
    if now.entry is None:
        return plan
    if not now.path.strip("/"):
        raise ModuleFailure("refusing to remove /", path=now.path)
    plan.changed = True
    plan.state(now.entry.state, "absent")
    how = "-rf" if now.entry.is_directory else "-f"
    plan.lines.append(f"attempt 'removing failed' rm {how} -- {word(now.path)}")
    return plan


def file(context: Context, now: Situation) -> Plan:
    """Attributes of a file that must be there already."""
    path, entry = now.followed(context)
    if entry is None or state_of(entry) not in ("file", "hard"):
        state = state_of(entry)
        raise ModuleFailure(f"file ({shown(path)}) is {state}, cannot continue", path=shown(path), state=state)
    plan = Plan(path)
    plan.state(state_of(entry), "file")
    _attributes(plan, path, entry, now)
    return plan


def directory(context: Context, now: Situation) -> Plan:
    """A directory, made with all that is missing above it."""
    path, entry = now.followed(context)
    plan = Plan(path)
    plan.state(state_of(entry), "directory")
    if entry is None:
        plan.changed = True
        plan.lines += directory_lines(path, now.wish) + _time_lines(path, now.times)
    elif not entry.is_directory:
        raise ModuleFailure(f"{shown(path)} already exists as a {entry.state}", path=shown(path))
    else:
        _attributes(plan, path, entry, now)
    return plan


def touch(context: Context, now: Situation) -> Plan:
    """A file that is there, with its times set."""
    plan = Plan(now.path, key="dest")
    plan.state(state_of(now.entry), "touch")
    path, entry = now.followed(context)
    quoted = word(path)
    if entry is None:
        plan.changed = True
        create = f"(: >>{quoted}) 2>/dev/null || give_up 'Error, could not touch target.'"
        attributes = new_entry_lines(quoted, now.wish)
        plan.lines += [create, *attributes, *_time_lines(path, now.times)]
    else:
        _attributes(plan, path, entry, now)
    return plan


def link(context: Context, now: Situation) -> Plan:
    """A symbolic link to src; without src, the one that is there."""
    source = now.told.get("src")
    path, shown_path = now.path, shown(now.path)
    if source is None and context.arguments["follow"] and now.target is not None:
        source = now.told.get("link")
    _check_link(context, now, source)
    plan = Plan(path, key="dest", extra={"src": shown(source) if source is not None else None})
    plan.state(state_of(now.entry), "link")
    if now.entry is None or not now.entry.is_link:
        if source is None:
            raise ModuleFailure("src is required for creating new symlinks", path=shown_path)
        plan.changed = plan.look_again = True
    elif source is not None and now.told.get("link") != source:
        plan.before["src"], plan.after["src"] = shown(now.told.get("link", "")), shown(source)
        plan.changed = plan.look_again = True
    if plan.look_again and source is not None:
        plan.lines += _link_lines(f"ln -s -- {word(source)}", path, now.entry)
    else:
        _link_attributes(context, plan, now)
    return plan


def _check_link(context: Context, now: Situation, source: str | None) -> None:
    force, path = context.arguments["force"], shown(now.path)
    there = "absolute_src_there" in now.told or (source is not None and "src" not in now.told)
    if not force and source is not None and not there:
        raise ModuleFailure(
            "src file does not exist, use 'force=yes' if you really want to create the link: "
            + shown(now.told["absolute_src"]),
            path=path,
            src=shown(source),
        )
    if now.entry is None or now.entry.is_link:
        return
    if not force:
        raise ModuleFailure(f"refusing to convert from {now.entry.state} to symlink for {path}", path=path)
    if now.entry.is_directory and "empty" not in now.told:
        raise ModuleFailure(f"the directory {path} is not empty, refusing to convert it", path=path)


def hard(context: Context, now: Situation) -> Plan:
    """Another name for the file src."""
    source, entry = now.told.get("src"), now.entry
    source_entry = entry_of(now.told, "src_entry")
    if state_of(entry) != "hard" and source is None:
        raise ModuleFailure("src is required for creating new hardlinks")
    if source is not None and source_entry is None:
        raise ModuleFailure("src does not exist", dest=shown(now.path), src=shown(source))
    plan = Plan(now.path, key="dest", extra={"src": shown(source) if source is not None else None})
    plan.state(state_of(entry), "hard")
    if source is None or (entry and source_entry and _same_file(entry, source_entry)):
        _link_attributes(context, plan, now)
        return plan
    if entry is not None and not entry.is_link and not context.arguments["force"]:
        what = "different hard link" if entry.state in ("hard", "directory") else entry.state
        raise ModuleFailure(f"Cannot link, {what} exists at destination", dest=shown(now.path), src=shown(source))
    if entry is not None and entry.is_directory:
        raise ModuleFailure(f"{shown(now.path)} is a directory, no hard link can replace it", dest=shown(now.path))
    plan.changed = plan.look_again = True
    followed = now.told.get("src_real", source) if context.arguments["follow"] else source
    plan.lines += _link_lines(f"ln -- {word(followed or '')}", now.path, entry)
    return plan


def _same_file(one: Entry, other: Entry) -> bool:
    return (one.inode, one.device) == (other.inode, other.device)


def _link_lines(make: str, path: str, entry: Entry | None) -> list[str]:
    """Make the link; where something stands, make it beside and rename it over."""
    quoted = word(path)
    if entry is None:
        return [f"attempt 'Error while linking' {make} {quoted}"]
    folder, slash, _ = path.rpartition("/")
    beside = f"{word(folder + slash)}.opsrunner.$$.tmp" if slash else "./.opsrunner.$$.tmp"
    lines = [_REPLACE, f"beside={beside}"]
    if entry.is_directory:
        lines.append(f"attempt 'Error while replacing' rmdir -- {quoted}")
    lines.append(f"attempt 'Error while replacing' {make} \"$beside\"")
    lines.append(f"attempt 'Error while replacing' replace \"$beside\" {quoted}")
    return lines


def _link_attributes(context: Context, plan: Plan, now: Situation) -> None:
    path, entry = now.followed(context)
    if entry is None:
        if now.entry is not None and now.wish != Wanted(None, None, None, now.wish.umask):
            plan.extra["warnings"] = [
                "Cannot set fs attributes on a non-existent symlink target."
                " follow should be set to False to avoid this."
            ]
        return
    _attributes(plan, path, entry, now)


def _attributes(plan: Plan, path: str, entry: Entry, now: Situation) -> None:
    plan.take(attribute_changes(path, entry, now.wish))
    wished = (("mtime", now.times.modified, entry.modified), ("atime", now.times.accessed, entry.accessed))
    for key, asked, current in wished:
        if asked is not None and asked != str(current):
            plan.changed = True
            plan.before[key] = current
            plan.after[key] = asked if asked == "now" else int(asked)
    if any(key in plan.after for key in ("mtime", "atime")):
        plan.lines += _time_lines(path, now.times)


def _time_lines(path: str, times: Times) -> list[str]:
    quoted = word(path)
    if times.modified == times.accessed == "now":
        return [f"attempt 'cannot set times' touch -c -- {quoted}"]
    lines = []
    both = (("-m", times.modified, times.modified_stamp), ("-a", times.accessed, times.accessed_stamp))
    for flag, asked, stamp in both:
        if asked == "now":
            lines.append(f"attempt 'cannot set times' touch -c {flag} -- {quoted}")
        elif asked is not None:
            lines.append(f"attempt 'cannot set times' touch -c {flag} -t {word(stamp)} -- {quoted}")
    return lines


STATES: Mapping[str, Callable[[Context, Situation], Plan]] = {
    "absent": absent,
    "directory": directory,
    "file": file,
    "hard": hard,
    "link": link,
    "touch": touch,
}


def outcome(context: Context, now: Situation, plan: Plan) -> Result:
    """Carry the plan out (not in check mode) and answer as Ansible's file module does."""
    result: Result = {plan.key: shown(plan.path), "changed": plan.changed, **plan.extra}
    if now.wish.unknown:
        result["warnings"] = [*result.get("warnings", ()), *now.wish.unknown]
    if context.diff:
        path = {"path": shown(plan.path)}
        result["diff"] = {"before": path | plan.before, "after": path | plan.after}
    entry = now.entry if plan.path == now.path else now.target
    if plan.lines and not context.check:
        entry = carry_out(context, plan.path, plan.lines)
    if entry is not None and plan.extra.get("state") != "absent":
        result |= entry.result()
    return result


def attributes_after(context: Context, now: Situation, result: Result) -> Result:
    """Owner, group and mode for a link that has just been made, or for what it leads to."""
    plan = Plan(now.path)
    _link_attributes(context, plan, now)
    result |= plan.extra
    if plan.lines:
        entry = carry_out(context, now.path, plan.lines)
        result |= entry.result() if entry else {}
    if context.diff and plan.after:
        result["diff"]["before"] |= plan.before
        result["diff"]["after"] |= plan.after
    return result


def carry_out(context: Context, path: str, lines: list[str]) -> Entry | None:
    """Run the commands in one round trip; what stands at ``path`` afterwards."""
    body = "\n".join([LOOK, *lines, 'look after "$1"', ":"])
    return entry_of(facts(context, body, [word(path)]), "after")
