"""find: files, directories and links below directories of the host, by name, age, size, mode and content."""

from __future__ import annotations

import fnmatch
import re
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from opsrunner.ledger.records import Result
from opsrunner.modules.bounded import bounded
from opsrunner.modules.containing import holding
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.conversion import to_mode
from opsrunner.modules.modes import resolve
from opsrunner.modules.posix import facts, shown, word
from opsrunner.modules.searching import Scan, Seen, scan
from opsrunner.modules.stat import mode_flags
from opsrunner.modules.sums import ALGORITHMS, SUM

SPEC = Spec(
    summary="List files, directories or links below directories",
    arguments={
        "paths": Argument("list", "the directories", required=True, aliases=("name", "path"), elements="path"),
        "patterns": Argument(
            "list",
            "names, as shell patterns; with use_regex as regular expressions that match from the name's beginning",
            default=(),
            aliases=("pattern",),
            elements="str",
        ),
        "excludes": Argument("list", "names that are left out, in the same way", aliases=("exclude",), elements="str"),
        "use_regex": Argument("bool", "patterns and excludes are Python regular expressions", default=False),
        "file_type": Argument("str", "what to list", default="file", choices=("any", "directory", "file", "link")),
        "recurse": Argument("bool", "look into directories, too", default=False),
        "depth": Argument("int", "how many levels deep, with recurse"),
        "hidden": Argument("bool", "list names with a dot at the beginning, too", default=False),
        "follow": Argument("bool", "look into directories that links lead to, with recurse", default=False),
        "age": Argument("str", "at least that old: seconds, or 5m, 2h, 3d, 1w; with a minus at most that old"),
        "age_stamp": Argument("str", "which time counts", default="mtime", choices=("atime", "ctime", "mtime")),
        "size": Argument("str", "at least that large: bytes, or 10k, 5m, 1g, 1t; with a minus at most that large"),
        "mode": Argument("raw", "permission bits, as text: '0644' or u=rw,g=r"),
        "exact_mode": Argument("bool", "exactly these bits, not one of them at least", default=True),
        "contains": Argument("regex", "regular expression of which a line's beginning is a match, of files only"),
        "read_whole_file": Argument("bool", "contains is searched for anywhere in the whole file", default=False),
        "encoding": Argument("str", "encoding of the files for contains; default UTF-8"),
        "get_checksum": Argument("bool", "tell the checksums of regular files", default=False),
        "checksum_algorithm": Argument(
            "str", "which checksum", default="sha1", choices=tuple(ALGORITHMS), aliases=("checksum", "checksum_algo")
        ),
        "limit": Argument("int", "stop at so many"),
    },
    reads_only=True,
    check_mode="run",
    examples="""
- find: paths=/var/log patterns=*.gz age=4w recurse=true
  register: old
- file: path="{{ item.path }}" state=absent
  loop: "{{ old.files }}"
- find:
    paths: [/etc, /usr/local/etc]
    file_type: file
    contains: '^PermitRootLogin yes'
    use_regex: true
    patterns: ['.*sshd.*']
""",
)

