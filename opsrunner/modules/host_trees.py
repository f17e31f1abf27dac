"""A folder of the host copied to another place of the same host (``copy: remote_src`` of a folder)."""

from __future__ import annotations

from msgspec import structs

from opsrunner.ledger.records import Result
from opsrunner.modules import file
from opsrunner.modules.arguments import validate
from opsrunner.modules.contract import Context
from opsrunner.modules.entries import LOOK, Wanted, directory_lines, names_to_look_up, wanted
from opsrunner.modules.placing import base_name
from opsrunner.modules.posix import expanded_word, facts, shown, word

# $1 source, $2 dest, $3 owner, $4 group, $5 name of the source (empty: what it holds is copied)
_PROBE = (
    LOOK
    + r"""
fact umask "$(umask)"
wanted_ids "$3" "$4"
[ -e "$1" ] || give_up "Source $1 not found"
[ -d "$1" ] || give_up "Source $1 is no directory"
[ -r "$1" ] && [ -x "$1" ] || give_up "Source $1 not readable"
fact source "$1"
fact mode "$(stat -L -c %a -- "$1")"
dest=$2
case $dest in /*|./*) ;; *) dest=./$dest ;; esac
if [ -d "$dest" ]; then
    fact joined "${2%/}/$5"
    if [ -n "$5" ]; then reached=${dest%/}/$5; else reached=$dest; fi
    if [ -e "$reached" ]; then fact exists yes; fi
    if [ -e "$reached" ] && [ ! -d "$reached" ]; then give_up "$reached is no directory"; fi
elif [ -e "$dest" ] || [ -L "$dest" ]; then give_up "Destination $2 is no directory"
else
    case $dest in
    */) fact missing "$dest" ;;
    *) [ -d "${dest%/*}" ] || give_up "Destination directory ${2%/*} does not exist" ;;
    esac
fi
fact dest "$dest"
"""
)

# What find finds below the source, which is the working directory, in portions. $1 the other folder,
# $2 yes: only look. Prints a line for each that is made, or would be.
_WALK = r"""
dest=$1 check=$2
shift 2
failed() { echo "$1: $said" >&2; exit 1; }
for path; do
    target=$dest/$path
    if [ "$path" = . ]; then target=$dest; fi
    if [ -L "$path" ]; then
        if [ -e "$target" ] || [ -L "$target" ]; then continue; fi
        how=link
    elif [ -d "$path" ]; then
        if [ -e "$target" ] || [ -L "$target" ]; then continue; fi
        how=folder
    elif [ -f "$path" ]; then
        if [ -f "$target" ]; then if cmp -s -- "$path" "$target"; then continue; fi
        elif [ -e "$target" ] || [ -L "$target" ]; then continue; fi
        how=file
    else continue; fi
    if [ "$check" = yes ]; then echo c; continue; fi
    # Below what is no folder there, nothing is copied.
    if [ "$path" != . ] && [ ! -d "${target%/*}" ]; then continue; fi
    case $how in
    link) said=$(ln -s -- "$(readlink -- "$path")" "$target" 2>&1) || failed "$target" ;;
    folder) said=$(mkdir -- "$target" && chmod "$(stat -c %a -- "$path")" "$target" 2>&1) || failed "$target" ;;
    file)
        temporary=${target%/*}/.opsrunner.$$
        said=$(cp -- "$path" "$temporary" 2>&1) || { rm -f -- "$temporary"; failed "$target"; }
        if [ -f "$target" ]; then chown "$(stat -c %u:%g -- "$target")" "$temporary" 2>/dev/null; fi
        said=$(chmod "$(stat -c %a -- "$path")" "$temporary" && mv -f -- "$temporary" "$target" 2>&1) ||
            { rm -f -- "$temporary"; failed "$target"; } ;;
    esac
    echo c
done
"""

# $1 source, $2 the folder it becomes, $3 yes: only look, $4 uid, $5 gid (empty: as they are), $6 the walk
_COPY = r"""
case $2 in /*) reached=$2 ;; *) reached=$PWD/$2 ;; esac
case $reached in ?*/) reached=${reached%/} ;; esac
cd -- "$1" || give_up "cannot enter $1"
said=$(mktemp -d) || give_up "cannot make a folder to work in"
trap 'rm -rf -- "$said"' EXIT
trap 'exit 143' HUP INT TERM
find . -exec sh -c "$6" sh "$reached" "$3" {} + >"$said/out" 2>"$said/err" ||
    give_up "Failed to copy: $(head -n 3 "$said/err")"
if [ -s "$said/out" ]; then fact changed yes; fi
owned() {
    if [ -z "$3" ] || [ -z "$(find "$reached" ! "$2" "$3" -print 2>/dev/null | head -n 1)" ]; then return; fi
    fact changed yes
    if [ "$4" != yes ]; then find "$reached" ! "$2" "$3" -exec "$1" -h "$3" {} + 2>"$said/err" ||
        give_up "$1 failed: $(head -n 3 "$said/err")"; fi
}
if [ -d "$reached" ]; then
    owned chown -user "$4" "$3"
    owned chgrp -group "$5" "$3"
fi
:
"""


def copy_tree(context: Context) -> Result:
    """Copy what is missing there, or has another content; what is more there stays. Raises ModuleFailure."""
    arguments = context.arguments
    source = arguments["src"]
    name = "" if source.endswith("/") else base_name(source)
    user, group = names_to_look_up(context)
    words = [expanded_word(source), expanded_word(arguments["dest"]), user, group, word(name)]
    told = facts(context, _PROBE, words)
    wish = wanted(context, told)
    if wish.mode == "preserve":
        wish = structs.replace(wish, mode=told["mode"])
    dest = told["dest"]
    # What the result names, and what mode is for, is the folder that was there; Ansible has it so.
    named = dest + name if "missing" in told else told.get("joined", dest)
    result: Result = {"changed": False, "dest": shown(named), "src": source, "md5sum": None, "checksum": None}
    if "exists" in told and not arguments["force"]:
        return {**result, "msg": "file already exists"}
    if "missing" in told and context.check:
        return {**result, "changed": True, "msg": f"dest directory {shown(dest.rstrip('/'))} would be created"}
    return _copied(context, told, wish, f"{dest.rstrip('/')}/{name}", result)


def _copied(context: Context, told: dict[str, str], wish: Wanted, reached: str, result: Result) -> Result:
    body = [LOOK]
    if not context.check:
        if "missing" in told:
            own = Wanted(context.arguments["directory_mode"], wish.uid, wish.gid, wish.umask)
            body += directory_lines(told["missing"], own)
        elif "joined" not in told:
            body += directory_lines(told["dest"], Wanted(None, None, None, wish.umask))
    ids = ["''" if number is None else str(number) for number in (wish.uid, wish.gid)]
    words = [word(told["source"]), word(reached), "yes" if context.check else "no", *ids, word(_WALK)]
    copied = facts(context, "\n".join([*body, _COPY]), words)
    result["changed"] = "changed" in copied or "joined" not in told
    if context.check and "joined" not in told:
        return result
    asked = {"path": result["dest"], "state": "directory", "mode": wish.mode, "owner": wish.uid, "group": wish.gid}
    given = {name: value for name, value in asked.items() if value is not None}
    if context.check and "exists" not in told:
        return result
    set_now = file.run(structs.replace(context, arguments=validate("file", file.SPEC, given)))
    set_now.pop("path", None)
    return {**set_now, **result, "changed": bool(result["changed"] or set_now["changed"])}
