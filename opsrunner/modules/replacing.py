"""Replaces a file of the host as a whole: written beside its place, looked at, renamed over it."""

from __future__ import annotations

import shlex

from opsrunner.modules.contract import ModuleFailure
from opsrunner.modules.entries import Entry
from opsrunner.modules.modes import for_chmod
from opsrunner.modules.posix import expanded_word

#: The new file before it takes its place, as a word of sh.
TEMPORARY = '"$temporary"'

# $1 dest, $2 size of the content, $3 backup suffix (empty: none), $4 a source on the host, $5 yes when
# something to take owner, mode and SELinux context from is there, $6 the name that a backup goes by.
# Attributes of "$temporary", checks and RENAME come behind it.
PLACE = r"""
case $1 in /*|./*) ;; *) dest=$1; shift; set -- "./$dest" "$@" ;; esac
temporary=
trap 'rm -f -- "$temporary"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
original_mask=$(umask)
umask 077
parent=${1%/*}
name=${1##*/}
suffix=
case $name in ?*.*) suffix=.${name##*.} ;; esac
number=0
while :; do
    temporary=$parent/.opsrunner.$$.$number$suffix
    (set -C; : >"$temporary") 2>/dev/null && break
    if [ ! -e "$temporary" ] && [ ! -L "$temporary" ]; then
        temporary=
        [ -d "$parent" ] || give_up "Destination directory $parent does not exist"
        give_up "Destination $parent not writable"
    fi
    number=$((number + 1))
done
if [ -n "$4" ]; then
    said=$(cp -- "$4" "$temporary" 2>&1) || give_up "cannot copy $4 to $1: ${said##*: }"
else
    # Only the reason is told: the temporary name would keep equal failures of many hosts apart.
    said=$(cat 2>&1 >"$temporary") || give_up "cannot write $1: ${said##*: }"
    size=$(wc -c <"$temporary")
    [ "$((size))" -eq "$2" ] || give_up "only $((size)) of $2 bytes arrived"
fi
if [ "$5" = yes ] && has chcon && has selinuxenabled && selinuxenabled; then
    chcon --reference "$1" -- "$temporary" 2>/dev/null
fi
"""

RENAME = r"""
if [ -n "$3" ] && [ -e "$1" ]; then
    case $6 in -*) saved=./$6.$$.$3 ;; *) saved=$6.$$.$3 ;; esac
    said=$(cp -p -- "$1" "$saved" 2>&1) || { rm -f -- "$saved"; give_up "Could not make backup of $1: ${said##*: }"; }
    fact backup "$saved"
fi
attempt "cannot replace $1" mv -f -- "$temporary" "$1"
temporary=
if [ "$5" != yes ] && has restorecon; then restorecon -- "$1" 2>/dev/null; fi
look after "$1"
:
"""


def place_words(dest: str, size: int, *, backup: bool, source: str = "''", kept: bool, named: str) -> list[str]:
    """The positional parameters of :data:`PLACE`, each a word of sh; ``size`` in bytes."""
    suffix = '"$(date +%Y-%m-%d@%H:%M:%S~)"' if backup else "''"
    return [dest, str(size), suffix, source, "yes" if kept else "no", named]


def starting_attributes(entry: Entry | None, mode: int | None = None) -> list[str]:
    """Lines that give the new file owner and mode of the one it replaces (or ``mode``), else the umask's."""
    if entry is None or not entry.is_file:
        return [f'attempt "chmod failed" chmod "$(printf %o $((0666 & ~0$original_mask)))" -- {TEMPORARY}']
    return [
        f"chown {entry.uid}:{entry.gid} -- {TEMPORARY} 2>/dev/null",
        f'attempt "chmod failed" chmod {for_chmod(entry.mode if mode is None else mode)} -- {TEMPORARY}',
    ]


def validation_command(command: str) -> str:
    """``validate`` with the new file for its %s, so that no shell reads its words. Raises ModuleFailure."""
    if "%s" not in command:
        raise ModuleFailure(f"validate must contain %s: {command}")
    try:
        split = shlex.split(command)
    except ValueError as error:
        raise ModuleFailure(f"cannot split validate into words: {error}") from None
    return " ".join(
        TEMPORARY.join(expanded_word(part.replace("%%", "%")) if part else "" for part in one.split("%s")) or "''"
        for one in split
    )