_KINDS = {"directory": ("d", stat.S_ISDIR), "file": ("f", stat.S_ISREG), "link": ("l", stat.S_ISLNK)}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_BYTES = {"b": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_STAMPS: Mapping[str, Callable[[Seen], float]] = {
    "atime": lambda seen: seen.accessed,
    "ctime": lambda seen: seen.status_changed,
    "mtime": lambda seen: seen.modified,
}
#: Characters of paths in one command.
_WORDS = 50_000


def run(context: Context) -> Result:
    """One round trip for each directory, and more for contents and checksums."""
    arguments = context.arguments
    wanted = _Wanted(arguments)
    files: list[Seen] = []
    skipped: dict[str, str] = {}
    warnings: list[str] = []
    examined = 0
    for path in arguments["paths"]:
        found = _scan(context, path)
        examined += found.examined
        skipped |= {shown(one): f"[Errno 13] Permission denied: {shown(one)!r}" for one in _closed(found, arguments)}
        left = None if arguments["limit"] is None else arguments["limit"] - len(files)
        reason = None if found.there else f"'{shown(found.path)}' is not a directory"
        matching = wanted.of(found)
        if arguments["contains"] is not None and arguments["file_type"] == "file":
            matching, reason = holding(context, matching, left) if found.there else (matching, reason)
        if reason:
            skipped[shown(found.path)] = reason
            warnings.append(f"Skipped '{shown(found.path)}' path due to this access issue: {reason}\n")
        files += matching[:left]
    msg = "Limit of matches reached" if len(files) == arguments["limit"] else "All paths examined"
    result: Result = {
        "changed": False,
        "files": _told(context, files),
        "msg": "Not all paths examined, check warnings for details" if warnings else msg,
        "matched": len(files),
        "examined": examined,
        "skipped_paths": skipped,
    }
    return result | ({"warnings": warnings} if warnings else {})


def _levels(arguments: Mapping[str, Any]) -> int | None:
    """How many levels are listed, None for all; none at all where depth is below zero."""
    depth: int | None = arguments["depth"] or None
    if not arguments["recurse"]:
        return 1 if depth is None or depth > 0 else 0
    return None if depth is None else max(0, depth)


def _deepest(arguments: Mapping[str, Any]) -> int | None:
    """The level that is still looked at: Ansible sees that one is too deep when it has counted it."""
    levels = _levels(arguments)
    if not arguments["recurse"]:
        return 1
    return None if levels is None else levels + 1


def _scan(context: Context, path: str) -> Scan:
    arguments = context.arguments
    kind = arguments["file_type"]
    return scan(
        context,
        path,
        levels=_deepest(arguments),
        follow=arguments["follow"],
        kind=_KINDS[kind][0] if kind != "any" else None,
        hidden=arguments["hidden"],
        names=() if arguments["use_regex"] else arguments["patterns"],
    )


def _closed(found: Scan, arguments: Mapping[str, Any]) -> Iterable[str]:
    """Directories that had to be looked into, and could not be."""
    deepest = _deepest(arguments)
    return [path for path, level in found.closed if deepest is None or level < deepest]


class _Wanted:
    """What is asked for of every entry, its content aside. Raises ModuleFailure for what cannot be meant."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self.arguments = arguments
        self.age = _number("age", arguments["age"], _SECONDS)
        self.size = _number("size", arguments["size"], _BYTES)
        self.levels = _levels(arguments)
        self.mode = arguments["mode"] or None
        if self.mode is not None and not isinstance(self.mode, str):
            kind = type(self.mode).__name__
            raise ModuleFailure(
                f"argument 'mode' is not a string and conversion is not allowed, value is of type {kind}"
            )
        if arguments["limit"] is not None and arguments["limit"] <= 0:
            raise ModuleFailure(f"limit cannot be {arguments['limit']} (use None for unlimited)")
        try:
            self.mode = self.mode and to_mode(self.mode)
        except ValueError as error:
            raise ModuleFailure(str(error)) from None

    def of(self, found: Scan) -> list[Seen]:
        """The entries that are wanted, in their order."""
        entries = [seen for seen in found.entries if self._fits(seen, found)]
        names = [seen.name for seen in entries]
        regex = self.arguments["use_regex"]
        patterns = self.arguments["patterns"] or ([".*"] if regex else ["*"])
        excludes = self.arguments["excludes"] or []
        # Python's own expressions for shell patterns never backtrack without end.
        matches = bounded(by_regex, names, patterns, excludes) if regex else by_pattern(names, patterns, excludes)
        return [seen for seen, matched in zip(entries, matches, strict=True) if matched]

    def _fits(self, seen: Seen, found: Scan) -> bool:
        kind = self.arguments["file_type"]
        if self.levels is not None and seen.level > self.levels:
            return False
        if not self.arguments["hidden"] and seen.name.startswith("."):
            return False
        if kind != "any" and not _KINDS[kind][1](seen.mode):
            return False
        if kind in ("any", "file") and stat.S_ISREG(seen.mode) and not _reaches(seen.size, self.size):
            return False
        age = found.now - _STAMPS[self.arguments["age_stamp"]](seen)
        return _reaches(age, self.age) and self._has_mode(seen, found)

    def _has_mode(self, seen: Seen, found: Scan) -> bool:
        if self.mode is None:
            return True
        bits = resolve(self.mode, 0, umask=found.umask)
        present = stat.S_IMODE(seen.mode)
        return present == bits if self.arguments["exact_mode"] else bool(present & bits)


def _number(name: str, text: str | None, units: Mapping[str, int]) -> tuple[bool, int] | None:
    """``-2d`` as (whether it is the most, seconds); None where nothing is asked for."""
    if text is None:
        return None
    match = re.match(rf"(-?\d+)([{''.join(units)}]?)$", text.lower())
    if match is None:
        raise ModuleFailure(f"failed to process {name}", **{name: text})
    number = int(match[1])
    return number < 0, abs(number) * units.get(match[2], 1)


def _reaches(value: float, bound: tuple[bool, int] | None) -> bool:
    if bound is None:
        return True
    most, number = bound
    return value <= number if most else value >= number


def by_pattern(names: Sequence[str], patterns: Sequence[str], excludes: Sequence[str]) -> list[bool]:
    """Which names match one of the shell patterns and none of those that exclude."""

    def one(name: str, given: Sequence[str]) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in given)

    return [one(name, patterns) and not one(name, excludes) for name in names]


def by_regex(names: Sequence[str], patterns: Sequence[str], excludes: Sequence[str]) -> list[bool]:
    """The same for regular expressions, each matched from a name's beginning on. Raises ModuleFailure."""
    try:
        wanted, left_out = ([re.compile(pattern) for pattern in given] for given in (patterns, excludes))
    except (re.error, RecursionError, OverflowError) as error:
        raise ModuleFailure(f"invalid regular expression: {error}") from None
    return [
        any(regex.match(name) for regex in wanted) and not any(regex.match(name) for regex in left_out)
        for name in names
    ]


def _told(context: Context, files: Sequence[Seen]) -> list[dict[str, Any]]:
    told = [_file(seen) for seen in files]
    if context.arguments["get_checksum"] and context.arguments["file_type"] in ("any", "file"):
        regular = [number for number, seen in enumerate(files) if stat.S_ISREG(seen.mode)]
        sums = _checksums(context, [files[number].path for number in regular])
        for number, found in zip(regular, sums, strict=True):
            told[number]["checksum"] = found
    return told


def _checksums(context: Context, paths: Sequence[str]) -> list[str | None]:
    algorithm = ALGORITHMS[context.arguments["checksum_algorithm"]]
    body = SUM + 'bits=$1; shift; number=0\nfor path do fact "$((number+=1))" "$(sum_of "$bits" "$path")"; done'
    sums: list[str | None] = []
    rest = list(paths)
    while rest:
        size = 1
        while size < len(rest) and sum(len(word(path)) for path in rest[: size + 1]) < _WORDS:
            size += 1
        words = [word(path if path.startswith("/") else f"./{path}") for path in rest[:size]]
        told = facts(context, body, [algorithm, *words])
        sums += [told[str(number + 1)] or None for number in range(size)]
        rest = rest[size:]
    return sums


def _file(seen: Seen) -> dict[str, Any]:
    flags = mode_flags(seen.mode)
    return {
        "path": shown(seen.path),
        "mode": f"{stat.S_IMODE(seen.mode):04o}",
        "uid": seen.uid,
        "gid": seen.gid,
        "size": seen.size,
        "inode": seen.inode,
        "dev": seen.device,
        "nlink": seen.links,
        "atime": seen.accessed,
        "mtime": seen.modified,
        "ctime": seen.status_changed,
        "gr_name": seen.group,
        "pw_name": seen.owner,
        **flags,
    }
