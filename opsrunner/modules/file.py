"""file: directories, links, empty files, and the owner, group, mode and times of what is there."""

from __future__ import annotations

import time

from opsrunner.ledger.records import Result
from opsrunner.modules.contract import Argument, Context, ModuleFailure, Spec
from opsrunner.modules.entries import (
    FILE_ARGUMENTS,
    LOOK,
    REFUSED_FILE_ARGUMENTS,
    names_to_look_up,
    state_of,
    wanted,
)
from opsrunner.modules.file_states import STATES, Situation, attributes_after, outcome
from opsrunner.modules.posix import expanded_word, facts, word
from opsrunner.modules.recursion import set_below

_TIME_FORMAT = "%Y%m%d%H%M.%S"

SPEC = Spec(
    summary="Create, change or remove files, directories and links",
    arguments={
        "path": Argument("path", "what it is about", required=True, aliases=("dest", "name")),
        "state": Argument(
            "str", "what is to be there", choices=("absent", "directory", "file", "hard", "link", "touch")
        ),
        "src": Argument("path", "what a link leads to"),
        "recurse": Argument("bool", "set the attributes of everything below too", default=False),
        "force": Argument("bool", "make a link over a file, or to what is not there", default=False),
        "follow": Argument("bool", "act on what a link leads to", default=True),
        "modification_time": Argument("str", "preserve, now, or a time of the host's clock"),
        "modification_time_format": Argument("str", "how it is written", default=_TIME_FORMAT),
        "access_time": Argument("str", "preserve, now, or a time of the host's clock"),
        "access_time_format": Argument("str", "how it is written", default=_TIME_FORMAT),
        **FILE_ARGUMENTS,
    },
    check_mode="full",
    refused=dict(REFUSED_FILE_ARGUMENTS),
    examples="""
- file: path=/srv/app state=directory owner=app mode=0755
- file:
    src: /srv/app/releases/42
    dest: /srv/app/current
    state: link
- file: path=/tmp/scratch state=absent
""",
)

# $1 path, $2 src, $3 owner, $4 group, $5 modification time, $6 access time (as touch -t takes it).
# The times are tried on a scratch file: only the host knows its own time zone.
_PROBE = (
    LOOK
    + r"""
fact path "$1"
fact umask "$(umask)"
wanted_ids "$3" "$4"
look entry "$1"
if [ -L "$1" ]; then
    fact link "$(readlink -- "$1")"
    fact real "$(readlink -f -- "$1")"
    look target "$1" -L
fi
if [ -d "$1" ] && [ ! -L "$1" ]; then
    base=$1
    [ -n "$(ls -A -- "$1" 2>/dev/null)" ] || fact empty yes
else
    case $1 in */*) base=${1%/*} ;; *) base=. ;; esac
fi
if [ -n "$2" ]; then
    fact src "$2"
    case $2 in /*) absolute=$2 ;; *) absolute=$base/$2 ;; esac
    fact absolute_src "$absolute"
    if [ -e "$absolute" ]; then fact absolute_src_there yes; fi
    look src_entry "$2" -L
    if [ -L "$2" ]; then fact src_real "$(readlink -f -- "$2")"; fi
fi
for kind in modified accessed; do
    if [ $kind = modified ]; then stamp=$5; else stamp=$6; fi
    [ -n "$stamp" ] || continue
    scratch=$(mktemp 2>/dev/null) || give_up "cannot create a scratch file to read a time with"
    touch -t "$stamp" "$scratch" 2>/dev/null
    fact $kind "$(stat -c %Y -- "$scratch")"
    rm -f -- "$scratch"
done
:
"""
)


def run(context: Context) -> Result:
    """Look, work out what is missing, and do only that."""
    arguments = context.arguments
    if arguments["mode"] == "preserve":
        raise ModuleFailure("mode must be in octal or symbolic form", path=arguments["path"])
    situation = _look(context, arguments["path"])
    state = arguments["state"]
    if state not in ("link", "absent") and arguments["src"] and _is_directory(situation):
        # The link goes into the directory, under the name of what it leads to.
        name = arguments["src"].rstrip("/").rpartition("/")[2]
        situation = _look(context, f"{arguments['path'].rstrip('/')}/{name}")
    if state is None:
        present = state_of(situation.entry)
        state = present if present != "absent" else "directory" if arguments["recurse"] else "file"
    _check(context, state, situation)
    plan = STATES[state](context, situation)
    result = outcome(context, situation, plan)
    if plan.look_again and not context.check and _wants_attributes(context):
        after = _look(context, situation.path, absolute=True)
        result = attributes_after(context, after, result)
    if arguments["recurse"]:
        set_below(context, plan.path, situation.wish, result)
    return result


def _check(context: Context, state: str, situation: Situation) -> None:
    arguments = context.arguments
    if arguments["recurse"] and state != "directory":
        raise ModuleFailure("recurse option requires state to be 'directory'", path=situation.path)
    if arguments["recurse"] and (situation.times.modified or situation.times.accessed):
        raise ModuleFailure("modification_time and access_time do not go with recurse", path=situation.path)
    if arguments["src"] and state not in ("link", "hard"):
        raise ModuleFailure("src option requires state to be 'link' or 'hard'", path=situation.path)


def _look(context: Context, path: str, *, absolute: bool = False) -> Situation:
    arguments = context.arguments
    user, group = names_to_look_up(context)
    stamps = [
        _stamp(arguments[f"{kind}_time"], arguments[f"{kind}_time_format"]) for kind in ("modification", "access")
    ]
    words = [
        word(path) if absolute else expanded_word(path),
        expanded_word(arguments["src"]) if arguments["src"] else "''",
        user,
        group,
        *(word(stamp) for stamp in stamps),
    ]
    told = facts(context, _PROBE, words)
    return Situation.of(told, wanted(context, told), arguments, stamps)


def _stamp(text: str | None, form: str) -> str:
    """A written time as ``touch -t`` wants it; empty for now and preserve."""
    if text in (None, "", "now", "preserve"):
        return ""
    try:
        return time.strftime("%Y%m%d%H%M.%S", time.strptime(str(text), form))
    except ValueError as error:
        raise ModuleFailure(f"Error while obtaining timestamp for time {text} using format {form}: {error}") from None


def _is_directory(situation: Situation) -> bool:
    entry = situation.target if situation.entry and situation.entry.is_link else situation.entry
    return entry is not None and entry.is_directory


def _wants_attributes(context: Context) -> bool:
    return any(context.arguments[name] is not None for name in ("mode", "owner", "group"))
