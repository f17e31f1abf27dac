"""What stands at a path of the host, who owns it, and the commands that make it otherwise."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure
from opsrunner.modules.modes import for_chmod, octal, resolve
from opsrunner.modules.posix import shown, word

FILE_ARGUMENTS: dict[str, Argument] = {
    "mode": Argument("mode", "permission bits, octal ('0644') or symbolic (u=rw,g=r)"),
    "owner": Argument("str", "user that owns it, by name or number"),
    "group": Argument("str", "group that owns it, by name or number"),
}
#: Arguments of every file module of Ansible that opsrunner refuses.
REFUSED_FILE_ARGUMENTS: dict[str, str] = {
    **dict.fromkeys(("selevel", "serole", "setype", "seuser"), "SELinux contexts are left to the host's policy"),
    **dict.fromkeys(("attributes", "attr"), "chattr flags can be set with the command module"),
    "unsafe_writes": "files are always replaced as a whole",
}

# look NAME PATH [-L]: tells a fact NAME about what stands at PATH (with -L: where a link leads).
# wanted_ids USER GROUP: tells uid and gid of names; an unknown name is told as an empty fact.
LOOK = r"""
look() {
    seen=$(LC_ALL=C stat $3 -c '%f %u %g %h %i %s %d %X %Y %Z %U:%G' -- "$2" 2>&1) && { fact "$1" "$seen"; return 0; }
    case $seen in
    *"No such file"*|*"Not a directory"*|*"Too many levels"*) return 1 ;;
    *"ermission denied"*) give_up "cannot look at $2: $seen" ;;
    *nrecognized*|*llegal*|*nvalid*|*"not found"*) give_up "the host's stat knows no -c (GNU coreutils or busybox)" ;;
    esac
    give_up "cannot look at $2: $seen"
}
wanted_ids() {
    if [ -n "$1" ]; then fact uid "$(id -u "$1" 2>/dev/null)"; fi
    if [ -z "$2" ]; then return; fi
    if has getent; then found=$(getent group "$2"); else found=$(grep "^$2:" /etc/group); fi
    found=${found#*:}
    found=${found#*:}
    fact gid "${found%%:*}"
}
attempt() { what=$1; shift; said=$("$@" 2>&1) || give_up "$what: $said"; }
# Somebody else may make it at the same time.
directory() { said=$(mkdir "$1" 2>&1) || [ -d "$1" ] || give_up "cannot create a directory: $said"; }
"""


class Entry(Struct, frozen=True):
    """One thing in the host's file system. Times are seconds since the epoch, sizes bytes."""

    mode: int  # st_mode: kind and permission bits
    uid: int
    gid: int
    links: int
    inode: int
    size: int
    device: int
    accessed: int
    modified: int
    owner: str
    group: str

    @property
    def state(self) -> str:
        """``link``, ``directory``, ``hard`` (a file of several names) or ``file``, in Ansible's words."""
        if stat.S_ISLNK(self.mode):
            return "link"
        if stat.S_ISDIR(self.mode):
            return "directory"
        return "hard" if self.links > 1 else "file"

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    def result(self) -> Result:
        """The keys that Ansible's file modules add to every result."""
        return {
            "uid": self.uid,
            "gid": self.gid,
            "owner": self.owner,
            "group": self.group,
            "mode": octal(self.mode),
            "size": self.size,
            "state": self.state,
        }


def entry_of(told: Mapping[str, str], name: str) -> Entry | None:
    """The entry that ``look NAME`` told of; None when nothing is there."""
    if name not in told:
        return None
    mode, uid, gid, links, inode, size, device, accessed, modified, _, names = told[name].split(" ", 10)
    owner, _, group = names.partition(":")
    return Entry(
        mode=int(mode, 16),
        uid=int(uid),
        gid=int(gid),
        links=int(links),
        inode=int(inode),
        size=int(size),
        device=int(device),
        accessed=int(accessed),
        modified=int(modified),
        owner=uid if owner == "UNKNOWN" else shown(owner),
        group=gid if group == "UNKNOWN" else shown(group),
    )


def state_of(entry: Entry | None) -> str:
    return entry.state if entry else "absent"


class Wanted(Struct, frozen=True):
    """Mode, owner and group that a task asks for; uid and gid are None where it leaves them alone."""

    mode: str | None
    uid: int | None
    gid: int | None
    umask: int
    #: Names that the host does not know.
    unknown: tuple[str, ...] = ()


def names_to_look_up(context: Context) -> tuple[str, str]:
    """Owner and group that only the host can turn into numbers, as words of sh."""
    asked = (context.arguments["owner"], context.arguments["group"])
    user, group = (word(name) if name and not _is_number(name) else "''" for name in asked)
    return user, group


def wanted(context: Context, told: Mapping[str, str]) -> Wanted:
    """What the arguments ask for, with the host's own numbers; ``told`` holds umask, uid and gid.

    Raises ModuleFailure for a name that the host does not know, but not in check mode: an earlier
    step would have made it.
    """
    arguments = context.arguments
    numbers: list[int | None] = []
    unknown: list[str] = []
    for fact, kind, name in (("uid", "user", arguments["owner"]), ("gid", "group", arguments["group"])):
        number = name if name and _is_number(name) else told.get(fact)
        numbers.append(int(number) if number and name else None)
        if name and not number:
            if not context.check:
                raise ModuleFailure(f"{'chown' if fact == 'uid' else 'chgrp'} failed: failed to look up {kind} {name}")
            unknown.append(f"failed to look up {kind} {name}. Create {kind} up to this point in real play")
    return Wanted(arguments["mode"], numbers[0], numbers[1], int(told["umask"], 8), tuple(unknown))


def _is_number(name: str) -> bool:
    return name.isdecimal() and name.isascii()


class Changes(Struct):
    """Commands that are still to be sent, and what they change, as a diff's two halves."""

    lines: list[str] = field(default_factory=list)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)

    def differ(self, key: str, before: Any, after: Any) -> None:
        self.before[key] = before
        self.after[key] = after


def attribute_changes(path: str, entry: Entry, wish: Wanted) -> Changes:
    """What it takes to give an existing entry the wanted owner, group and mode.

    A link has no mode of its own on Linux, so it is left alone.
    """
    changes = Changes()
    quoted = word(path)
    if wish.uid is not None and wish.uid != entry.uid:
        changes.differ("owner", entry.uid, wish.uid)
        changes.lines.append(f"attempt 'chown failed' chown -h {wish.uid} -- {quoted}")
    if wish.gid is not None and wish.gid != entry.gid:
        changes.differ("group", entry.gid, wish.gid)
        changes.lines.append(f"attempt 'chgrp failed' chgrp -h {wish.gid} -- {quoted}")
    if wish.unknown:
        changes.differ("owner", entry.owner, None)
    if wish.mode is not None and not entry.is_link:
        bits = resolve(wish.mode, entry.mode, umask=wish.umask)
        if bits != stat.S_IMODE(entry.mode):
            changes.differ("mode", octal(entry.mode), octal(bits))
        # chown takes setuid and setgid away, so the mode is set again behind it.
        if bits != stat.S_IMODE(entry.mode) or (changes.lines and bits & 0o6000):
            changes.lines.append(f"attempt 'chmod failed' chmod {for_chmod(bits)} -- {quoted}")
    return changes


def new_entry_lines(target: str, wish: Wanted) -> list[str]:
    """Commands that set the wanted attributes on something just created; ``target`` is a word of sh."""
    lines = []
    if wish.uid is not None:
        lines.append(f"attempt 'chown failed' chown -h {wish.uid} -- {target}")
    if wish.gid is not None:
        lines.append(f"attempt 'chgrp failed' chgrp -h {wish.gid} -- {target}")
    if wish.mode is not None:
        # chmod itself reads a symbolic mode: only the host knows what its new entry started with.
        mode = for_chmod(int(wish.mode, 8)) if wish.mode.isdigit() else word(wish.mode)
        lines.append(f"attempt 'chmod failed' chmod {mode} -- {target}")
    return lines


def directory_lines(path: str, wish: Wanted) -> list[str]:
    """Commands that make a directory and all that is missing above it, each with the wanted attributes."""
    lines = []
    parts = path.rstrip("/").split("/")
    for number in range(1, len(parts) + 1):
        part = "/".join(parts[:number])
        if not part:
            continue
        quoted = word(part if part.startswith(("/", "./")) else f"./{part}")
        steps = "; ".join([f"directory {quoted}", *new_entry_lines(quoted, wish)])
        lines.append(f"if [ ! -d {quoted} ]; then {steps}; fi")
    return lines
